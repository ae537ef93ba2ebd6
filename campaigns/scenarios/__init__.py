"""Scenarios (数字化场景): HQ says when something is so for a customer and what her guide then does; each morning it becomes actions.

1. A scenario is an audience, an action with its reason and words, and its limits: cool-down for the same customer, how many a
   guide and day, minutes, until when. It is a draft until HQ puts it in force, and can be paused at any time.
2. Each business day once per brand, and within a minute of an event (an order, a new friend), everybody for whom it is so is looked
   up: active members of the brand with a guide who works now, who have said no to nothing that the action needs.
3. A customer gets one scenario a day: the one with the highest expected value, or her next best where her guide has enough of
   it. She is left out while a scenario's action for her is still open, and during the cool-down.
4. Expected value = chance x worth. Worth is what the scenario says, else the customer's own average order, else the brand's.
   Chance is how many more buy because of it: the share of those given who bought within the window less the share of those left
   alone, shrunk towards the scenario's first guess (``chances``). Nothing else enters the order.
5. A guide gets the best of hers within the minutes of her day that her open actions leave, at most so many customers, and of each
   scenario at most its own number. Who finds no room is not taken: tomorrow she is looked at again.
6. Of those chosen, a share by hash is left alone (``draw``): they take up their place in the list and get no action. Everything that
   is said about effect compares these two, by what was assigned and not by what was done (intention to treat).
7. What came of it is written beside the turn from the data: a purchase, a visit, a reply; by the window's end it is closed.
8. A scenario whose audience cannot be asked any more is passed over and says why; the others are not held up.
"""

from __future__ import annotations

from campaigns.scenarios.choosing import BadScenario, fall_due, morning, mornings
from campaigns.scenarios.editing import create, pause, put_in_force, save
from campaigns.scenarios.outcomes import follow
from campaigns.scenarios.starter import install

__all__ = [
    "BadScenario", "create", "fall_due", "follow", "install", "morning", "mornings", "pause", "put_in_force", "save",
]  # fmt: skip
