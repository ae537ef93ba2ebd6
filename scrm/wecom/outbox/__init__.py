"""The outbox (发件箱): what WeCom is to do is written with the change that wants it, sent after, and settled once.

1. A message is written in the transaction of the business change, under a key that names the business fact. The same key
   with the same content is the first message; with other content it is refused (409). What is written is sent, also when
   its transaction commits long after others of later numbers.
2. Reserve, send, settle: a message is reserved in a transaction of its own, sent outside of any, and settled in one that
   holds its state and the effects of its topic together. So the topic's effects happen once.
3. Messages about one record go one after the other in the order of their numbers. Whoever needs that order locks the
   record when it writes them.
4. A rate limit puts a message back until the limit ends and costs no attempt; its topic rests meanwhile, others go on. What
   WeCom calls passing comes again after growing pauses, MAX_ATTEMPTS times over about eleven hours, and nothing is tried
   for longer than MAX_AGE. What WeCom refuses for good is refused here under its code; a person may send it again.
5. Where sending twice does harm, a lost answer or a lost worker leaves the message unknown (未知). The topic then reads
   WeCom, up to MAX_CHECKS times: done, not done (it is sent again), or it cannot tell; it is never sent again blindly.
   What nobody can tell is left to people and holds up nothing.
6. A message that is too late for its purpose ends as such, unsent. A welcome lives for 20 seconds and has a lane of its own.
7. A message ends done, refused, cancelled or too late; at each of these ends its topic settles. One that was refused and is
   sent again by a person ends again.
8. The broker only rings. A sweep each minute sends what nobody rang for and takes up what was cut short.
"""

from scrm.wecom.outbox.messages import (
    Lane,
    NotPossible,
    OtherContent,
    Status,
    ask_again,
    cancel,
    enqueue,
    forget,
    may_ask_again,
    may_cancel,
    may_retry,
    retry,
    retry_all,
)
from scrm.wecom.outbox.rules import SETTLING
from scrm.wecom.outbox.sending import Sent, send_due
from scrm.wecom.outbox.topics import Cancelled, Intent, TooLate, Verdict, register
from scrm.wecom.outbox.upkeep import sweep

__all__ = [
    "SETTLING",
    "Cancelled",
    "Intent",
    "Lane",
    "NotPossible",
    "OtherContent",
    "Sent",
    "Status",
    "TooLate",
    "Verdict",
    "ask_again",
    "cancel",
    "enqueue",
    "forget",
    "may_ask_again",
    "may_cancel",
    "may_retry",
    "register",
    "retry",
    "retry_all",
    "send_due",
    "sweep",
]  # fmt: skip
