"""A sample company (示例公司): a fresh-fruit chain for a newcomer to look at, never mixed up with real data.

1. It is a pure function of a seed and a day: the same two give the same five files to the byte.
2. It comes in through the same imports as anybody's data; nothing of it is written past them.
3. Its store, guide, card and order codes begin with DEMO, its mobile numbers stand in a block no operator was given.
4. Nothing in it lies in the future: today's orders end at the present moment.
5. Its logins have published passwords and exist outside production only.
"""

from attribution.sample.company import ZONE, Company, make, until

__all__ = ["ZONE", "Company", "make", "until"]
