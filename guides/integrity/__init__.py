"""Integrity (灌水核查): what looks like fraud is shown to a person, and the money waits until she has decided.

1. Once a day the friends each guide has won lately, and the purchases of guides themselves, are counted (``counting``) and
   held against the limits of the brand (``suspicions``). Reaching a limit is a flag (疑点): it orders a review, it convicts nobody.
2. The flags of one guide about one subject are one case (核查案). Until it has ended its rewards are neither earned nor ended,
   and the commission of the order lines it names is blocked. A guide is under one open review per subject; what was decided
   once is not opened again for the same days.
3. A person decides with a reason: nothing wrong (RELEASED) or fraud (CONFIRMED). Fraud over an amount is proposed by one
   person and confirmed by another. Released claims are judged again like all others; of confirmed ones the held end and the
   earned are taken back, when nobody can appeal any more.
4. The guide sees the case with its evidence and may appeal once, until a moment that she is told. An appeal against a
   confirmed case opens it again, with another person to decide; what is decided after an appeal is final.
5. How much of what was paid has later proven fake is counted and published (``figures``).
"""

from guides.integrity.cases import (
    CannotAppeal,
    CannotDecide,
    appeal,
    confirm,
    finish,
    limits_of,
    look,
    release,
    run,
    start_daily,
)
from guides.integrity.counting import KIND

__all__ = [
    "KIND", "CannotAppeal", "CannotDecide", "appeal", "confirm", "finish", "limits_of", "look", "release", "run",
    "start_daily",
]  # fmt: skip
