"""Group notices (群公告): HQ writes one, the owner of each group sets it in WeCom.

1. WeCom has no call that sets a notice: groups are made, named and announced to in its client only; the reading of a group
   shows the notice that stands there (D 92122). So a notice is an action of the owner, its text ready to copy.
2. Groups are picked and left out as for a mass send (``sends.choosing``), without WeCom's limit, which is of messages. The
   preview shows who is left out; nothing is asked of anybody before the notice is given to the owners.
3. An owner who has set it ends her action. Then the group is read: either the text stands there, spaces aside, or the page
   says that it does not. What WeCom does not answer is asked again.
4. Taken back: who has not set it is not asked any more; what stands in a group stays.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from campaigns.models import GroupNotice, GroupNoticePost, GroupRecipient
from campaigns.sends import choosing, planning
from guides import actions
from guides.actions import NewAction
from guides.models import Action
from scrm import audit, db, org
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import corps, errors
from scrm.wecom import groups as wecom

TEXT_CHARS = 1000
SETTLES = dt.timedelta(minutes=1)  # WeCom's detail lags behind what is done in the client
LOOKED_AT_ONCE = 100
SHOWN = 200
Status = GroupNotice.Status

JUDGED = (
    """
    INSERT INTO campaigns_groupnoticepost (notice_id, group_id, guide_id, store_id, reason)
    SELECT %(notice)s, j.group_id, j.guide_id, j.store_id, j.reason FROM (
        SELECT g.id AS group_id, w.guide_id, w.store_id,"""
    + choosing.REASON
    + """ AS reason
        FROM campaigns_group g
        LEFT JOIN ({working}) w ON w.guide_id = g.owner_id
        LEFT JOIN guides_follower f ON f.corp_id = g.corp_id AND f.userid = g.owner_userid
        WHERE g.id = ANY(%(groups)s)
    ) j ORDER BY j.group_id
"""
)
NO_LIMIT = 1_000_000


class BadNotice(RuleViolation):
    """``extra["fields"]`` has a sentence for each field."""

    code = "bad_group_notice"


class WrongState(RuleViolation):
    code = "group_notice_state"


@dataclass(frozen=True, slots=True)
class Line:
    """A region or a store: its groups, of them done by their owners, and of those seen at WeCom and not."""

    key: int | None
    name: str
    group_count: int
    done_count: int
    shown_count: int
    other_count: int

    @property
    def done_bp(self) -> int:
        return self.done_count * 10_000 // self.group_count if self.group_count else 0


@transaction.atomic
def draft(
    *, corp: Corp, name: str, text: str, hours: int, groups: choosing.Wish, actor: Any, now: dt.datetime
) -> GroupNotice:
    """The preview: every group with its owner, or with why it is left out."""
    found = choosing.faults(groups, corp, now)
    if not text.strip():
        found["text"] = _("The notice has no text.")
    if len(text) > TEXT_CHARS:
        found["text"] = _("The notice has more than %(most)s characters.") % {"most": f"{TEXT_CHARS:,}"}
    if found:
        raise BadNotice(next(iter(found.values())), extra={"fields": found})
    notice = GroupNotice.objects.create(
        corp=corp, name=name, text=text.strip(), hours=hours, wish=groups.asked, made_by=actor
    )
    ids = list(choosing.picked(groups, corp, now).order_by("pk").values_list("pk", flat=True))
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"notice": notice.pk, "groups": ids, "now": now, "month": now, "most": NO_LIMIT}
        cursor.execute(JUDGED.replace("{working}", planning.WORKING), values)
    audit.record(actor=actor, verb="group_notice.draft", target=notice, groups=len(ids))
    return notice


@transaction.atomic
def give(*, notice: GroupNotice, actor: Any, now: dt.datetime) -> int:
    """Ask the owners; how many groups. A group that has changed hands since the preview is its new owner's to see to."""
    row = _locked(notice, Status.DRAFT)
    posts = list(row.posts.filter(reason="", group__dissolved_at=None).select_related("group").order_by("pk"))
    if not posts:
        raise BadNotice(_("No group of this notice can be asked for; see the reasons."))
    row.status, row.given_at, row.due_at = Status.OUT, now, now + dt.timedelta(hours=row.hours)
    row.save(update_fields=["status", "given_at", "due_at"])
    actions.give(_asked(row, post, now) for post in posts)
    audit.record(actor=actor, verb="group_notice.give", target=row, groups=len(posts))
    return len(posts)


@transaction.atomic
def cancel(*, notice: GroupNotice, actor: Any, now: dt.datetime) -> int:
    """How many owners are not asked any more."""
    row = _locked(notice, Status.DRAFT, Status.OUT)
    row.status = Status.CANCELLED
    row.save(update_fields=["status"])
    count = actions.withdraw(source=Action.Source.GROUP_NOTICE, source_ids=[row.pk], now=now)
    audit.record(actor=actor, verb="group_notice.cancel", target=row, groups=count)
    return count


def key_of(notice_id: int, group_id: int) -> str:
    return f"notice {notice_id} {group_id}"


def _asked(row: GroupNotice, post: GroupNoticePost, now: dt.datetime) -> NewAction:
    """In the language of who reads it: guides read Chinese."""
    assert post.guide_id is not None and row.due_at is not None
    name = (post.group.name or "客户群")[:60]
    return NewAction(
        key=key_of(row.pk, post.group_id), guide_id=post.guide_id, store_id=post.store_id, member_id=None,
        kind=Action.Kind.GROUP_NOTICE, source=Action.Source.GROUP_NOTICE, source_id=row.pk, title=f"更新群公告：{row.name}"[:80],
        reason=f"请把“{name}”的群公告改成以下内容：打开群 → 群公告 → 粘贴 → 发布", text=row.text, starts_at=now, due_at=row.due_at,
    )  # fmt: skip


# --- what WeCom shows ---------------------------------------------------------------------------------------------------

TO_LOOK_AT = """
    SELECT p.id FROM guides_action a
    JOIN campaigns_groupnotice n ON n.id = a.source_id
    JOIN campaigns_groupnoticepost p ON p.notice_id = n.id AND a.key = 'notice ' || n.id || ' ' || p.group_id
    WHERE a.source = 'GROUP_NOTICE' AND a.status = 'DONE' AND a.ended_at <= %(until)s AND p.looked_at IS NULL
      AND n.status = 'OUT' AND n.given_at > %(since)s
    ORDER BY p.id LIMIT %(limit)s
"""
KEPT = dt.timedelta(days=31)  # the longest time an owner has, and a day


def look(*, now: dt.datetime) -> int:
    """Read the groups whose owners say that they have set their notice; how many were read. No transaction around it."""
    values = {"until": now - SETTLES, "since": now - KEPT, "limit": LOOKED_AT_ONCE}
    count = 0
    for (pk,) in db.fetch(TO_LOOK_AT, values):
        post = GroupNoticePost.objects.select_related("notice__corp", "group").get(pk=pk)
        try:
            is_shown = _plain(wecom.get(corps.app_of(post.notice.corp), post.group.chat_id).notice) == _plain(
                post.notice.text
            )
        except errors.NotFound:
            is_shown = False
        except RuleViolation:  # passing, or the app is missing: the next minute asks again
            continue
        GroupNoticePost.objects.filter(pk=pk).update(is_shown=is_shown, looked_at=now)
        count += 1
    return count


def _plain(text: str) -> str:
    return "".join(text.split())


# --- how it stands ------------------------------------------------------------------------------------------------------

LEVELS = {"region": ("s.region_id", "r.name"), "store": ("p.store_id", "s.name")}
LINES = """
    SELECT {key} AS key, {name} AS name, count(*), count(*) FILTER (WHERE a.status = 'DONE'),
           count(*) FILTER (WHERE p.is_shown), count(*) FILTER (WHERE p.is_shown IS FALSE)
    FROM campaigns_groupnoticepost p
    LEFT JOIN scrm_store s ON s.id = p.store_id
    LEFT JOIN scrm_region r ON r.id = s.region_id
    LEFT JOIN guides_action a ON a.key = 'notice ' || p.notice_id || ' ' || p.group_id
    WHERE p.notice_id = %(notice)s AND p.reason = '' AND (%(stores)s::bigint[] IS NULL OR p.store_id = ANY(%(stores)s))
      AND (%(region)s::bigint IS NULL OR s.region_id = %(region)s)
    GROUP BY 1, 2 ORDER BY 4 * 1.0 / count(*), 2 LIMIT %(limit)s
"""


def execution(*, notice: GroupNotice, level: str, scope: org.Scope, within: int | None = None) -> list[Line]:
    """By region, or by store of a region: the least done first."""
    key, name = LEVELS[level]
    values = {
        "notice": notice.pk, "stores": None if scope.is_everything else sorted(scope.store_ids or ()), "limit": SHOWN,
        "region": within if level == "store" else None,
    }  # fmt: skip
    return [Line(*row) for row in db.fetch(LINES.format(key=key, name=name), values)]


def groups_of(*, notice: GroupNotice, scope: org.Scope, store_id: int | None = None) -> list[Any]:
    """Its groups, of one store or of all, each with ``action`` (or None): the first SHOWN."""
    rows = org.visible(GroupNoticePost.objects.filter(notice=notice), scope)
    rows = rows if store_id is None else rows.filter(store=store_id)
    found: list[Any] = list(rows.select_related("group", "guide", "store").order_by("pk")[:SHOWN])
    keys = {key_of(notice.pk, row.group_id): row for row in found}
    said = {action.key: action for action in Action.objects.filter(key__in=keys)}
    for key, row in keys.items():
        row.action = said.get(key)
    return found


def left_out(*, notice: GroupNotice) -> list[tuple[str, int]]:
    rows = notice.posts.exclude(reason="").values_list("reason").annotate(count=Count("pk")).order_by("reason")
    counts = dict(rows)
    return [(str(reason.label), counts[reason.value]) for reason in GroupRecipient.Reason if reason.value in counts]


def _locked(notice: GroupNotice, *statuses: str) -> GroupNotice:
    row = GroupNotice.objects.select_for_update(of=("self",)).get(pk=notice.pk)
    if row.status not in statuses:
        raise WrongState(_("This is not possible in the present state."))
    return row
