"""Tags of members from a list (标签名单) and into one: a row is a member, by card or mobile number, and a tag.

1. A row sets the tag, or takes it away where it says so; of two rows about the same member and tag the later one holds.
2. A tag that does not exist yet is made. Whoever set a tag first stays its source; a list takes a tag away whatever its source.
3. A card of a merged member counts for the member she is now; one that belongs to another than the mobile number is no good.
4. The list that goes out has the columns of the one that comes in: card, tag, source, when. A member without a card is left
   out; numbers are never in it. It is HQ's, like tags, and goes by the rules of files (``scrm.exports``): recorded, and from 500
   rows on with a second person.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from members.facts import SHANGHAI
from members.models import Identity, MemberTag, Tag
from scrm import audit, copyin, exports, imports, jobs
from scrm.copyin import Column, Kind
from scrm.copyin.rules import Check
from scrm.models import Brand

KIND, FILE = "import_tags", "tag"
CHUNK = 10_000
BRAND = "MAIN"
ADD, REMOVE = "ADD", "REMOVE"
ACTS = {"ADD": ADD, "打标": ADD, "添加": ADD, "加": ADD, "REMOVE": REMOVE, "去标": REMOVE, "移除": REMOVE, "删": REMOVE}

COLUMNS = (
    Column("card", _("card number"), ("card_no", "卡号", "会员卡号", "会员编号", "card"), kind=Kind.CODE, max_length=64),
    Column("mobile", _("mobile number"), ("mobile", "手机号", "手机", "手机号码", "联系电话"), kind=Kind.MOBILE),
    Column("tag", _("tag"), ("tag", "标签", "标签名称", "会员标签"), True, max_length=64),
    Column("act", _("set or take away"), ("act", "操作", "动作"), kind=Kind.CHOICE, choices=ACTS),
)  # fmt: skip

CHECKS = (
    Check("card", "missing_card_and_mobile", "t.card = '' AND t.mobile_index IS NULL AND t.mobile_verdict = ''"),
    Check("tag", "missing_value", "t.tag = ''"),
    Check("card", "identity_conflict", "ci.member_id <> mi.member_id"),
    Check("card", "unknown_member", "m.id IS NULL OR m.status = 'ERASED'"),
)
JOINS = """
    LEFT JOIN members_identity ci ON ci.kind = 'CARD' AND ci.namespace = 'MAIN' AND ci.value = t.card AND t.card <> ''
    LEFT JOIN members_identity mi ON mi.kind = 'MOBILE' AND mi.namespace = 'MAIN' AND mi.value = t.mobile_index
    LEFT JOIN members_member m ON m.id = coalesce(ci.member_id, mi.member_id)
"""

copyin.problems.register({
    "bad_act": _("Write 打标 or 去标, or leave the cell empty: then the tag is set."),
    "unknown_member": _("There is no member with this card or mobile number. Correct it, or import her first."),
})  # fmt: skip

_TAGS = """
    INSERT INTO members_tag (brand_id, name)
    SELECT DISTINCT %s::bigint, tag FROM {table} WHERE problem IS NULL AND act <> 'REMOVE' ON CONFLICT (brand_id, name) DO NOTHING
"""
_LAST = """
    SELECT DISTINCT ON (k.member_id, k.tag) k.member_id, k.act, g.id AS tag_id
    FROM {table} k JOIN members_tag g ON g.name = k.tag AND g.brand_id = %s
    WHERE k.problem IS NULL AND k.line_no > %s AND k.line_no <= %s ORDER BY k.member_id, k.tag, k.line_no DESC
"""
_ADD = """
    INSERT INTO members_membertag (member_id, tag_id, source)
    SELECT w.member_id, w.tag_id, 'IMPORT' FROM ({last}) w WHERE w.act <> 'REMOVE' ORDER BY w.member_id, w.tag_id
    ON CONFLICT (member_id, tag_id) DO NOTHING
"""
_TAKE = """
    DELETE FROM members_membertag t USING ({last}) w WHERE w.act = 'REMOVE' AND t.member_id = w.member_id AND t.tag_id = w.tag_id
"""


def register() -> None:
    """Called from ``AppConfig.ready``."""
    imports.register(KIND, COLUMNS, run)
    exports.register(
        FILE, exports.Source(_title, lambda tag_id: MemberTag.objects.filter(tag=tag_id).count(), _rows_of)
    )


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_tags``."""
    with imports.opened(progress, COLUMNS) as run:
        checked = run.check(CHECKS, joins=JOINS, values="coalesce(m.merged_into_id, m.id) AS member_id")
        counts: dict[str, int] = {}
        if not run.is_dry:
            progress.stage("write", checked.good)
            counts = _write(run, checked)
            with transaction.atomic():
                audit.record(actor=run.job.requested_by, verb="tag.import", target=run.job, counts=counts)
        return run.summary(checked, **counts)


def _write(run: imports.Run, checked: imports.Checked) -> dict[str, int]:
    brand_id, done = Brand.objects.get(code=BRAND).pk, 0
    counts = {"tags_created": 0, "tags_added": 0, "tags_removed": 0}
    with connection.cursor() as cursor:
        cursor.execute(_TAGS.format(table=checked.table), [brand_id])
        counts["tags_created"] = cursor.rowcount
    last = _LAST.format(table=checked.table)
    for after, upto in run.ranges(checked, CHUNK):
        with transaction.atomic(), connection.cursor() as cursor:
            for name, statement in (("tags_added", _ADD), ("tags_removed", _TAKE)):
                cursor.execute(statement.format(last=last), [brand_id, after, upto])
                counts[name] += cursor.rowcount
        done += CHUNK
        run.progress.done(min(done, checked.good))
    return counts


# --- out --------------------------------------------------------------------------------------------------------------


def _title(tag_id: int) -> str:
    return gettext("Members with the tag “%(tag)s”") % {"tag": Tag.objects.get(pk=tag_id).name}


def _rows_of(tag_id: int) -> Iterator[list[str]]:
    tag = Tag.objects.get(pk=tag_id)
    yield [str(COLUMNS[0].label), str(COLUMNS[2].label), gettext("source"), gettext("tagged at")]
    rows = MemberTag.objects.filter(tag=tag).order_by("pk")
    after = 0
    while page := list(rows.filter(pk__gt=after)[:CHUNK]):
        cards = Identity.objects.filter(kind=Identity.Kind.CARD, member__in=[row.member_id for row in page])
        card_of = dict(cards.order_by("-pk").values_list("member_id", "value"))
        for row in page:
            if row.member_id in card_of:
                at = f"{row.tagged_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"
                yield [card_of[row.member_id], tag.name, str(row.get_source_display()), at]
        after = page[-1].pk
