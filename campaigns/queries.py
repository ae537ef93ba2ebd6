"""Answers of campaigns to screens, reports and other apps."""

from __future__ import annotations

from scrm import db

COUNTED = 10_000  # runs of a version are counted exactly up to here

RUNS = """
    SELECT s.status, (SELECT count(*) FROM (
        SELECT 1 FROM campaigns_soprun r WHERE r.version_id = %(version)s AND r.status = s.status LIMIT %(most)s
    ) r) FROM unnest(ARRAY['ACTIVE', 'DONE', 'STOPPED']) s (status)
"""


def run_counts(*, version_id: int) -> dict[str, int]:
    """Customers per state in one version of an SOP; ``COUNTED`` stands for that many or more."""
    return dict(db.fetch(RUNS, {"version": version_id, "most": COUNTED}))


def at_most(count: int) -> str:
    return f"{count:,}" if count < COUNTED else f"{COUNTED:,}+"
