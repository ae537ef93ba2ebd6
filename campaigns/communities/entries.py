"""How people have come into groups (进群渠道): by whose code, invited by whom, by a link; read from the stays.

1. The route of a stay is the join way whose state it carries; else, the guide who invited; else a link or another code.
2. Who came in by a code, was invited or used a link is counted by her stay: who comes again is counted again.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _

from campaigns.communities import join_ways
from campaigns.models import Group, JoinWay, JoinWayGroup
from guides.contact_ways import pictures as drawing
from scrm import db
from scrm.models import Store

_ROUTES = """
    SELECT CASE WHEN w.id IS NOT NULL THEN 'WAY' WHEN s.inviter <> '' THEN 'INVITED' WHEN s.join_scene = 2 THEN 'LINK'
                WHEN s.join_scene = 3 THEN 'CODE' ELSE 'OTHER' END AS route,
           w.id AS way_id, w.name AS way, count(*) AS joined, count(*) FILTER (WHERE s.left_at IS NULL) AS there,
           count(*) FILTER (WHERE s.member_id IS NOT NULL) AS members
    FROM campaigns_groupstay s LEFT JOIN campaigns_joinway w ON w.state = s.state AND s.state <> ''
    WHERE s.group_id = %(group)s AND NOT s.is_staff GROUP BY 1, 2, 3 ORDER BY joined DESC, route, way_id
"""
_BROUGHT = """
    SELECT w.id, count(s.id) FILTER (WHERE s.joined_at >= %(today)s) AS today,
           count(s.id) FILTER (WHERE s.joined_at >= %(week)s) AS week, count(s.id) AS ever,
           count(s.id) FILTER (WHERE s.member_id IS NOT NULL) AS members, count(s.id) FILTER (WHERE s.left_at IS NULL) AS there
    FROM campaigns_joinway w LEFT JOIN campaigns_groupstay s ON s.state = w.state AND s.state <> '' AND NOT s.is_staff
    WHERE w.id = ANY(%(ways)s::bigint[]) GROUP BY w.id
"""
NOTHING = {"today": 0, "week": 0, "ever": 0, "members": 0, "there": 0}


def route_text(code: str) -> str:
    return {
        "WAY": _("by our code"), "INVITED": _("invited by a colleague"), "LINK": _("by a link"), "CODE": _("by a QR code"),
        "OTHER": _("invited by a customer"),
    }[code]  # fmt: skip


def of_group(group: Group) -> list[dict[str, Any]]:
    """``route, text, way_id, way, joined, there, members`` of each route, the busiest first."""
    rows = db.fetch_dicts(_ROUTES, {"group": group.pk})
    return [{**row, "text": route_text(row["route"])} for row in rows]


def brought(way_ids: list[int], *, midnight: dt.datetime) -> dict[int, dict[str, int]]:
    """What each code has brought: today, in seven days, ever; of them members, and who is still there."""
    values = {"ways": way_ids, "today": midnight, "week": midnight - dt.timedelta(days=6)}
    return {row.pop("id"): row for row in db.fetch_dicts(_BROUGHT, values)}


def groups_behind(way_ids: list[int]) -> dict[int, list[str]]:
    """The names of the groups that stand behind each code, in their turn."""
    rows = JoinWayGroup.objects.filter(way__in=way_ids, is_out=False, group__dissolved_at=None).select_related("group")
    found: dict[int, list[str]] = {}
    for row in rows.order_by("way", "position", "pk"):
        found.setdefault(row.way_id, []).append(str(row.group))
    return found


def named_groups(*, text: str, store: Store | None) -> list[Group]:
    """The groups that a person has named, one a line, by whole name or id; nothing named: those of the store that stand, the
    oldest first. Raises BadJoinWay for a line that names none, or several."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = Group.objects.filter(dissolved_at=None).select_related("corp")
    if not lines:
        return list(rows.filter(store=store).order_by("founded_at", "pk")[:50]) if store is not None else []
    found = []
    for line in lines:
        named = list(rows.filter(chat_id=line)[:2] or rows.filter(name=line)[:2])
        if len(named) != 1:
            sentence = (
                _("No group is called “%(line)s”.") if not named
                else _("Several groups are called “%(line)s”: give the id at WeCom.")
            ) % {"line": line[:40]}  # fmt: skip
            raise join_ways.BadJoinWay(sentence, extra={"fields": {"groups": sentence}})
        found += [group for group in named if group not in found]
    return found


def printed(way: JoinWay) -> drawing.Print:
    """The code as it is printed, with its store below."""
    named = [(way.store.name, way.store.code)] if way.store else []
    lines = [*named, (way.name, way.state)]
    return drawing.Print(
        way.pk, way.name, way.qr_code, tuple(name for name, _code in lines), tuple(code for _name, code in lines),
        bytes(way.picture) if way.picture else None, way.picture_kind,
    )  # fmt: skip
