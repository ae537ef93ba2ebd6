"""What events tell of groups, and which members the people in them are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from campaigns.models import Group, GroupStay
from guides.contacts import UnknownCorp
from guides.models import Contact
from members.purchases.buyers import BRAND
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import inbox

EVENT = "change_external_chat"
CREATED, CHANGED, DISSOLVED = "create", "update", "dismiss"
JOINED, LEFT = "add_member", "del_member"
LAG = dt.timedelta(seconds=3)  # WeCom's detail is up to two seconds behind its events
RECENT = dt.timedelta(minutes=15)
ID_CHARS = 64


class NoGroup(RuleViolation):
    """An event that does not say which group it is about."""

    code = "wecom_event_without_group"


def register() -> None:
    """Called from ``AppConfig.ready``."""
    for kind in (CREATED, CHANGED, DISSOLVED):
        inbox.register(EVENT, kind, hear)


def hear(delivery: inbox.Delivery) -> None:
    """One event of a group, in its transaction."""
    chat_id = _text(delivery, "ChatId")
    if not chat_id or len(chat_id) > ID_CHARS:
        raise NoGroup(_("The event does not say which customer group it is about."))
    corp = Corp.objects.filter(corp_id=delivery.corp_id).first()
    if corp is None:
        raise UnknownCorp(_("The WeCom corp of this event is not entered here. Add it, then play the event again."))
    group = known(corp, chat_id)
    if delivery.change_type == DISSOLVED:
        dissolve(group, delivery.event_at)
        return
    if _text(delivery, "UpdateDetail") == LEFT and _leave(group, delivery):
        return
    group.heard_version = _text(delivery, "CurMemVer")[:ID_CHARS] or group.heard_version
    group.save(update_fields=["heard_version"])
    ask([group.pk])


def known(corp: Corp, chat_id: str) -> Group:
    """The group's row, made where it is missing, and locked. Needs an open transaction."""
    rows = Group.objects.filter(corp=corp, chat_id=chat_id)
    if not rows.exists():
        Group.objects.bulk_create([Group(corp=corp, chat_id=chat_id, asked_at=db.clock())], ignore_conflicts=True)
    (group,) = db.lock(rows)
    return group


def ask(group_ids: Sequence[int]) -> None:
    """These groups are to be read, a moment from now."""
    now = db.clock()
    Group.objects.filter(pk__in=group_ids, dissolved_at=None).update(asked_at=now, due_at=now + LAG, attempts=0)


def dissolve(group: Group, at: dt.datetime) -> None:
    """The locked group is no more, nor is anybody in it."""
    _end(group, Q(), at, None)
    Group.objects.filter(pk=group.pk).update(
        dissolved_at=at, due_at=None, attempts=0, error_code="", member_count=0, customer_count=0
    )


def _leave(group: Group, delivery: inbox.Delivery) -> bool:
    """Whoever the event names has left; whether that makes the list of people here the one that stands at WeCom."""
    listed = delivery.fields.get("MemChangeList")
    items = [str(one) for one in listed.get("Item", [])] if isinstance(listed, dict) else []
    scene = _text(delivery, "QuitScene")
    whom = Q(userid__in=items) | Q(is_staff=True, userid__in=[one.lower() for one in items])
    _end(group, whom, delivery.event_at, int(scene) if scene.isdigit() and len(scene) < 4 else None)
    before, after = _text(delivery, "LastMemVer"), _text(delivery, "CurMemVer")
    is_whole = str(len(items)) == _text(delivery, "MemChangeCnt")
    if not (is_whole and before and before == group.version and after and len(after) <= ID_CHARS):
        return False
    group.version = group.heard_version = after
    stays = GroupStay.objects.filter(group=group, left_at=None)
    group.member_count, group.customer_count = stays.count(), stays.filter(is_staff=False).count()
    group.save(update_fields=["version", "heard_version", "member_count", "customer_count"])
    return True


def _end(group: Group, whom: Q, at: dt.datetime, scene: int | None) -> None:
    open_ones = GroupStay.objects.filter(whom, group=group, left_at=None)
    open_ones.update(left_at=Greatest(at, F("joined_at")), left_scene=scene)


# --- members ------------------------------------------------------------------------------------------------------------

_KNOWN = f"""
    UPDATE campaigns_groupstay s SET member_id = w.member_id FROM (
        SELECT s.id, COALESCE(m.merged_into_id, m.id) AS member_id FROM campaigns_groupstay s
        JOIN members_identity i ON i.value = s.unionid AND i.kind = 'UNIONID' AND i.namespace = '{BRAND}'
        JOIN members_member m ON m.id = i.member_id AND m.status <> 'ERASED'
        WHERE s.member_id IS NULL AND NOT s.is_staff AND s.unionid <> '' AND {{which}}
    ) w WHERE s.id = w.id
"""
_FRIENDS = """
    UPDATE campaigns_groupstay s SET member_id = c.member_id
    FROM campaigns_group g JOIN guides_contact c ON c.corp_id = g.corp_id
    WHERE s.group_id = %(group)s AND g.id = s.group_id AND c.external_userid = s.userid AND c.member_id IS NOT NULL
      AND s.member_id IS NULL AND NOT s.is_staff
"""


def recognise(group_id: int) -> None:
    """The people of a group whom a member's unionid names, or who are friends whom we know."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN.format(which="s.group_id = %(group)s"), {"group": group_id})
        cursor.execute(_FRIENDS, {"group": group_id})


@transaction.atomic
def recognise_late(*, since: dt.datetime) -> int:
    """People whose member got her unionid at ``since`` or later; how many stays."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN.format(which="i.linked_at >= %(since)s"), {"since": since})
        return cursor.rowcount


def member_linked(contact: Contact) -> None:
    """A friend has been recognised: she is that member in her groups too."""
    stays = GroupStay.objects.filter(userid=contact.external_userid, is_staff=False, member=None)
    stays.filter(group__corp=contact.corp_id).update(member=contact.member_id)


def _text(delivery: inbox.Delivery, tag: str) -> str:
    value = delivery.fields.get(tag)
    return value.strip() if isinstance(value, str) else ""
