"""Chain orders (接龙): a leader offers goods to her group, people line up for them, and each line becomes an order.

1. A leader (团长) is a guide. Her chain order has items with a price and a stock, a window, and a place and time of pick-up. A
   single piece (按个卖), one durian with its weight, price and photo, is an item with a stock of one. Several chains may sell one
   stock (``publishing``).
2. Who joins holds her part of the stock from that moment on, in the transaction that writes her line; who comes too late is told
   what is left of it and of everything else (``joining``). What is wanted is said as a whole ("two of this"), never as "one more":
   saying it again changes nothing.
3. Lines come by form or out of the text of the chat (``reading``). What was read is shown before anything is saved, with what could
   not be read; a line that somebody changed in between is not overwritten (``pasting``).
4. A person is known by her WeCom identity where that is given, else by her number, else by her name in this chain. A stranger who
   gives the number of somebody who is in the chain already does not get at her lines.
5. A line that is not paid can be changed and cancelled; its stock goes back once. A closed chain takes nobody more.
6. What she pays in cash or by transfer is an order of the channel of chain orders, with the moment of her joining as that of the
   order; what she pays in the mini-program is the order of that number. Either way in one transaction with the stock (``paying``).
7. Her joining is a touch of the leader's group that lasts until the chain closes: attribution decides by it, and names it. The
   leader's own lines carry her own identity and no touch: she earns nothing from them.
8. A refund gives the stock back once and is a refund of the order. Each person has a verification code: it is taken once, in the
   store of pick-up, when everything she has is paid; then her order is complete (``pickup``).
"""

from campaigns.communities.chain_orders.joining import (
    ChainRefused,
    Person,
    Who,
    Wish,
    cancel_unpaid,
    join,
)
from campaigns.communities.chain_orders.paying import pay, refund
from campaigns.communities.chain_orders.pickup import redeem
from campaigns.communities.chain_orders.publishing import Draft, DraftItem, close, publish

__all__ = [
    "ChainRefused", "Draft", "DraftItem", "Person", "Who", "Wish", "cancel_unpaid", "close", "join", "pay", "publish", "redeem", "refund",
]  # fmt: skip
