"""Purchases (消费): what channels say about order lines and refunds becomes rows, whoever says it, in whatever order.

1. A line is known by (channel, shop, order no., line no.), a refund by (channel, shop, refund no.). Each delivery carries a
   version, the time of what it says.
2. A newer version replaces what stands; an older one is ignored; the same version with the same content is a repeat. The same
   version with other content contradicts (矛盾): what stands stays, the delivery is parked for a person.
3. So any order and any repetition of deliveries that do not contradict end in the same rows.
4. An order is booked on the business day of its first payment when it is first seen, and stays there.
5. The buyer is found at intake: by card, else mobile number, else unionid, else the account in that shop. Where card and
   number point at two members the card wins, and that is counted. The line follows its newest version in this too. A member
   whose card or number becomes known later gets her earlier lines then.
6. A refund that comes before its line waits (等待) and is applied when the line comes. A refund that does not name its shop
   belongs to the only order of its channel with that number.
7. Refunds are applied in the order of their time, then number. What is refunded on a line never exceeds what was paid on it:
   a refund above that is refused, and a version that lowers the paid amount below what was refunded is parked.
8. A risk mark that HQ has set or cleared by hand outweighs the channel's, in later versions too (``risk``).
9. Every line that is new, changed or refunded is queued to be decided, in the same transaction.
"""

from members.purchases.buyers import recognise_buyers
from members.purchases.lines import LinesRecorded, LineVersion, record_lines, record_lines_of
from members.purchases.refunds import RefundsRecorded, RefundVersion, apply_waiting, record_refunds, record_refunds_of
from members.purchases.risk import CannotMark, mark_lines

__all__ = [
    "CannotMark", "LineVersion", "LinesRecorded", "RefundVersion", "RefundsRecorded", "apply_waiting", "mark_lines", "recognise_buyers", "record_lines", "record_lines_of",
    "record_refunds", "record_refunds_of",
]  # fmt: skip
