"""What WeCom tells of friends (好友事件): each event is folded into its pair, and the contact is read soon after.

1. A handler writes the pair, asks for a reading of the contact (of a new friend before all others) and tells the
   listeners, all in the event's transaction.
2. It also sees events that a newer one has overtaken: their welcome code and their side of the pair may still count.
3. Of an account whose userid has changed since, the event is about the account as it is called now.
4. An event of a corp that nobody entered, or without its two ids, is parked.
"""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from guides.contacts import followers, listeners, pairs, reading
from guides.models import Contact, Friendship
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import inbox

EVENT = "change_external_contact"
TRANSFER_FAILED = "transfer_fail"
BY_TRANSFER = "DELETE_BY_TRANSFER"
STATE_CHARS = 64


class UnknownCorp(RuleViolation):
    code = "wecom_unknown_corp"


class NoPair(RuleViolation):
    """An event that does not say whom it is about."""

    code = "wecom_event_without_pair"


def register() -> None:
    """Called from ``AppConfig.ready``."""
    for kind in (pairs.ADDED, pairs.ASKED, pairs.EDITED, pairs.DELETED, pairs.LEFT):
        inbox.register(EVENT, kind, _take, takes_overtaken=True)
    inbox.register(EVENT, TRANSFER_FAILED, _take_failed_transfer, takes_overtaken=True)


@transaction.atomic
def hear(*, corp: Corp, userid: str, external_userid: str, change: pairs.Change) -> Friendship:
    """Fold one event into its pair; the pair as it stands now."""
    account = followers.locked_at(corp, userid, change.at)
    contact = reading.contact_of(corp, external_userid)
    friendship = _pair_of(contact, account.userid)
    friendship.guide_id = account.guide_id or friendship.guide_id
    before = pairs.of(friendship)
    after = pairs.after_event(before, change)
    is_added = reading.save_pair(friendship, before, after, db.clock())
    reading.ask(contact.pk, is_new_friend=is_added)
    if is_added:
        listeners.tell_friend_added(friendship)
    return friendship


def _take(delivery: inbox.Delivery) -> None:
    corp, userid, external_userid = _about(delivery)
    change = pairs.Change(
        kind=delivery.change_type,
        at=delivery.event_at,
        state=_text(delivery, "State")[:STATE_CHARS],
        is_transfer=_text(delivery, "Source") == BY_TRANSFER,
    )
    friendship = hear(corp=corp, userid=userid, external_userid=external_userid, change=change)
    if code := _text(delivery, "WelcomeCode"):
        for listener in listeners.welcome_code:
            listener(friendship, code, delivery)


def _take_failed_transfer(delivery: inbox.Delivery) -> None:
    corp, userid, external_userid = _about(delivery)
    userid = followers.present_userid(corp, userid, delivery.event_at)
    for listener in listeners.transfer_failed:
        listener(corp, userid, external_userid, _text(delivery, "FailReason"), delivery.event_at)


def _pair_of(contact: Contact, userid: str) -> Friendship:
    """The locked row, or a new one that is not written yet; the account's lock keeps others from making it."""
    found = db.lock(Friendship.objects.filter(contact=contact, userid=userid))
    if found:
        found[0].contact = contact
        return found[0]
    return Friendship(contact=contact, corp_id=contact.corp_id, userid=userid, is_confirmed=False)


def _about(delivery: inbox.Delivery) -> tuple[Corp, str, str]:
    userid, external_userid = _text(delivery, "UserID"), _text(delivery, "ExternalUserID")
    if not userid or not external_userid or max(len(userid), len(external_userid)) > 64:
        raise NoPair(_("The event does not say which employee and which customer it is about."))
    corp = Corp.objects.filter(corp_id=delivery.corp_id).first()
    if corp is None:
        raise UnknownCorp(_("The WeCom corp of this event is not entered here. Add it, then play the event again."))
    return corp, userid, external_userid


def _text(delivery: inbox.Delivery, tag: str) -> str:
    value = delivery.fields.get(tag)
    return value.strip() if isinstance(value, str) else ""
