"""Member lists for tests: a file's text becomes a finished import job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import connection

from members import legacy_import
from members.models import Identity, Member
from scrm import crypto, imports, jobs
from scrm.models import Brand, Job, LegalEntity, Region, Store

HEADER = "会员卡号,姓名,手机号,性别,生日,等级,积分,开卡门店,专属导购,开卡日期,标签,备注"


def make_store(code: str) -> Store:
    entity, _ = LegalEntity.objects.get_or_create(code="HQ", defaults={"name": "HQ", "kind": "HQ"})
    region = Region.objects.filter(code="R1").first() or Region.objects.create(code="R1", name="R1")
    return Store.objects.create(code=code, name=code, entity=entity, region=region, ownership="DIRECT")


def import_file(path: Path, **params: Any) -> Job:
    job = imports.start(kind=legacy_import.KIND, path=str(path), options=params)
    return jobs.run(job.pk)


def import_rows(folder: Path, *rows: str, header: str = HEADER, name: str = "members.csv", **params: Any) -> Job:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return import_file(path, **params)


def problems(job: Job) -> list[tuple[int, str, str]]:
    return list(job.problems.order_by("line_no").values_list("line_no", "column", "code"))


def member_of(*, card: str = "", mobile: str = "") -> Member:
    if card:
        return Identity.objects.get(kind="CARD", value=card).member
    return Identity.objects.get(kind="MOBILE", value=crypto.mobile_index(f"+86{mobile}")).member


def everything() -> dict[str, Any]:
    """All that an import writes, without the numbers that another run would draw: equal for equal contents."""
    brand = Brand.objects.earliest("pk").code
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT (SELECT min(kind || value) FROM members_identity i WHERE i.member_id = m.id),
                   m.name, m.gender, m.birthday, t.name, m.points_brought_in, s.code, m.registered_on, m.remark, m.status,
                   ARRAY(SELECT kind || value FROM members_identity i WHERE i.member_id = m.id ORDER BY 1),
                   ARRAY(SELECT i.kind || i.value || '=' || o.points FROM members_pointsopening o
                         JOIN members_identity i ON i.id = o.identity_id WHERE o.member_id = m.id ORDER BY 1),
                   ARRAY(SELECT g.name FROM members_membertag x JOIN members_tag g ON g.id = x.tag_id
                         WHERE x.member_id = m.id ORDER BY 1),
                   ARRAY(SELECT concat_ws(' ', g.code, s.code, b.source, b.started_at, b.ended_at) FROM guides_binding b
                         JOIN guides_guide g ON g.id = b.guide_id JOIN scrm_store s ON s.id = b.store_id
                         WHERE b.member_id = m.id ORDER BY b.started_at)
            FROM members_member m LEFT JOIN members_tier t ON t.id = m.tier_id LEFT JOIN scrm_store s ON s.id = m.home_store_id
            ORDER BY 1, 2
        """)
        rows = cursor.fetchall()
        cursor.execute("SELECT sealed, value FROM members_identity WHERE kind = 'MOBILE' AND namespace = %s", [brand])
        opens = all(crypto.mobile_index(crypto.open_mobile(sealed)) == value for sealed, value in cursor.fetchall())
    return {"members": rows, "numbers_open": opens}
