"""Mass sends (群发): the right members once, each through the guide who serves her.

1. The audience is frozen before; with a control group it is an experiment, whose draw comes first. Then each member is
   planned or left out for the first reason that applies, and the reasons are shown before anybody agrees to the send: the
   universal hold-out, the control group, no active member, no consent, no friend, no working guide, the contact budget.
2. One customer, one guide (一客一导): the guide of her binding if she is her friend; else of the working guides who are her
   friends one of her home store; among equals the one who was added last.
3. A guide gets one task of at most 10,000 customers, as WeCom has it; she must confirm it.
4. The contact budget (触达频次) counts every send of the brand from the moment a member is handed over; what turns out not to
   have been sent counts no more.
5. FOUR_EYES_FROM members on, somebody else than the one who asks agrees to the send, and to no more members than she saw.
6. Consent, budget and friendship are looked at again in the transaction that hands a task over, and consent once more right
   before WeCom is asked (S7). Who fails there is left out with the reason.
7. Each member has one row per send, which ends once (M1): planned = sent + failed + not executed + left out (M2).
8. Handing over goes batch by batch, each its own transaction with its message to WeCom: a killed run goes on, nobody twice.
9. Results are asked for more often while they are fresh (``pace``), until every task has ended or EXPIRES_AFTER has passed;
   what nobody has confirmed by then is taken back.
10. Cancelled: what is not handed over never is, what is not confirmed is taken back, what was sent stays sent. The rest of a
    send that has ended may be sent again as a send of its own. Reminding and taking back are jobs that go on after a kill.
11. Materials (素材) go along in the version they had when the send was planned; their files are at WeCom before anything is
   handed over. A link is the guide's own short link, a mini-program's page has her token.
12. A send goes to customer groups (群群发) instead of customers on the same path (``targets``): each group is a row, given to
    the guide who owns it, at most 2,000 with one task; who is left out and why is said in ``choosing``. Four eyes count the
    customers in the groups. Hold-outs, consent and budgets are of members and have no part in it: a group is spoken to as one.
"""

from campaigns.sends.choosing import Wish
from campaigns.sends.ending import REMIND, STOP, cancel, remind, send_rest, sweep, work_remind, work_stop
from campaigns.sends.figures import Line, execution, groups_of, left_out, prove, totals
from campaigns.sends.handing import HAND_OVER, hand_over, register, versions_of, work_hand_over
from campaigns.sends.planning import (
    FOUR_EYES_FROM,
    PLAN,
    BadSend,
    WrongState,
    approve,
    draft,
    plan,
    submit,
    work_plan,
)
from campaigns.sends.results import pace, poll, poll_due

__all__ = [
    "FOUR_EYES_FROM", "HAND_OVER", "PLAN", "REMIND", "STOP", "BadSend", "Line", "Wish", "WrongState", "approve", "cancel", "draft", "execution", "groups_of", "hand_over",
    "left_out", "pace", "plan", "poll", "poll_due", "prove", "register", "remind", "send_rest", "submit", "sweep", "totals",
    "versions_of", "work_hand_over", "work_plan", "work_remind", "work_stop",
]  # fmt: skip
