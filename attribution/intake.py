"""Intake (接入): order lines and refunds come in as lists or as signed events of a channel, and end decided and posted.

1. A list is recorded in chunks and then decided in the same job, unless the job says not to (``attribute`` false); what is
   not decided waits in its queue.
"""

from __future__ import annotations

from typing import Any

from attribution import decisions
from members import purchase_import, purchases
from members.models import LineToDecide
from scrm import jobs

# --- lists ------------------------------------------------------------------------------------------------------------


def import_orders(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_orders``."""
    return _and_decide(progress, purchase_import.import_orders(progress))


def import_refunds(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_refunds``."""
    return _and_decide(progress, purchase_import.import_refunds(progress))


def _and_decide(progress: jobs.Progress, summary: dict[str, Any]) -> dict[str, Any]:
    params = progress.job.params
    if params.get("dry_run"):
        return summary
    purchases.apply_waiting()
    if not params.get("attribute", True):
        return summary
    progress.stage("decide", LineToDecide.objects.count())
    return {**summary, "decided": decisions.decide_open(progress=progress.done, workers=params.get("workers") or 1)}
