"""Disputes (申诉): a guide says that a line is hers; two people who gain nothing by it decide.

1. A guide opens a dispute from a line she can see, says why (申诉理由) and adds evidence. A line has one open dispute; the same
   claim against the same decision is heard once. Until 30 days after the statement that paid the line it may be opened.
2. While it is open, what the line earned is held for both (冻结): it neither vests nor is paid out.
3. The store manager gives an opinion within 3 days; without one the dispute goes on to the region and HQ by itself, which have
   7 days. The clock is shown; a late one is red, never decided by default.
4. A verdict takes two people (双人裁决): one proposes, another confirms or sends it back. Neither may be a party: the
   claimant, or somebody credited on the line.
5. Upheld: the line is decided again with the claimant named by both (C0); the old shares are taken back and the new ones
   accrued in the open period. Nothing is edited. Rejected or withdrawn: the money is released, nothing else changes.
6. The share of disputes upheld per rule version (改判率) says which rules people do not accept.
"""
