"""Settlement (结算): from money that is due to money that has arrived.

1. A period is a calendar month of posting (``periods``); it is settled once, and what is posted later belongs to a later one.
"""

from attribution.periods import is_closed, period_of

__all__ = ["is_closed", "period_of"]
