"""Pre-opening pools (开业蓄水池): a store collects its customers before it opens.

1. A pool belongs to a store that is not open yet, and ends with the opening. One is prepared or collects at a time.
2. Each place has a code of its own at WeCom (a store code), so that what a place brings is seen. Behind the codes stand the
   borrowed guides up to their last day, and whoever the store has hired; a sweep keeps it so.
3. Who becomes a friend through one of the codes is in the pool, once however often she scans. Her gift is a coupon: number,
   budget and cap are the coupon's; it waits until she is a member, and is given once.
4. The countdown asks each guide of the pool for something on its day, never later. A moved opening moves what is not given yet.
5. The friends by the opening day are foretold from the daily growth, with an interval and the method beside it.
6. The customers are given to the hired guides by the house's handovers: planned, shown, confirmed, then a job. Only bindings
   that a borrowed guide has to customers of the pool move; her own customers stay hers.
7. Growth and payback are compared with stores that opened without a pool; matched, with an interval, and no experiment.
"""

from __future__ import annotations

from campaigns.communities.reservoir import comparing, counting, handing, joining, planning
from campaigns.communities.reservoir.joining import sweep
from campaigns.communities.reservoir.planning import (
    BadReservoir,
    Draft,
    WrongState,
    begin,
    cancel,
    change_gift,
    draft,
    end,
    make_codes_again,
    move_opening,
)

__all__ = [
    "BadReservoir", "Draft", "WrongState", "begin", "cancel", "change_gift", "comparing", "counting", "draft", "end", "handing",
    "joining", "make_codes_again", "move_opening", "planning", "sweep",
]  # fmt: skip
