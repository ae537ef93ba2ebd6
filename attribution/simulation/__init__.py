"""Simulation (试算): what real orders would have paid under another rule, before anybody publishes it. Posts nothing.

1. A simulation asks for a period of payment days, a rule version (a draft, as a rule) or the published rules, and
   another mode where one is named. What the rule said is kept as its digest: a draft that changed since is told apart.
2. "Now" (现在) is what stands: the live decision's shares for the credit, what is posted and not taken back for the
   commission. A line that is not decided yet counts by the rule in force. "Then" (试算) is the same line decided under the
   rule that is asked about, on the same evidence as of payment, after the same refunds.
3. Where both rules decide a line alike, its posted amounts stand on both sides; so a rule compared with itself changes
   nothing, to the fen.
4. The evidence is what the decision saw: a touch recorded or a visitor recognised after it does not count. A buyer found
   out after the first decision counts as the rule would have had it: inside its late-link window only, and only when the
   line had been left provisional. So the published rules give back the books, line by line.
5. Credit (业绩) is the line's sale net of refunds, commission (佣金) what would be owed for it; a line held back or not
   eligible counts for nobody.
6. The hundred lines on which most money changes hands are kept one by one, each with both decisions in words.
7. The work is cut into ranges of line ids. A range is done once, whoever does it; a killed or cancelled run leaves the
   ranges that are done, and running it again ends in the same rows.
8. A draft that is edited while its simulation runs fails it: half of it would be of another rule.
"""

from attribution.simulation.replay import commission
from attribution.simulation.runs import KIND, CannotSimulate, RuleChanged, cancel, start, take_part, work

__all__ = ["KIND", "CannotSimulate", "RuleChanged", "cancel", "commission", "start", "take_part", "work"]
