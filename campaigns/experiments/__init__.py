"""Experiments (实验): what a campaign brought, against people who were left alone by draw.

1. The audience is frozen first, then drawn: hash(salt | member) mod 10,000. Nobody comes later, nobody changes sides (X1).
2. The universal hold-out (全局留白组, 5 %) of the quarter stands outside every arm and is fixed for the quarter; each
   experiment has a control group (对照组) of its own besides.
3. Everybody counts in the arm she was assigned to, whether or not anything reached her (X2).
4. What an experiment could find at all is worked out before it starts, and stands beside every result that found nothing.
5. The sample ratio is checked before anything is read; a broken one forbids to read.
6. Every look is kept. The end is planned: an earlier look is marked as one, since whoever looks often finds something.

``draw`` decides who is where, ``outcomes`` adds up what they did, ``intervals`` and ``reading`` say what that means,
``telling`` says it in words, ``files`` reads the same out of a table from outside.
"""

from campaigns.experiments.running import (
    FREEZE,
    LOOK,
    PLAN,
    ask_for_look,
    draft,
    due,
    freeze,
    look,
    plan,
    sizes,
    start,
    work_freeze,
    work_look,
    work_plan,
)

__all__ = [
    "FREEZE",
    "LOOK",
    "PLAN",
    "ask_for_look",
    "draft",
    "due",
    "freeze",
    "look",
    "plan",
    "sizes",
    "start",
    "work_freeze",
    "work_look",
    "work_plan",
]
