"""What audiences may ask of the relation between a member and the guides (see ``members.audiences.fields``)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from guides.models import Guide
from members import audiences
from members.audiences import Field, Kind
from scrm import org

GROUP = _("Guide and WeCom")

# a friend as both sides see it: confirmed, the guide has kept her, and she has not deleted the guide
FRIEND = (
    "FROM guides_contact c JOIN guides_friendship r ON r.contact_id = c.id AND r.is_confirmed AND r.ended_at IS NULL"
    " AND r.customer_left_at IS NULL WHERE c.member_id = {member}"
)
BOUND = "SELECT {what} FROM guides_binding b WHERE b.member_id = {{member}} AND b.ended_at IS NULL"
# a chat, a call, a visit that a guide has recorded, or a touch by which he reached her; the day leaves out the months before
DAY = "(%s AT TIME ZONE 'Asia/Shanghai')::date"
CONTACTED = (
    f"EXISTS (SELECT 1 FROM guides_serviceact a WHERE a.member_id = {{member}} AND a.at >= %s AND a.acted_on >= {DAY})"
    f" OR EXISTS (SELECT 1 FROM guides_touch t WHERE t.member_id = {{member}} AND t.at >= %s AND t.touched_on >= {DAY})"
)
LAST_CONTACT = (
    "SELECT max(at)::date::text FROM (SELECT a.at FROM guides_serviceact a WHERE a.member_id = {member}"
    " UNION ALL SELECT t.at FROM guides_touch t WHERE t.member_id = {member}) x"
)


def register() -> None:
    """Called from ``AppConfig.ready``."""
    audiences.add_fields(
        Field(
            "guide", _("bound guide"), GROUP, Kind.MANY, rows=lambda ask: org.visible(Guide.objects.all(), ask.scope),
            exists=f"EXISTS ({BOUND.format(what='1')} AND b.guide_id = ANY(%s::bigint[]))",
            every=f"ARRAY({BOUND.format(what='b.guide_id')})",
            shown="SELECT g.name FROM guides_binding b JOIN guides_guide g ON g.id = b.guide_id"
            " WHERE b.member_id = {member} AND b.ended_at IS NULL LIMIT 1",
        ),
        Field("has_guide", _("has a bound guide"), GROUP, Kind.FLAG, exists=f"EXISTS ({BOUND.format(what='1')})"),
        Field("is_friend", _("WeCom friend of a guide"), GROUP, Kind.FLAG, exists=f"EXISTS (SELECT 1 {FRIEND})"),
        Field(
            "friend_added", _("added as a WeCom friend"), GROUP, Kind.EVENT, exists=f"EXISTS (SELECT 1 {FRIEND} AND r.added_at >= %s)",
            shown=f"SELECT max(r.added_at)::date::text {FRIEND}",
        ),
        Field("contacted", _("contacted by a guide"), GROUP, Kind.EVENT, exists=CONTACTED, shown=LAST_CONTACT),
    )  # fmt: skip
