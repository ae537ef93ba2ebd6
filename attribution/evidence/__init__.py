"""Evidence (证据): what was known about a line as of its payment, read for many lines at once.

1. Everything is read as of ``as_of``: the binding, the employment, the delegation whose interval covers it. What began
   or ended later does not count, whenever it was recorded.
2. One line and a million are read by the same queries; posting and replay use the same facts. What no rule in force can use
   is not asked for.
3. The shop that took the order is the line's store's company, or HQ for a channel without a store.
4. ``as_of`` is the payment. For an order that exchanges another one (换货) it is the payment of the first one, and the touches
   count up to that one's creation: who sold it once has sold it.
5. A binding to the account of a brand IP (品牌号) is a binding to the IP.
6. A binding's validity counts from the last purchase or the last renewing service act before ``as_of``, else from its start.
"""

from attribution.evidence.lines import Line, LineKey
from attribution.evidence.loading import Case, Reading, Surroundings, everything, load, read, valid_until
from attribution.evidence.staff import Staff
from attribution.evidence.touched import Seen, Touches

__all__ = [
    "Case", "Line", "LineKey", "Reading", "Seen", "Staff", "Surroundings", "Touches", "everything", "load", "read", "valid_until",
]  # fmt: skip
