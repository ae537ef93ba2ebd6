"""The list of guides (导购名单) as a company hands it in: which columns it has and what is wrong with a row.

What a row then means stands in ``guides.staff``.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from guides import directory, staff
from guides.models import Guide
from scrm import copyin, imports, jobs
from scrm.copyin import Column, Kind
from scrm.copyin.rules import Check

KIND = "import_guides"

ROLES = {
    "GUIDE": Guide.Role.GUIDE, "导购": Guide.Role.GUIDE, "店员": Guide.Role.GUIDE, "营业员": Guide.Role.GUIDE,
    "STORE_MANAGER": Guide.Role.STORE_MANAGER, "MANAGER": Guide.Role.STORE_MANAGER, "店长": Guide.Role.STORE_MANAGER,
}  # fmt: skip

COLUMNS = (
    Column("guide_code", _("guide code"), ("guide_code", "导购编码", "导购编号", "工号", "员工编号"), True, Kind.CODE, max_length=32),
    Column("name", _("name"), ("name", "姓名", "导购姓名", "导购"), max_length=64),
    Column("mobile", _("mobile number"), ("mobile", "手机号", "手机", "手机号码", "联系电话"), kind=Kind.MOBILE),
    Column("store_code", _("store code"), ("store_code", "门店编码", "门店编号", "所属门店"), True, Kind.CODE, max_length=32),
    Column("role", _("role"), ("role", "岗位", "职位", "角色"), kind=Kind.CHOICE, choices=ROLES),
    Column("wecom_userid", _("WeCom account"), ("wecom_userid", "企业微信账号", "企微账号", "userid"), kind=Kind.CODE, max_length=64),
    Column("hired_on", _("first day"), ("hired_on", "入职日期", "入职时间"), True, Kind.DATE),
    Column("left_on", _("last day"), ("left_on", "离职日期", "最后在职日"), kind=Kind.DATE),
    Column("moved_on", _("moved on"), ("moved_on", "调店日期", "调动日期"), kind=Kind.DATE),
)  # fmt: skip

CHECKS = (
    Check("guide_code", "missing_value", "t.guide_code = ''"),
    Check("guide_code", "bad_guide_code", r"t.guide_code !~ '^[[:alnum:]@.+_-]+$'"),
    Check("store_code", "missing_value", "t.store_code = ''"),
    Check("store_code", "unknown_store", "st.id IS NULL"),
    Check("hired_on", "missing_value", "t.hired_on IS NULL"),
    Check("left_on", "left_before_start", "t.left_on < t.hired_on"),
)

copyin.problems.register({
    "bad_guide_code": _("A guide's code consists of letters, digits and @ . + - _ only."),
    "bad_role": _("Write GUIDE or STORE_MANAGER (导购 or 店长)."),
    "bad_hired_on": _("This is not a date. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日."),
    "bad_left_on": _("This is not a date. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日."),
    "bad_moved_on": _("This is not a date. Write it as 1999-01-18, 1999/1/18, 19990118 or 1999年1月18日."),
    "unknown_store": _("There is no store with this code. Import the store list first, or correct the code."),
    "left_before_start": _("The last day lies before the first day of this employment. Correct one of them."),
    "has_left": _("This guide has left. Enter her last day, or a new first day if she has returned."),
    "has_left_elsewhere": _("This guide has left from another store or role. Correct the store, or enter a new first day."),
    "hired_on_contradicts": _("The first day contradicts an employment that is already recorded. Correct it in the console."),
    "repeated_guide": _("An earlier row of this file says something else about the same guide. Keep one of them."),
    "username_taken": _("A colleague without a guide's record already logs in under this code. Use another code."),
    "mobile_taken": _("Another guide has this mobile number. One person has one row."),
    "wecom_userid_taken": _("Another guide has this WeCom account. One person has one row."),
})  # fmt: skip


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_guides``."""
    with imports.opened(progress, COLUMNS) as run:
        checked = run.check(
            CHECKS, joins="LEFT JOIN scrm_store st ON st.code = t.store_code", values="st.id AS store_id"
        )
        rows = _read(checked.table)
        counts: dict[str, int] = {}
        if not run.is_dry:
            progress.stage("write", len(rows))
            result = staff.record_guides(rows=rows, actor=run.job.requested_by, now=timezone.now())
            directory.match_guides()
            run.report(result.problems)
            counts = result.as_dict()
            progress.done(len(rows))
        return run.summary(checked, **counts)


def _read(table: str) -> list[staff.GuideRow]:
    with connection.cursor() as cursor:
        cursor.execute(f"""
            SELECT line_no, guide_code, name, mobile_index, mobile_sealed, store_id, role, lower(wecom_userid),
                   hired_on, left_on, moved_on
            FROM {table} WHERE problem IS NULL ORDER BY line_no
        """)
        return [staff.GuideRow(*row) for row in cursor.fetchall()]
