"""Corp tags (企业标签): WeCom's catalogue here, and tags that both sides show.

1. WeCom's catalogue is mirrored whole: it is one call. An event about a tag or a group only says that it is time to read;
   deleting a group tells nothing of its tags, and so they are found gone.
2. HQ switches on which of our tags stand in WeCom too (标签对应), and who leads. Where we lead (以我方为准), a friend who is a
   member shows exactly what the member has: what a guide changes by hand is put back. Where the guides lead (以导购为准), a
   member gets the tag when any guide who is her friend marks it, and loses it when none does any more; what a list or HQ
   gave her stays, and we never mark it. A tag that is not mapped is left alone on both sides.
3. A corp tag that we need is made in the group that HQ names; an existing one of that name is taken. An app may edit only
   what it made, so only those follow when our tag is renamed.
4. Only differences are pushed, one pair a call, the next one when the last is answered. What WeCom refused is not asked for
   again until something changes. Comparing goes round all friends in pieces, and at once for who was just recognised.
5. WeCom sends no event for what we mark: the pair's tags are written here with the answer.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from guides import contacts
from guides.models import Contact, CorpTag, Friendship, TagGroup, TagMapping, TagPush, TagSweep
from members.models import Tag
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import Corp, WecomApp
from scrm.wecom import corps, customers, errors, inbox, outbox
from scrm.wecom import tags as endpoint
from scrm.wecom.outbox import Intent

ADD, EDIT, MARK = "corp_tag.add", "corp_tag.edit", "corp_tag.mark"
RUN_SECONDS = 20.0  # of comparing in one run
PIECE = 5_000  # friends compared in one transaction
MOST_PENDING = 10_000  # calls that wait at a time; at 40 a second a quarter of an hour's work
TEXT_CHARS = 300
DAY = dt.timedelta(days=1)

Lead = TagMapping.Lead
log = structlog.get_logger(__name__)


class BadMapping(RuleViolation):
    code = "bad_tag_mapping"


# --- the pure rule ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)

    @property
    def hash(self) -> str:
        return hashlib.sha256(repr((self.add, self.remove)).encode()).hexdigest()


def difference(wanted: Iterable[str], marked: Iterable[str], led: Iterable[str]) -> Difference:
    """What to mark and unmark so that of the tags we lead exactly the wanted ones are marked; others stay as they are."""
    ours = set(led)
    want, have = set(wanted) & ours, set(marked) & ours
    return Difference(tuple(sorted(want - have)), tuple(sorted(have - want)))


# --- the catalogue ----------------------------------------------------------------------------------------------------


def register() -> None:
    """Called from ``AppConfig.ready``. All of it may be sent twice: a name that exists is not made again."""
    inbox.register("change_external_tag", "", _heard)
    outbox.register(ADD, send=_add, settle=_added, is_repeatable=True)
    outbox.register(EDIT, send=_edit, settle=_edited, is_repeatable=True)
    outbox.register(MARK, send=_mark, settle=_marked, is_repeatable=True)


def _heard(delivery: inbox.Delivery) -> None:
    """A tag, a group or an order changed: the catalogue is to be read."""
    for corp in Corp.objects.filter(corp_id=delivery.corp_id):
        TagSweep.objects.update_or_create(corp=corp, defaults={"pull_asked_at": db.clock()})


def pull_due(*, now: dt.datetime) -> int:
    """Read the catalogues that WeCom has said are different, those never read and those read a day ago; how many."""
    for app in WecomApp.objects.filter(kind=WecomApp.Kind.SELF_BUILT).exclude(corp__in=TagSweep.objects.values("corp")):
        TagSweep.objects.get_or_create(corp_id=app.corp_id)
    due = TagSweep.objects.filter(Q(pulled_at=None) | Q(pulled_at__lte=F("pull_asked_at")) | Q(pulled_at__lt=now - DAY))
    count = 0
    for sweep in due.select_related("corp").order_by("pk"):
        try:
            pull(corp=sweep.corp, now=db.clock())
            count += 1
        except RuleViolation as error:  # tried again by the next round
            log.warning("corp_tags_unread", corp=sweep.corp_id, code=error.code)
    return count


def pull(*, corp: Corp, now: dt.datetime) -> dict[str, int]:
    """Mirror the whole catalogue as of ``now``; counts of live groups and tags. What is gone is marked so, never deleted."""
    groups = endpoint.groups(corps.app_of(corp))
    with transaction.atomic():
        (sweep,) = db.lock(TagSweep.objects.filter(pk=TagSweep.objects.get_or_create(corp=corp)[0].pk))
        if sweep.pulled_at is not None and sweep.pulled_at > now:
            return {}  # a later reading was faster
        for group in groups:
            _write_group(corp, group, is_ours=False)
        alive = [group.id for group in groups]
        TagGroup.objects.filter(corp=corp, deleted_at=None).exclude(group_id__in=alive).update(deleted_at=now)
        alive = [tag.id for group in groups for tag in group.tags]
        CorpTag.objects.filter(corp=corp, deleted_at=None).exclude(tag_id__in=alive).update(deleted_at=now)
        gone = TagMapping.objects.filter(corp=corp, is_active=True, corp_tag__deleted_at__isnull=False)
        gone.update(is_active=False, error_text=_("The corp tag was deleted in WeCom."))
        sweep.pulled_at = now
        sweep.save(update_fields=["pulled_at"])
    return {"groups": len(groups), "tags": len(alive)}


def _write_group(corp: Corp, group: endpoint.Group, *, is_ours: bool) -> list[CorpTag]:
    row, _is_new = TagGroup.objects.update_or_create(
        corp=corp, group_id=group.id, defaults={"name": group.name, "order": group.order, "deleted_at": None}
    )
    made = {"is_ours": True} if is_ours else {}
    return [
        CorpTag.objects.update_or_create(
            corp=corp,
            tag_id=tag.id,
            defaults={"group": row, "name": tag.name, "order": tag.order, "deleted_at": None, **made},
        )[0]
        for tag in group.tags
    ]


# --- which tags stand on both sides -----------------------------------------------------------------------------------


@transaction.atomic
def map_tag(
    *, corp: Corp, tag: Tag, lead: str, group_name: str, corp_tag: CorpTag | None, actor: Any, now: dt.datetime
) -> TagMapping:
    """Switch a tag on. Without ``corp_tag`` one is made in the group ``group_name``. Raises BadMapping."""
    if lead == Lead.WECOM and corp_tag is None:
        raise BadMapping(_("Where guides lead, choose the corp tag that they mark."))
    if corp_tag is not None and (corp_tag.corp_id != corp.pk or corp_tag.deleted_at is not None):
        raise BadMapping(_("This corp tag no longer exists in WeCom."))
    group_name = group_name.strip() or (corp_tag.group.name if corp_tag else "")
    if not group_name or len(group_name) > endpoint.NAME_CHARS or len(tag.name) > endpoint.NAME_CHARS:
        raise BadMapping(_("WeCom takes names of 1 to %(most)s characters.") % {"most": endpoint.NAME_CHARS})
    try:
        with transaction.atomic():
            mapping = TagMapping.objects.create(corp=corp, tag=tag, lead=lead, group_name=group_name, corp_tag=corp_tag)
    except IntegrityError:
        raise BadMapping(_("This tag, or this corp tag, is mapped already.")) from None
    if corp_tag is None:
        _ask_for_tag(mapping, actor, now)
    audit.record(actor=actor, verb="tags.map", target=mapping, lead=lead)
    return mapping


@transaction.atomic
def switch(*, mapping: TagMapping, is_active: bool, actor: Any, now: dt.datetime) -> None:
    """Off: both sides stay as they are. On again: a corp tag that is missing is made. Raises BadMapping."""
    (mapping,) = db.lock(TagMapping.objects.filter(pk=mapping.pk))
    mapping.is_active, mapping.error_text = is_active, ""
    corp_tag = mapping.corp_tag
    if is_active and corp_tag is not None and corp_tag.deleted_at is not None:
        if mapping.lead == Lead.WECOM:
            raise BadMapping(_("This corp tag no longer exists in WeCom."))
        mapping.corp_tag = None
    mapping.save()
    if is_active and mapping.corp_tag is None:
        _ask_for_tag(mapping, actor, now)
    audit.record(actor=actor, verb="tags.switch", target=mapping, is_active=is_active)


def follow_names(*, now: dt.datetime) -> int:
    """Rename the corp tags we made after our tags; how many. Called with the sweep."""
    renamed = TagMapping.objects.filter(
        is_active=True, lead=Lead.OURS, corp_tag__is_ours=True, corp_tag__deleted_at=None
    )
    rows = list(renamed.exclude(corp_tag__name=F("tag__name")).select_related("tag", "corp_tag", "corp").order_by("pk"))
    for mapping in rows:
        assert mapping.corp_tag is not None
        name = mapping.tag.name[: endpoint.NAME_CHARS]
        with transaction.atomic():
            outbox.enqueue(
                topic=EDIT, corp=mapping.corp, key=f"{mapping.corp_tag_id}/{hashlib.sha256(name.encode()).hexdigest()[:16]}",
                payload={"corp_tag": mapping.corp_tag_id, "id": mapping.corp_tag.tag_id, "name": name}, now=now,
            )  # fmt: skip
    return len(rows)


def _ask_for_tag(mapping: TagMapping, actor: Any, now: dt.datetime) -> None:
    mapping.attempt += 1
    mapping.save(update_fields=["attempt"])
    payload = {"mapping": mapping.pk, "group": mapping.group_name, "name": mapping.tag.name}
    outbox.enqueue(
        topic=ADD, corp=mapping.corp, key=f"{mapping.pk}/{mapping.attempt}", payload=payload, actor=actor, now=now,
        record=f"tag_group {mapping.group_name}",
    )  # fmt: skip


def _add(intent: Intent) -> dict[str, Any]:
    wish = intent.payload
    app = corps.app_of(intent.corp)
    before = {tag.id for group in endpoint.groups(app) if group.name == wish["group"] for tag in group.tags}
    group = endpoint.add(app, tags=[endpoint.NewTag(wish["name"])], group_name=wish["group"])
    if not group.tags:  # the answer holds new tags only, and this one is there already
        group = next(one for one in endpoint.groups(app) if one.name == wish["group"])
    tag = next((one for one in group.tags if one.name == wish["name"]), None)
    if tag is None:
        raise errors.Malformed(ADD)
    return {
        "group": {"id": group.id, "name": group.name or wish["group"], "order": group.order},
        "tag": {"id": tag.id, "name": tag.name, "order": tag.order},
        "is_ours": tag.id not in before,
    }  # fmt: skip


def _added(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    (mapping,) = db.lock(TagMapping.objects.filter(pk=intent.payload["mapping"]))
    if answer is None:
        mapping.error_text = error.message[:TEXT_CHARS] if error else ""
        mapping.save(update_fields=["error_text"])
        return
    tag = endpoint.Tag(answer["tag"]["id"], answer["tag"]["name"], answer["tag"]["order"])
    group = endpoint.Group(answer["group"]["id"], answer["group"]["name"], answer["group"]["order"], (tag,))
    (row,) = _write_group(intent.corp, group, is_ours=answer["is_ours"])
    if TagMapping.objects.filter(corp_tag=row).exclude(pk=mapping.pk).exists():
        mapping.error_text, mapping.is_active = _("This tag, or this corp tag, is mapped already."), False
    else:
        mapping.corp_tag, mapping.error_text = row, ""
    mapping.save()


def _edit(intent: Intent) -> dict[str, Any]:
    endpoint.edit(corps.app_of(intent.corp), id=intent.payload["id"], name=intent.payload["name"])
    return {}


def _edited(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    if answer is not None:
        CorpTag.objects.filter(pk=intent.payload["corp_tag"]).update(name=intent.payload["name"])
    elif error is not None:
        TagMapping.objects.filter(corp_tag=intent.payload["corp_tag"]).update(error_text=error.message[:TEXT_CHARS])


# --- marking ----------------------------------------------------------------------------------------------------------

_LED = """SELECT m.corp_id, m.tag_id, k.tag_id AS corp_tag_id FROM guides_tagmapping m
    JOIN guides_corptag k ON k.id = m.corp_tag_id WHERE m.is_active AND k.deleted_at IS NULL AND m.lead = '{lead}'"""
_FRIENDS = f"""
    SELECT f.id, f.userid, c.external_userid, f.tag_ids, c.member_id,
           ARRAY(SELECT l.corp_tag_id FROM ({_LED.format(lead="OURS")}) l
                 JOIN members_membertag t ON t.tag_id = l.tag_id AND t.member_id = c.member_id WHERE l.corp_id = f.corp_id)
    FROM guides_friendship f JOIN guides_contact c ON c.id = f.contact_id
    WHERE {{which}} AND f.ended_at IS NULL AND f.is_confirmed AND c.member_id IS NOT NULL
    ORDER BY f.id LIMIT %(limit)s"""
# a row of a member for each tag that a guide who is her friend has marked
_GUIDES_SAY = f"""SELECT DISTINCT c.member_id, l.tag_id FROM guides_contact c
    JOIN guides_friendship f ON f.contact_id = c.id AND f.ended_at IS NULL AND f.is_confirmed
    JOIN ({_LED.format(lead="WECOM")}) l ON l.corp_id = f.corp_id AND l.corp_tag_id = ANY(f.tag_ids)
    WHERE c.member_id = ANY(%(members)s::bigint[])"""
_TAKE = f"""
    INSERT INTO members_membertag (member_id, tag_id, source)
    SELECT member_id, tag_id, 'WECOM' FROM ({_GUIDES_SAY}) s ORDER BY 1, 2 ON CONFLICT (member_id, tag_id) DO NOTHING"""
_GIVE_UP = f"""
    DELETE FROM members_membertag t USING ({_LED.format(lead="WECOM")}) l
    WHERE t.tag_id = l.tag_id AND t.source = 'WECOM' AND t.member_id = ANY(%(members)s::bigint[])
      AND NOT EXISTS (SELECT 1 FROM ({_GUIDES_SAY}) s WHERE s.member_id = t.member_id AND s.tag_id = t.tag_id)"""
_FORGET = f"""
    DELETE FROM members_membertag t USING ({_LED.format(lead="WECOM")}) l
    WHERE t.tag_id = l.tag_id AND t.source = 'WECOM' AND NOT EXISTS (
        SELECT 1 FROM guides_contact c JOIN guides_friendship f ON f.contact_id = c.id
        WHERE c.member_id = t.member_id AND f.ended_at IS NULL AND f.is_confirmed
    )"""


def member_linked(contact: Contact) -> None:
    """Listener of the mirror: whoever was just recognised is compared at once."""
    if TagMapping.objects.filter(corp=contact.corp_id, is_active=True).exists():
        _compare(contact.corp, "f.contact_id = %(contact)s", {"contact": contact.pk, "limit": 1_000}, db.clock())


def tags_read(friendship: Friendship) -> None:
    """Listener of the mirror: a guide has marked or unmarked a customer."""
    if friendship.contact.member_id is not None:
        member_linked(friendship.contact)


def sweep(*, now: dt.datetime, seconds: float = RUN_SECONDS, limit: int = PIECE) -> dict[str, int]:
    """Go on comparing the friends of every corp that maps tags, piece by piece up to the end of its round.

    Counts of friends compared and of calls asked for.
    """
    done, until = {"compared": 0, "asked": 0}, time.monotonic() + seconds
    for corp in Corp.objects.filter(pk__in=TagMapping.objects.filter(is_active=True).values("corp")).order_by("pk"):
        while TagPush.objects.filter(is_pending=True, friendship__corp=corp)[:MOST_PENDING].count() < MOST_PENDING:
            compared, asked = _sweep(corp, now, limit)
            done["compared"] += compared
            done["asked"] += asked
            if compared < limit or time.monotonic() > until:
                break
    return done


@transaction.atomic
def _sweep(corp: Corp, now: dt.datetime, limit: int) -> tuple[int, int]:
    state = TagSweep.objects.select_for_update().get_or_create(corp=corp)[0]
    if state.after_id == 0:
        state.started_at, state.differing_count = now, 0
    which = "f.corp_id = %(corp)s AND f.id > %(after)s"
    last_id, compared, asked = _compare(corp, which, {"corp": corp.pk, "after": state.after_id, "limit": limit}, now)
    state.differing_count += asked
    state.after_id = last_id if compared == limit else 0
    if state.after_id == 0:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET)  # members whose last friend has gone are in no piece
        state.finished_at, state.last_differing_count = now, state.differing_count
    state.save()
    return compared, asked


def _compare(corp: Corp, which: str, values: dict[str, Any], now: dt.datetime) -> tuple[int, int, int]:
    """The last friendship, how many were compared, how many calls were asked for. Needs an open transaction."""
    led = set(
        TagMapping.objects.filter(
            corp=corp, is_active=True, lead=Lead.OURS, corp_tag__isnull=False, corp_tag__deleted_at=None
        ).values_list("corp_tag__tag_id", flat=True)
    )
    with connection.cursor() as cursor:
        cursor.execute(_FRIENDS.format(which=which), values)
        rows = cursor.fetchall()
        members = {"members": db.array(sorted({row[4] for row in rows}))}
        for statement in (_TAKE, _GIVE_UP):
            cursor.execute(statement, members)
    differing = [
        (pk, userid, external_userid, found)
        for pk, userid, external_userid, marked, _member, wanted in rows
        if (found := difference(wanted, marked, led))
    ]
    asked = _ask(corp, differing, now) if differing else 0
    return rows[-1][0] if rows else 0, len(rows), asked


def _ask(corp: Corp, differing: Sequence[tuple[int, str, str, Difference]], now: dt.datetime) -> int:
    """One call for each pair that has none under way and was not refused the same before."""
    keys = [pk for pk, *_rest in differing]
    TagPush.objects.bulk_create([TagPush(friendship_id=pk, changed_at=now) for pk in keys], ignore_conflicts=True)
    pushes = {push.pk: push for push in db.lock(TagPush.objects.filter(pk__in=keys))}
    asked = []
    for pk, userid, external_userid, found in differing:
        push = pushes[pk]
        if push.is_pending or push.refused_hash == found.hash:
            continue
        push.is_pending, push.generation, push.changed_at = True, push.generation + 1, now
        push.add_ids, push.remove_ids, push.error_text, push.refused_hash = list(found.add), list(found.remove), "", ""
        outbox.enqueue(
            topic=MARK, corp=corp, key=f"{pk}/{push.generation}", record=customers.pair_record(userid, external_userid),
            payload={
                "friendship": pk, "userid": userid, "external_userid": external_userid, "add": list(found.add),
                "remove": list(found.remove),
            },
            now=now,
        )  # fmt: skip
        asked.append(push)
    TagPush.objects.bulk_update(
        asked, ["is_pending", "generation", "changed_at", "add_ids", "remove_ids", "error_text", "refused_hash"]
    )
    return len(asked)


def _mark(intent: Intent) -> dict[str, Any]:
    wish = intent.payload
    endpoint.mark(
        corps.app_of(intent.corp), userid=wish["userid"], external_userid=wish["external_userid"], add=wish["add"],
        remove=wish["remove"],
    )  # fmt: skip
    return {}


def _marked(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    wish = intent.payload
    (push,) = db.lock(TagPush.objects.filter(pk=wish["friendship"]))
    push.is_pending, push.changed_at = False, timezone.now()
    if answer is not None:
        contacts.locked(intent.corp, [wish["userid"]])  # whoever writes friends of an account comes after the others
        (friendship,) = db.lock(Friendship.objects.filter(pk=wish["friendship"]))
        kept = [tag for tag in friendship.tag_ids if tag not in wish["remove"]]
        tag_ids = list(dict.fromkeys([*kept, *wish["add"]]))
        Friendship.objects.filter(pk=friendship.pk).update(tag_ids=tag_ids, heard_at=db.clock())
        push.add_ids, push.remove_ids = [], []
    elif error is not None:
        push.error_text = error.message[:TEXT_CHARS]
        push.refused_hash = Difference(tuple(wish["add"]), tuple(wish["remove"])).hash
    push.save()
