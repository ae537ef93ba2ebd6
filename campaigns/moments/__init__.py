"""Moments (客户朋友圈): HQ writes one, guides publish it, and what each of them posts is assessed.

1. A moment is for the guides of a part of the company. Each guide who works there has one row of it: to be published, or left
   out for the first reason that applies, shown before anybody agrees to it: no WeCom account, no customer, every customer has
   had HQ's moments of the month.
2. A customer has had enough with MOST_A_MONTH moments of HQ's in a calendar month (每月上限), through whichever of her guides;
   the same moment from two of them is one. A guide all of whose customers have had enough gets no more. Of another guide's
   moment nobody can be left out: how many of its customers have had enough is counted and shown. WeCom has a limit of its own
   and says neither how high it is nor for whom it is reached.
3. A moment shows pictures, or one video, or one link, never mixed, and a text; what WeCom would refuse is refused when it is
   planned, at its field.
4. FOUR_EYES_FROM friends on, somebody else than the one who asks agrees.
5. When its time has come its files go up, guides are looked at again, and WeCom is asked once: a task that may have been made
   is looked for in WeCom's records and never made again. A killed run goes on, nobody has it twice.
6. WeCom's job is asked until it names the moment; then who has published it, more often while it is fresh. After EXPIRES_AFTER,
   or cancelled, what is not published is taken back; what is published stays.
7. Who can see it, likes and comments of customers are read per guide at a growing pace, for COUNTED_FOR.
8. What guides post of their own accord is read once an hour and counts beside HQ's.
9. A moment is seen by all customers of a guide: no control group can be kept from it, and no consent is asked for.
"""

from campaigns.moments.figures import Line, assess, execution, left_out, totals
from campaigns.moments.handing import hand_over_due, register, sweep
from campaigns.moments.planning import (
    FOUR_EYES_FROM,
    MOST_A_MONTH,
    PLAN,
    BadMoment,
    WrongState,
    approve,
    cancel,
    draft,
    plan,
    submit,
    work_plan,
)
from campaigns.moments.reading import pace, poll_due, react_due, read_own

__all__ = [
    "FOUR_EYES_FROM", "MOST_A_MONTH", "PLAN", "BadMoment", "Line", "WrongState", "approve", "assess", "cancel", "draft", "execution",
    "hand_over_due", "left_out", "pace", "plan", "poll_due", "react_due", "read_own", "register", "submit", "sweep", "totals", "work_plan",
]  # fmt: skip
