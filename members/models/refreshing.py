"""The queue of members whose facts are to be counted again, and the triggers that fill it.

A trigger, because purchases change in many ways (a new version, a refund, a late identity, a void) and none may be missed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

EVERYBODY = 0  # a row that asks for a rebuild of all


class MemberToRefresh(models.Model):
    """A member whose facts do not yet say what her purchases say (待更新), written in the transaction that changes them.

    Rows are only added and taken away: no two writers ever wait for each other here, and a member may stand in several.
    """

    member_id = models.BigIntegerField()

    class Meta:
        verbose_name = _("member to refresh")
        verbose_name_plural = _("members to refresh")

    def __str__(self) -> str:
        return f"#{self.member_id}"


def refresh_buyers_of_new_lines() -> pgtrigger.Trigger:
    return _trigger(
        "refresh_new_buyers", pgtrigger.Insert, "SELECT DISTINCT member_id FROM new_rows WHERE member_id IS NOT NULL"
    )


def refresh_when_changed(name: str, columns: Sequence[str], members: Sequence[str]) -> pgtrigger.Trigger:
    """After an update of any of ``columns``: the members named by the columns ``members``, before and after it."""
    old, new = (f"({', '.join(f'{row}.{column}' for column in columns)})" for row in "on")
    named = ", ".join(f"({row}.{column})" for column in members for row in "on")
    return _trigger(
        name,
        pgtrigger.Update,
        f"SELECT DISTINCT v.member_id FROM old_rows o JOIN new_rows n ON n.id = o.id AND {old} IS DISTINCT FROM {new},"
        f" LATERAL (VALUES {named}) v (member_id) WHERE v.member_id IS NOT NULL",
    )


def refresh_everybody_when_changed(name: str, columns: Sequence[str]) -> pgtrigger.Trigger:
    old, new = (f"({', '.join(f'{row}.{column}' for column in columns)})" for row in "on")
    return _trigger(
        name,
        pgtrigger.Update,
        f"SELECT {EVERYBODY} WHERE EXISTS (SELECT 1 FROM old_rows o JOIN new_rows n ON n.id = o.id AND {old} IS DISTINCT FROM {new})",
    )


def _trigger(name: str, operation: pgtrigger.Operation, members: str) -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=pgtrigger.Referencing(new="new_rows", old=None if operation is pgtrigger.Insert else "old_rows"),
        func=f"""
    INSERT INTO members_membertorefresh (member_id) {members};
    RETURN NULL;
""",
    )
