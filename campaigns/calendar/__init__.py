"""The marketing calendar (营销日历): the brand's weekly rhythm and its campaigns, compiled to what each store does on each day.

1. HQ writes entries: a weekly rhythm (周节奏) on some weekdays, or a campaign (活动) of some days, for everybody or for a part of
   the company. An entry asks guides for a task, may set a quota (配额), and may bring an audience a mass send, a coupon, an SOP.
2. Regions and stores adapt (调整) an entry inside what HQ allows for it, each with a reason: leave it out, move its hours, lower
   its quota down to HQ's limit. The store's word stands above its region's, the smaller region's above the larger, the newer
   above the older (``rules.adaptation_of``).
3. Compiling (编排) turns entries and adaptations into one row per entry, store and day, and into the actions (待办) of the guides
   who work there that day and are not on leave. A store that is closed that day gets nothing. Compiled again, the same wishes
   change nothing; changed wishes replace what has not begun, and what has begun stays as it is.
4. Nothing reaches a customer by the calendar alone: its mass send is a draft that people send, its coupons wait for a second
   person, its SOP messages go through guides.
5. While planning, what does not fit together is named with its place and its remedy (``conflicts``): the same members twice on
   a day, more messages than the contact budget, a material or coupon that is over, a closed store, more work than a day holds.
6. Each minute the coming days are compiled where wishes have changed, once a day in any case (``sweeping``); results are
   counted every five minutes (``counting``).
"""

from campaigns.calendar.adapting import BadAdaptation, adapt, withdraw
from campaigns.calendar.compiling import COMPILE, PREVIEW, Counts, compile_days, preview, work_compile, work_preview
from campaigns.calendar.conflicts import CHECK, check, found_on, work_check
from campaigns.calendar.counting import count
from campaigns.calendar.figures import Line, execution, totals
from campaigns.calendar.reaching import approve_coupons, prepare
from campaigns.calendar.stores import of_store
from campaigns.calendar.sweeping import ask_to_compile, ask_to_preview, sweep, write

__all__ = [
    "CHECK", "COMPILE", "PREVIEW", "BadAdaptation", "Counts", "Line", "adapt", "approve_coupons", "ask_to_compile", "ask_to_preview",
    "check", "compile_days", "count", "execution", "found_on", "of_store", "prepare", "preview", "sweep", "totals", "withdraw",
    "work_check", "work_compile", "work_preview", "write",
]  # fmt: skip
