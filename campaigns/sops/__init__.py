"""SOPs (标准跟进流程): what each customer goes through after an event of hers, step by step, through her guide.

1. An SOP begins with an event (锚点): added as a friend, has bought, a birthday, days without a purchase, has joined a group
   (``anchors``); or it is one that groups go through from the day they were made (``group_sweeping``). Each
   event takes a customer in once, and she is in an SOP once at a time; an event from the time of an earlier run opens nothing
   afterwards, unless it is the purchase that ended that run.
2. A version is written as a draft, checked, published and never changes; who has entered stays with the version she entered.
   Events before the publication count only as its back-fill says: not at all, in time (steps whose time is over are passed
   over), or from the first step.
3. A step comes so many days or minutes after the one before it was planned, at a time of day if it names one, and reaches a
   customer between 9:00 and 21:00 only (``rules``). A step that is 24 hours behind its time is passed over: nobody gets the
   messages of an outage all at once.
4. A message or a call becomes an action (待办) of the guide who serves the customer now, with a script or a material where the
   step names one; a branch asks one question and goes its way at once; a tag is set and a coupon given by us (``handed``).
5. A purchase after the event ends the run when the version says so; a reply lets it rest for the version's days, and the
   steps behind it move along. Who wants no messages, or is no member any more, leaves it.
6. Runs are rows of ours with the moment of their next step: each minute those that are due are claimed with SKIP LOCKED, and
   a step with its action, its run and its trace are one transaction. A worker that dies has done all of a piece or nothing.
"""

from campaigns.sops.editing import BadSop, draft_from, publish, retire, stop
from campaigns.sops.sweeping import CALENDAR, advance, enrol, enrol_snapshot

__all__ = ["CALENDAR", "BadSop", "advance", "draft_from", "enrol", "enrol_snapshot", "publish", "retire", "stop"]
