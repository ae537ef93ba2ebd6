"""The directory (通讯录): which WeCom account is which guide, and which department is which store.

1. An account is known by its userid in lower case. It belongs to the guide whose ``wecom_userid`` says so, in whatever case.
2. Events and sweeps come late, twice and out of order: what was said last about a thing counts, whenever we learn it. Of
   two words of one second the deletion counts, then the larger list of departments.
3. A userid may change once. The account, its guide and its friendships then go by the new one; what is still said about
   the old one from before the change is about her.
4. A new account without a guide waits to be linked (待关联) to one, or to be ignored; a guide of the same name in the
   department's store is suggested. A guide has one present account in a corp.
5. A department is a store when a person says so; a store of the same code or name is suggested. A department without a
   store belongs to the one of its nearest parent that has one.
6. An account that is gone opens a handover of its guide. Whether she is still employed is said by the list of guides: a
   contradiction is shown, and ends her employment only where WECOM_LEAVER_ENDS_EMPLOYMENT says so. One that comes back
   before anything was planned withdraws the handover.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from guides import contact_ways, contacts, staff
from guides.handover import cases
from guides.models import Department, Employment, Follower, Friendship, Guide, WecomMember
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp, Store
from scrm.wecom.inbox import Delivery

MOST_PARENTS = 20  # WeCom allows 15 levels; a loop in what we know ends too
_SPLIT = re.compile(r"[\s\-_·|/()（）【】\[\]]+")


class AccountTaken(RuleViolation):
    """The account, or the guide, belongs to another already."""

    code = "wecom_account_taken"


class AccountGone(RuleViolation):
    code = "wecom_account_gone"


class UnknownGuide(RuleViolation):
    code = "unknown_guide"


class UnknownStore(RuleViolation):
    code = "unknown_store"


# --- pure -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A department as far as the way to a store goes."""

    parent_number: int
    store_id: int | None


def store_of(departments: Iterable[int], places: Mapping[int, Place]) -> int | None:
    """The store of the first department that has one itself, else through its nearest parents; None: no store."""
    level = list(departments)
    for _step in range(MOST_PARENTS):
        for number in level:
            if number in places and places[number].store_id is not None:
                return places[number].store_id
        level = [places[number].parent_number for number in level if number in places]
        if not level:
            return None
    return None


def suggested_store(name: str, stores: Mapping[str, int]) -> int | None:
    """The one store that ``name`` means: a part of it is the code, or all of it is the name. See ``store_keys``."""
    parts = [part for part in _SPLIT.split(name.lower()) if part]
    found = {stores[f"code {part}"] for part in parts if f"code {part}" in stores}
    if not found:
        names = {_plain(name), *map(_plain, parts)}
        found = {stores[f"name {plain}"] for plain in names if f"name {plain}" in stores}
    return found.pop() if len(found) == 1 else None


def store_keys(stores: Iterable[tuple[int, str, str]]) -> dict[str, int]:
    """What ``suggested_store`` looks in, from (id, code, name); a name of two stores means none."""
    keys: dict[str, int] = {}
    repeated = set()
    for pk, code, name in stores:
        for key in (f"code {code.lower()}", f"name {_plain(name)}"):
            if keys.setdefault(key, pk) != pk:
                repeated.add(key)
    return {key: pk for key, pk in keys.items() if key not in repeated}


def _plain(name: str) -> str:
    """A store's name without what people leave out."""
    return _SPLIT.sub("", name.lower()).removesuffix("门店").removesuffix("店")


# --- events -----------------------------------------------------------------------------------------------------------


def take_event(delivery: Delivery) -> None:
    """Handler of every change_contact that we know; runs in the transaction of the inbox."""
    corp = Corp.objects.filter(corp_id=delivery.corp_id).first()
    if corp is None:
        raise contacts.UnknownCorp(
            _("The WeCom corp of this event is not entered here. Add it, then play the event again.")
        )
    fields, at = delivery.fields, delivery.event_at
    kind, _underscore, what = delivery.change_type.partition("_")
    if what == "party":
        parent = _text(fields, "ParentId")
        say_department(
            corp=corp, number=int(_text(fields, "Id")), at=at, is_there=kind != "delete",
            parent_number=int(parent) if parent else None,
        )  # fmt: skip
        return
    departments = _text(fields, "Department")
    say_member(
        corp=corp, userid=_text(fields, "UserID").lower(), at=at, is_there=kind != "delete",
        departments=[int(number) for number in departments.split(",")] if departments else None,
        new_userid=_text(fields, "NewUserID").lower(),
    )  # fmt: skip


@transaction.atomic
def say_department(
    *, corp: Corp, number: int, at: dt.datetime, is_there: bool, parent_number: int | None = None, name: str | None = None
) -> Department:  # fmt: skip
    """What was said at ``at`` about a department; None: nothing."""
    Department.objects.bulk_create([Department(corp=corp, number=number, state_at=at)], ignore_conflicts=True)
    (row,) = db.lock(Department.objects.filter(corp=corp, number=number))
    stands = _second(row.state_at)
    if at > stands or (at == stands and not is_there):
        row.state_at, row.gone_at = at, None if is_there else at
    if parent_number is not None and (
        row.parent_at is None or (at, parent_number) >= (_second(row.parent_at), row.parent_number)
    ):
        row.parent_at, row.parent_number = at, parent_number
    if name is not None and (row.named_at is None or at >= row.named_at):
        row.named_at, row.name = at, name
    row.save()
    return row


@transaction.atomic
def say_member(
    *, corp: Corp, userid: str, at: dt.datetime, is_there: bool, departments: Sequence[int] | None = None,
    new_userid: str = "",
) -> WecomMember:  # fmt: skip
    """What was said at ``at`` about an account; ``departments`` None: nothing about them. ``userid`` in lower case."""
    member = _known(corp, userid, at)
    if new_userid and new_userid != userid:
        member = _renamed(corp, userid, new_userid, at)
    elif member is None:
        WecomMember.objects.bulk_create([WecomMember(corp=corp, userid=userid, state_at=at)], ignore_conflicts=True)
        (member,) = db.lock(WecomMember.objects.filter(corp=corp, userid=userid))
    stands = _second(member.state_at)
    if at > stands or (at == stands and not is_there):
        member.state_at, member.left_at = at, None if is_there else at
    if departments is not None:
        wanted = sorted(set(departments))
        if member.placed_at is None or (at, wanted) > (_second(member.placed_at), member.departments):
            member.placed_at, member.departments = at, wanted
    if member.guide_id is None:
        member.guide = Guide.objects.filter(wecom_userid__iexact=member.userid).first()
    member.save()
    _follow(member)
    return member


def _known(corp: Corp, userid: str, at: dt.datetime) -> WecomMember | None:
    """The account that ``userid`` meant at ``at``, locked."""
    found = db.lock(WecomMember.objects.filter(corp=corp, userid=userid))
    if not found:
        found = db.lock(WecomMember.objects.filter(corp=corp, former_userid=userid, renamed_at__gte=at))
    return found[0] if found else None


def _renamed(corp: Corp, old: str, new: str, at: dt.datetime) -> WecomMember:
    """The account ``new``, which was ``old`` until ``at``; two rows of it become one."""
    rows = {row.userid: row for row in db.lock(WecomMember.objects.filter(corp=corp, userid__in=[old, new]))}
    before, member = rows.get(old), rows.get(new)
    if before is not None and member is not None:
        before.delete()  # first: one guide has one account
        _take_over(member, before)
    member = member or before or WecomMember(corp=corp, userid=new, state_at=at)
    member.userid, member.former_userid, member.renamed_at = new, old, at
    member.save()
    Guide.objects.filter(wecom_userid__iexact=old).update(wecom_userid=new)
    _rename_friendships(corp, old, new)
    cases.rename_account(corp=corp, old=old, new=new)
    return member


def _take_over(member: WecomMember, before: WecomMember) -> None:
    if (before.state_at, before.left_at is not None) > (member.state_at, member.left_at is not None):
        member.state_at, member.left_at = before.state_at, before.left_at
    if before.placed_at and (member.placed_at is None or before.placed_at > member.placed_at):
        member.placed_at, member.departments = before.placed_at, before.departments
    member.guide_id = member.guide_id or before.guide_id
    member.name = member.name or before.name
    member.status = member.status or before.status
    member.has_feature = member.has_feature or before.has_feature
    member.ignored_at = member.ignored_at or before.ignored_at
    member.created_at = min(member.created_at, before.created_at)


def _rename_friendships(corp: Corp, old: str, new: str) -> None:
    """Her friends go by the new account. Where the mirror knows a friend under both already, the older row gives way."""
    db.lock(Follower.objects.filter(corp=corp, userid=old))  # an event that is being applied comes first
    if not Friendship.objects.filter(corp=corp, userid=old).exists():
        return
    contacts.locked(corp, [old, new])
    Follower.objects.filter(corp=corp, userid=old).update(guide=None)
    twin = Friendship.objects.filter(contact=OuterRef("contact"), userid=new)
    Friendship.objects.filter(~Exists(twin), corp=corp, userid=old).update(userid=new)
    for before in Friendship.objects.filter(corp=corp, userid=old):
        after = Friendship.objects.get(contact=before.contact_id, userid=new)
        if before.added_at and (after.added_at is None or before.added_at < after.added_at):
            for name in ("added_at", "add_way", "state", "oper_userid"):
                setattr(after, name, getattr(before, name))
        after.guide_id = after.guide_id or before.guide_id
        after.save()
        for relation in Friendship._meta.related_objects:
            relation.related_model._default_manager.filter(**{relation.field.name: before}).update(
                **{relation.field.name: after}
            )
        before.delete()


def _follow(member: WecomMember) -> None:
    """What her coming or going means for her guide."""
    if member.guide is None:
        return
    if member.left_at is None:
        cases.withdraw(guide=member.guide, at=member.state_at)
    else:
        leave(member)
    contact_ways.leavers.look_after(now=db.clock(), guide_ids=[member.guide.pk])


def leave(member: WecomMember) -> None:
    """The account of a guide is gone (rule 6). Once per departure, however often it is said."""
    assert member.guide is not None and member.left_at is not None
    if settings.WECOM_LEAVER_ENDS_EMPLOYMENT:
        staff.end_employment(guide=member.guide, at=member.left_at, actor=None, reason="WeCom")
    cases.open_case(
        guide=member.guide, cause=cases.Cause.LEFT_WECOM, corp=member.corp, userid=member.userid, is_resigned=True,
        at=member.left_at, actor=None,
    )  # fmt: skip


def withdraw_returned(*, corp: Corp, at: dt.datetime) -> None:
    """A sweep has seen these accounts again."""
    present = WecomMember.objects.filter(guide=OuterRef("guide"), corp=corp, left_at=None)
    standing = cases.HandoverCase.objects.filter(
        Exists(present), status=cases.Status.OPEN, cause=cases.Cause.LEFT_WECOM
    )
    for case in standing.select_related("guide").order_by("pk"):
        cases.withdraw(guide=case.guide, at=at)


# --- guides and accounts ----------------------------------------------------------------------------------------------

# A present account is the guide's whose record names it; who has left stays who she was.
UNMATCH = """
    UPDATE guides_wecommember m SET guide_id = NULL FROM guides_guide g
    WHERE g.id = m.guide_id AND m.left_at IS NULL AND lower(g.wecom_userid) IS DISTINCT FROM m.userid
"""
MATCH = """
    UPDATE guides_wecommember m SET guide_id = g.id FROM guides_guide g
    WHERE lower(g.wecom_userid) = m.userid AND m.guide_id IS NULL
"""


@transaction.atomic
def match_guides() -> int:
    """Link every account, and its friends, with the guide whose record names it; the number of new links."""
    with connection.cursor() as cursor:
        cursor.execute(UNMATCH)
        cursor.execute(MATCH)
        count = cursor.rowcount
    contacts.match_guides()
    return count


@transaction.atomic
def link(*, member: WecomMember, guide: Guide, actor: Any) -> WecomMember:
    """The account is this guide's. Raises AccountGone, AccountTaken."""
    (member,) = db.lock(WecomMember.objects.filter(pk=member.pk))
    (guide,) = db.lock(Guide.objects.filter(pk=guide.pk))
    if member.left_at is not None:
        raise AccountGone(_("This account no longer exists on WeCom."))
    if member.guide_id not in (None, guide.pk):
        raise AccountTaken(_("This account belongs to another guide already."))
    others = WecomMember.objects.filter(corp=member.corp_id, guide=guide, left_at=None).exclude(pk=member.pk)
    if other := others.first():
        raise AccountTaken(
            _("%(guide)s already has the WeCom account %(userid)s.") % {"guide": guide, "userid": other.userid}
        )
    holder = Guide.objects.filter(wecom_userid__iexact=member.userid).exclude(pk=guide.pk).first()
    if holder is not None:
        raise AccountTaken(_("The record of %(guide)s names this account already.") % {"guide": holder})
    before, guide.wecom_userid = guide.wecom_userid, member.userid
    guide.save(update_fields=["wecom_userid"])
    member.guide, member.ignored_at = guide, None
    member.save(update_fields=["guide", "ignored_at"])
    contacts.match_guides()
    audit.record(actor=actor, verb="directory.link", target=guide, member=member.pk, before=before)
    return member


def link_by_code(*, member: WecomMember, code: str, actor: Any) -> WecomMember:
    """Raises UnknownGuide and what ``link`` raises."""
    guide = Guide.objects.filter(code=code.strip()).first()
    if guide is None:
        raise UnknownGuide(_("There is no guide %(code)s. Import the list of guides first.") % {"code": code.strip()})
    return link(member=member, guide=guide, actor=actor)


def link_suggested(*, members: Sequence[WecomMember], actor: Any) -> int:
    """Link those for whom exactly one guide is suggested; the number of them."""
    found = suggested_guides(members)
    for member in members:
        if member.pk in found:
            link(member=member, guide=found[member.pk], actor=actor)
    return len(found)


@transaction.atomic
def ignore(*, members: Iterable[WecomMember], actor: Any, now: dt.datetime) -> int:
    """Accounts that are no guide's are no longer asked about."""
    keys = [member.pk for member in members]
    rows = db.lock(WecomMember.objects.filter(pk__in=keys, guide=None, ignored_at=None))
    for row in rows:
        audit.record(actor=actor, verb="directory.ignore", target=row)
    return WecomMember.objects.filter(pk__in=[row.pk for row in rows]).update(ignored_at=now)


def suggested_guides(members: Sequence[WecomMember]) -> dict[int, Guide]:
    """``{account: the one guide it seems to be}`` for a page of accounts: same name, in the store of her department."""
    open_ones = [member for member in members if member.guide_id is None and member.left_at is None and member.name]
    if not open_ones:
        return {}
    stores = stores_of(open_ones)
    present = WecomMember.objects.filter(guide=OuterRef("guide"), left_at=None)
    names = {member.name for member in open_ones}
    jobs = Employment.objects.filter(~Exists(present), guide__name__in=names, ended_at=None).select_related("guide")
    by_name: dict[str, list[Employment]] = {}
    for job in jobs.order_by("guide_id"):
        by_name.setdefault(job.guide.name, []).append(job)
    found: dict[int, Guide] = {}
    for member in open_ones:
        store_id, hers = stores.get(member.pk), by_name.get(member.name, [])
        fitting = [job for job in hers if store_id is None or job.store_id == store_id]
        if len(fitting) == 1 and fitting[0].guide not in found.values():
            found[member.pk] = fitting[0].guide
    return found


# --- departments and stores -------------------------------------------------------------------------------------------


def stores_of(members: Iterable[WecomMember]) -> dict[int, int]:
    """``{account: store}`` by the departments, for those in a store; one query a corp."""
    found: dict[int, int] = {}
    places: dict[int, dict[int, Place]] = {}
    for member in members:
        if member.corp_id not in places:
            places[member.corp_id] = _places(member.corp_id)
        store_id = store_of(member.departments, places[member.corp_id])
        if store_id is not None:
            found[member.pk] = store_id
    return found


def _places(corp_id: int) -> dict[int, Place]:
    rows = Department.objects.filter(corp=corp_id, gone_at=None).values_list("number", "parent_number", "store_id")
    return {number: Place(parent, store_id) for number, parent, store_id in rows}


def suggested_stores(departments: Iterable[Department]) -> dict[int, int]:
    """``{department: store}`` for those without a store that seem to be one."""
    keys = store_keys(Store.objects.values_list("pk", "code", "name"))
    open_ones = [department for department in departments if department.store_id is None and department.name]
    found = {department.pk: suggested_store(department.name, keys) for department in open_ones}
    return {pk: store_id for pk, store_id in found.items() if store_id is not None}


def map_store(*, department: Department, code: str, actor: Any) -> Department:
    """The department is the store of this code; of none with an empty one. Raises UnknownStore."""
    store = Store.objects.filter(code=code.strip()).first()
    if store is None and code.strip():
        raise UnknownStore(_("There is no store %(code)s.") % {"code": code.strip()})
    map_stores(chosen={department.pk: store.pk if store else None}, actor=actor)
    department.refresh_from_db()
    return department


@transaction.atomic
def map_stores(*, chosen: Mapping[int, int | None], actor: Any) -> int:
    """``{department: store}`` as a person has said."""
    rows = db.lock(Department.objects.filter(pk__in=list(chosen)))
    for row in rows:
        before, row.store_id = row.store_id, chosen[row.pk]
        audit.record(actor=actor, verb="directory.map", target=row, store=row.store_id, before=before)
    Department.objects.bulk_update(rows, ["store"], batch_size=500)
    return len(rows)


def _second(at: dt.datetime) -> dt.datetime:
    """Events know whole seconds, sweeps more: what both said in one second is said at once."""
    return at.replace(microsecond=0)


def _text(fields: dict[str, Any], tag: str) -> str:
    value = fields.get(tag)
    return value.strip() if isinstance(value, str) else ""
