"""What audiences may ask of the customer groups a member is in (see ``members.audiences.fields``)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from campaigns.models import Group, GroupTag
from members import audiences
from members.audiences import Field, Kind
from scrm import org

HEADING = _("Guide and WeCom")
IN_GROUP = (
    "SELECT {what} FROM campaigns_groupstay s JOIN campaigns_group g ON g.id = s.group_id AND g.dissolved_at IS NULL"
    " WHERE s.member_id = {{member}} AND s.left_at IS NULL"
)

TAGGED = IN_GROUP.replace(" WHERE ", " JOIN campaigns_grouptagged t ON t.group_id = g.id WHERE ")
COUNT = f"({IN_GROUP.format(what='count(*)')})".replace("{member}", "members_member.id")
TAGGED_NAMES = (
    "SELECT string_agg(DISTINCT n.name, chr(12289)) FROM campaigns_groupstay s"
    " JOIN campaigns_group g ON g.id = s.group_id AND g.dissolved_at IS NULL JOIN campaigns_grouptagged t ON t.group_id = g.id"
    " JOIN campaigns_grouptag n ON n.id = t.tag_id WHERE s.member_id = {member} AND s.left_at IS NULL"
)


def register() -> None:
    """Called from ``AppConfig.ready``."""
    exists = IN_GROUP.format(what="1")
    audiences.add_fields(
        Field("in_group", _("in a WeCom group"), HEADING, Kind.FLAG, exists=f"EXISTS ({exists})"),
        Field(
            "groups", _("customer group"), HEADING, Kind.MANY, rows=lambda ask: org.visible(Group.objects.filter(dissolved_at=None), ask.scope),
            exists=f"EXISTS ({exists} AND s.group_id = ANY(%s::bigint[]))", every=f"ARRAY({IN_GROUP.format(what='s.group_id')})",
            shown=f"{IN_GROUP.format(what='string_agg(g.name, chr(12289) ORDER BY g.name)')}",
        ),
        Field(
            "group_tags", _("tag of her customer groups"), HEADING, Kind.MANY, rows=lambda ask: GroupTag.objects.all(),
            exists=f"EXISTS ({TAGGED.format(what='1')} AND t.tag_id = ANY(%s::bigint[]))", every=f"ARRAY({TAGGED.format(what='t.tag_id')})",
            shown=f"({TAGGED_NAMES})",
        ),
        Field(
            "group_count", _("number of WeCom groups she is in"), HEADING, Kind.NUMBER, expression=COUNT,
            absent=0, most=100, shown=IN_GROUP.format(what="count(*)::text"),
        ),
        Field(
            "joined_group", _("joined a WeCom group"), HEADING, Kind.EVENT, exists=f"EXISTS ({exists} AND s.joined_at >= %s)",
            shown=IN_GROUP.format(what="max(s.joined_at)::date::text"),
        ),
    )  # fmt: skip
