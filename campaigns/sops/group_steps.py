"""Steps of groups that are mass sends (群跟进里的群群发), and what became of the step of each group.

1. Groups that come to the same step of a version in one sweep get one send: planned, looked at and handed over as every
   mass send to groups is. It begins with the step, in its transaction: a killed sweep has done both or neither.
2. From FOUR_EYES_FROM customers on it waits for somebody who approves; below, the publication of the version was the word.
3. Where no group of it may be sent to, the send is cancelled and says why; what cannot be sent at all (its material is out
   of use) is written down at the step. The groups go on either way.
"""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _

from campaigns import sends
from campaigns.models import Content, GroupRecipient, GroupStepDone, Send, SopStepDone, SopVersion
from campaigns.sops import handed, rules
from guides.models import Action
from scrm.models import Corp

Result = SopStepDone.Result
# corp, version and step: the groups that come to it, each with what is written down of it
Sending = dict[tuple[int, int, rules.Step], list[tuple[int, GroupStepDone]]]


def send(sending: Sending, *, now: dt.datetime) -> None:
    """Begin the sends, in the caller's transaction; what is written down of each group then names its send."""
    for (corp_id, version_id, step), groups in sending.items():
        version = SopVersion.objects.select_related("sop").get(pk=version_id)
        made, note = _begin(Corp.objects.get(pk=corp_id), version, step, [pk for pk, _done in groups], now)
        for _pk, done in groups:
            done.send, done.note = made, note
            if made is None:
                done.result = Result.NOT_SENT


def _begin(
    corp: Corp, version: SopVersion, step: rules.Step, group_ids: list[int], now: dt.datetime
) -> tuple[Send | None, str]:
    materials = Content.objects.filter(pk=step.content_id) if step.content_id else ()
    try:
        made = sends.draft(
            corp=corp, name=f"{version.sop.name[:40]} · {step.title}"[:64], text=step.text, due_at=now, actor=None,
            groups=sends.Wish(groups=group_ids), materials=list(materials),
        )  # fmt: skip
    except sends.BadSend as refused:
        return None, refused.message[:200]
    made = sends.plan(send_id=made.pk, now=now)
    if made.planned_count:
        return sends.submit(send=made, actor=None, now=now), ""
    sends.cancel(send=made, actor=None, now=now)
    return made, _("None of its groups may be sent to.")


def outcome(done: GroupStepDone) -> str:
    """What became of one step of one group, in words."""
    if done.send_id is not None:
        row = GroupRecipient.objects.filter(send=done.send_id, group=done.run.group_id).first()
        if row is None:
            return done.note
        return str(row.get_reason_display() if row.reason else row.get_state_display())
    if done.result != Result.GIVEN:
        return done.note
    key = handed.key_of(done.run_id, done.position, of_group=True)
    action = Action.objects.filter(key=key).first()
    return str(action.get_status_display()) if action else ""
