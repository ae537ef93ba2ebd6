"""Codes of groups whose answer was lost (待认领的入群码): what can be found out about them, and what a person decides.

1. WeCom lists codes of groups nowhere. Whether a lost one exists shows in who came in: the members of its groups carry its
   state. A look (查找) can prove that it exists, never that it does not, so nothing is decided by itself.
2. Whoever finds its id names it. WeCom is asked for the code of that id, a person sees whose it is, and takes it over (认领)
   only where state, remark and groups are those that were asked for. An id has one row.
3. It is asked for again only by a person, after a look that found nobody who came in by it. Should it exist all the same, both
   work and count against the quota; the first cannot be deleted.
4. What WeCom refuses then, and what a person is certain was never made, is not made: it no longer counts.
5. Looks and repetitions go through the outbox. A repetition whose answer is lost too is left to people once more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import GroupWay
from scrm.wecom import bounds, corps, errors, groups, join_ways, outbox
from scrm.wecom.outbox import Intent, Verdict

LOOK, CREATE = "group_way.look", join_ways.CREATE
ID_CHARS = 64
LOOKING = {"is_under_way": True}  # in the place of what a look found
Status = GroupWay.Status


class WrongState(RuleViolation):
    code = "group_way_state"


class NotThisOne(RuleViolation):
    """WeCom's code of this id is another one, or there is none."""

    code = "group_way_other"


class ItExists(RuleViolation):
    """Somebody came into a group by it, or WeCom has the code of the named id."""

    code = "group_way_exists"


class NotLookedFor(RuleViolation):
    code = "group_way_not_looked_for"


def register() -> None:
    outbox.register(LOOK, send=_look, settle=_looked, is_repeatable=True)
    outbox.register(CREATE, send=_create, settle=_created, reconcile=_is_lost_again, is_repeatable=False)


# --- what a row says --------------------------------------------------------------------------------------------------


def joined(way: GroupWay) -> int:
    """How many members of its groups came in by it, as the last look saw."""
    return sum(group["joined"] for group in (way.report or {}).get("groups", []))


def named(way: GroupWay) -> dict[str, Any] | None:
    """What WeCom says about the id that a person has named; None before it was asked, or when it knows none."""
    found = (way.report or {}).get("named")
    return found if found and found["config_id"] == way.claimed_id else None


def differences(way: GroupWay) -> list[str]:
    """In what WeCom's code of the named id is not the one that was asked for: ``state``, ``remark``, ``groups``."""
    found = named(way)
    if found is None:
        return []
    wanted = set((way.wish or {}).get("chat_id_list", []))
    same = {
        "state": found["state"] == way.state,
        "remark": found["remark"] == way.remark,
        "groups": wanted <= set(found["chat_ids"]),  # WeCom may have added some since
    }
    return [name for name, is_same in same.items() if not is_same]


def is_found(way: GroupWay) -> bool:
    """WeCom has the code of the named id, and it is this one."""
    return named(way) is not None and not differences(way)


def is_looking(way: GroupWay) -> bool:
    return way.report == LOOKING


def is_looked_for(way: GroupWay) -> bool:
    return "groups" in (way.report or {})


def may_look(way: GroupWay, *, now: dt.datetime) -> bool:
    return not is_looking(way) and is_lost(way, now=now)


def may_take_over(way: GroupWay, *, now: dt.datetime) -> bool:
    return is_found(way) and is_lost(way, now=now)


def may_ask_again(way: GroupWay, *, now: dt.datetime) -> bool:
    if way.wish is None:  # older than the note of what was asked for
        return False
    return way.status == Status.UNMADE or may_close(way, now=now)


def may_close(way: GroupWay, *, now: dt.datetime) -> bool:
    return is_looked_for(way) and joined(way) == 0 and not is_found(way) and is_lost(way, now=now)


def is_lost(way: GroupWay, *, now: dt.datetime) -> bool:
    """Whether it waits for a person; one query unless its state says no."""
    if way.status not in (Status.LOST, Status.MAKING):
        return False
    return join_ways.lost_ones(now=now).filter(pk=way.pk).exists()


# --- acts of people ---------------------------------------------------------------------------------------------------


@transaction.atomic
def look(*, way: GroupWay, actor: Any, now: dt.datetime) -> None:
    """Have WeCom read: who came in by it, and the code of the named id. Raises WrongState."""
    way = _locked_lost(way, now)
    _enqueue_look(way, actor, now)
    audit.record(actor=actor, verb="group_way.look", target=way)


@transaction.atomic
def name(*, way: GroupWay, config_id: str, actor: Any, now: dt.datetime) -> None:
    """It exists and this is its id: WeCom is asked what code that is. Raises WrongState and NotThisOne."""
    way, config_id = _locked_lost(way, now), config_id.strip()
    bounds.chars(LOOK, "config_id", config_id, ID_CHARS)
    bounds.present(LOOK, "config_id", config_id)
    _require_free(way, config_id)
    way.claimed_id = config_id
    _enqueue_look(way, actor, now)
    audit.record(actor=actor, verb="group_way.name", target=way, config_id=config_id)


@transaction.atomic
def take_over(*, way: GroupWay, actor: Any, now: dt.datetime) -> None:
    """The code of the named id is this one. Raises WrongState and NotThisOne."""
    way = _locked_lost(way, now)
    if named(way) is None:
        raise NotThisOne(_("WeCom has no code of this id for our app."))
    if differences(way):
        raise NotThisOne(_("WeCom's code of this id is another one: state, remark or groups differ."))
    _require_free(way, way.claimed_id)
    way.status, way.config_id, way.compared_at, way.error_code = Status.LIVE, way.claimed_id, now, ""
    way.claimed_id = ""
    way.save()
    audit.record(actor=actor, verb="group_way.take_over", target=way, config_id=way.config_id)


@transaction.atomic
def ask_again(*, way: GroupWay, actor: Any, now: dt.datetime, reason: str) -> None:
    """It was not made: WeCom is asked for it once more. Raises WrongState, NotLookedFor and ItExists."""
    way = _locked(way)
    if way.wish is None:
        raise WrongState(_("What was asked for is not known any more; make a new code instead."))
    if way.status != Status.UNMADE:
        _require_unmade(way, now)
    way.status, way.asked_at, way.attempt = Status.MAKING, now, way.attempt + 1
    way.error_code, way.claimed_id, way.report, way.looked_at = "", "", None, None
    way.save()
    outbox.enqueue(
        topic=CREATE, corp=way.corp, key=f"{way.pk}/{way.attempt}", payload={"way": way.pk, "wish": way.wish},
        record=_record(way), actor=actor, now=now,
    )  # fmt: skip
    audit.record(actor=actor, verb="group_way.ask_again", target=way, reason=reason)


@transaction.atomic
def close(*, way: GroupWay, actor: Any, now: dt.datetime, reason: str) -> None:
    """It was not made and nobody wants it any more. Raises WrongState, NotLookedFor and ItExists."""
    way = _locked(way)
    _require_unmade(way, now)
    way.status, way.claimed_id = Status.UNMADE, ""
    way.save()
    audit.record(actor=actor, verb="group_way.close", target=way, reason=reason)


# --- looking ----------------------------------------------------------------------------------------------------------


def _enqueue_look(way: GroupWay, actor: Any, now: dt.datetime) -> None:
    way.look_count, way.report = way.look_count + 1, LOOKING
    way.save()
    payload = {
        "way": way.pk, "look": way.look_count, "state": way.state, "config_id": way.claimed_id,
        "chat_ids": list((way.wish or {}).get("chat_id_list", [])),
    }  # fmt: skip
    outbox.enqueue(
        topic=LOOK, corp=way.corp, key=f"{way.pk}/{way.look_count}", payload=payload, record=_record(way), actor=actor,
        now=now,
    )  # fmt: skip


def _look(intent: Intent) -> dict[str, Any]:
    app, wish = corps.app_of(intent.corp), intent.payload
    found: dict[str, Any] = {"groups": [], "unread": [], "named": None}
    chat_ids = list(wish["chat_ids"])
    if wish["config_id"]:
        try:
            code = join_ways.get(app, wish["config_id"])
        except errors.NotFound:
            pass
        else:
            found["named"] = {
                "config_id": wish["config_id"], "state": code.state, "remark": code.remark, "chat_ids": list(code.chat_ids),
            }  # fmt: skip
    for chat_id in chat_ids:
        try:
            group = groups.get(app, chat_id)
        except errors.NotFound:  # dissolved
            found["unread"].append(chat_id)
            continue
        found["groups"].append(
            {"chat_id": chat_id, "name": group.name, "joined": _came_by(group.members, wish["state"])}
        )
    return found


def _came_by(members: Sequence[groups.GroupMember], state: str) -> int:
    return sum(bool(state) and one.state == state for one in members)


def _looked(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    way, now = GroupWay.objects.select_for_update().get(pk=intent.payload["way"]), timezone.now()
    if way.look_count != intent.payload["look"]:  # another look is under way
        return
    way.report = answer if answer is not None else {"error": error.code if error else ""}
    way.looked_at = now
    way.save()


# --- asking again -----------------------------------------------------------------------------------------------------


def _create(intent: Intent) -> dict[str, Any]:
    return {"config_id": join_ways.ask(corps.app_of(intent.corp), intent.payload["wish"])}


def _is_lost_again(intent: Intent) -> Verdict:
    """Nothing to read says whether it is made: the message ends, and the row waits for a person."""
    return Verdict.done({"config_id": None})


def _created(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    way = GroupWay.objects.select_for_update().get(pk=intent.payload["way"])
    if answer is None:
        way.status, way.error_code = Status.UNMADE, error.code if error else ""
    elif answer["config_id"] is None:
        way.status, way.error_code = Status.LOST, errors.Unreachable.code
    elif way.config_id is not None:  # asked for twice by people: the second one is a code of its own
        values = {name: getattr(way, name) for name in ("corp", "state", "remark", "wish")}
        GroupWay.objects.create(status=Status.LIVE, config_id=answer["config_id"], **values)
        return
    else:
        way.status, way.config_id, way.error_code = Status.LIVE, answer["config_id"], ""
    way.save()


# --- small things -----------------------------------------------------------------------------------------------------


def _record(way: GroupWay) -> str:
    return f"{join_ways.RECORD}{way.pk}"


def _locked(way: GroupWay) -> GroupWay:
    (row,) = db.lock(GroupWay.objects.select_related("corp").filter(pk=way.pk))
    return row


def _locked_lost(way: GroupWay, now: dt.datetime) -> GroupWay:
    way = _locked(way)
    if not is_lost(way, now=now):
        raise WrongState(_("This is not possible in the present state."))
    return way


def _require_unmade(way: GroupWay, now: dt.datetime) -> None:
    if not is_lost(way, now=now):
        raise WrongState(_("This is not possible in the present state."))
    if not is_looked_for(way):
        raise NotLookedFor(_("Have it looked for at WeCom first."))
    if count := joined(way):
        raise ItExists(_("%(count)s customers came in by it: it exists.") % {"count": count})
    if is_found(way):
        raise ItExists(_("WeCom has it under the named id: take that id over."))


def _require_free(way: GroupWay, config_id: str) -> None:
    other = GroupWay.objects.filter(config_id=config_id).exclude(pk=way.pk).first()
    if other is not None:
        raise NotThisOne(_("This id is that of another code of ours: “%(way)s”.") % {"way": other})
