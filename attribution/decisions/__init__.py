"""Decisions (归属判定): every line that waits is decided once and posted; what changes later only adds or reverses.

1. A line waits in ``LineToDecide`` from its arrival, a new version or a refund on. Whoever claims it there (SKIP LOCKED)
   decides and posts it in the same transaction; a kill leaves it waiting.
2. A line without a live decision is decided as of its payment and its commission accrued on its full base. Then its
   refunds are applied, one by one, in the order of their time and number.
3. A line that is decided keeps its winner. A new version moves the commission by the difference.
4. A new decision, linked to the one it supersedes, is taken only when a risk mark was cleared, a line became or ceased to
   be eligible, two people named another guide, or the buyer of a provisional line was recognised within the late-link
   window. What was posted for the old one is reversed first.
5. When it turns out that another store hands the order over, the new decision keeps the winner and the commission as they
   stand; only the fulfilment fee is posted.
6. A held or ineligible line has a decision and nothing in the ledger.
"""

from attribution.decisions.running import CHUNK, decide_lines, decide_open, finalise
from attribution.decisions.work import Outcome

__all__ = ["CHUNK", "Outcome", "decide_lines", "decide_open", "finalise"]
