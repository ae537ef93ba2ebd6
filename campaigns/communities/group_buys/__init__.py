"""Group buys (拼团): k people buy together, or nobody does.

1. A member opens a team (开团) with a reservation of her own; others join (参团), one reservation each, one per member and team. Somebody who
   reserves and does not pay leaves her seat. The team forms for some hours, its sale's end notwithstanding.
2. A team has succeeded (成团) exactly when k have paid: the k-th payment and the success are one statement. Else it has failed when its
   hours are over, or when the sale is stopped; a payment that names its order is waited for some minutes.
3. Who has paid in a team that fails gets one refund, written by the database with the failure itself; the stock goes back (K8).
4. Who pays after she left, or after the end, gets a seat that is still free, else her money back.
5. Locks are taken in one order: team, reservation, buyer, stock.
6. The touch of whoever led the buyers there is carried: a joiner without a link of her own came by the team's.
"""

from campaigns.communities.group_buys.teams import (
    Opened,
    TeamOver,
    fail_due,
    join,
    leave_unpaid,
    open_team,
    pay,
    prove,
    sweep,
)

__all__ = ["Opened", "TeamOver", "fail_due", "join", "leave_unpaid", "open_team", "pay", "prove", "sweep"]
