"""Flash sales (秒杀), and what group buys (拼团) share with them: from the draft to the last refund.

1. A sale is one product at a price below the usual one, in a window of the database's clock, with stock by store, a cap per member and
   minutes to pay. Its author asks, somebody else approves (four eyes); from then on it only stops. Stock may be put in or taken out
   at any time, with a reason (``drafting``).
2. A stopped sale takes no claim from the moment of the stop; what is reserved can still be paid.
3. A member claims in the shop's mini-program, or a guide claims for her. The key of the request makes it one claim however often it comes;
   a sale for certain customer groups is for the people in them. Whoever's link she came by is the touch of the order (``claiming``).
4. What becomes of a reservation is told by order facts (``communities.payments``).
"""

from campaigns.communities.flash_sales.claiming import Claim, cancel, claim, name_order
from campaigns.communities.flash_sales.drafting import Draft, approve, ask, change_stock, draft, edit, send_back, stop
from campaigns.communities.flash_sales.refusals import SaleRefused

__all__ = [
    "Claim", "Draft", "SaleRefused", "approve", "ask", "cancel", "change_stock", "claim", "draft", "edit", "name_order", "send_back", "stop",
]  # fmt: skip
