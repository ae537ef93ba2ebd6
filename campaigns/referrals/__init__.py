"""Referral (老带新): a member brings a new customer, one level and no further.

1. A programme names the referrer's coupon, the reward of the guide who serves the referrer, what earns them, caps and a budget. One
   person writes it, another publishes it; published programmes of a brand do not overlap. From then on it only ends.
2. A member gets a signed link while a programme runs (``linking``). It names her, her guide and store of that moment, and expires.
3. Who joins through it is new to the brand, is nobody who works here and not the referrer herself, and has not referred her by
   any chain of referrals. Anybody else is told why not (``joining``). A person joins once; who came first through another link
   stays hers.
4. One level: a referral pays its referrer and her guide. Nothing goes to whoever brought the referrer; the database knows no such
   person, gives the coupon to nobody but the referrer and refuses a ring (A15, A7).
5. Joining reserves coupon and reward out of the budget; a referral that ends void gives them back.
6. A referral is held (CLAIMED). It is earned when the new customer has registered with a verified number, has bought for the least
   amount, and the cooling days after her first purchase are over, within the caps. It is void when a check fails later, for
   numbers and accounts become known later, or when its time is up (``judging``).
7. Flags (a burst through one link, a chain of referrals) order a review and convict nobody: until a person has decided, nothing
   is earned and nothing ends (``reviewing``). What was earned and is proven fake is taken back.
8. The referrer's coupon is given once; the guide's reward is posted by whoever keeps the books, who follows the status.
"""

from __future__ import annotations

from campaigns.referrals import figures, joining, judging, linking, programmes, reviewing
from campaigns.referrals.refusals import ReferralRefused
from scrm import jobs

__all__ = ["ReferralRefused", "figures", "joining", "judging", "linking", "programmes", "register", "reviewing"]


def register() -> None:
    """Called from ``AppConfig.ready``."""
    jobs.register(judging.KIND, judging.run)
