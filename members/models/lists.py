"""What member lists have already brought, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _


class ListRow(models.Model):
    """A row of a member list that has nothing more to say about its member (已入库名单行).

    ``digest`` is keyed: equal digests are equal cells under an equal mapping, and nothing can be read from it. A change of
    the member by anybody else deletes the row (``forget_list_rows``), so that the list is heard again.
    """

    # no foreign key: members are never deleted, and the rows come by the million
    member_id = models.BigIntegerField(_("member"), primary_key=True)
    digest = models.UUIDField(_("digest"), db_index=True)

    class Meta:
        verbose_name = _("list row")
        verbose_name_plural = _("list rows")

    def __str__(self) -> str:
        return f"#{self.member_id}"


def forget_list_rows(
    name: str, operation: pgtrigger.Operation, *, member: str = "member_id", changed: Sequence[str] = ()
) -> pgtrigger.Trigger:
    """A trigger on a table that member lists write to: what its rows say of a member changes, so her list row goes.

    ``changed``: for an update, only if one of these columns differs.
    """
    is_update = bool(changed)
    where = f"o.{member} = l.member_id"
    rows = "old_rows o"
    if is_update:
        values = [f"({', '.join(f'{row}.{column}' for column in changed)})" for row in "on"]
        rows = f"old_rows o JOIN new_rows n ON n.id = o.id AND {values[0]} IS DISTINCT FROM {values[1]}"
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=pgtrigger.Referencing(old="old_rows", new="new_rows" if is_update else None),
        func=f"""
    DELETE FROM members_listrow l USING {rows} WHERE {where};
    RETURN NULL;
""",
    )
