"""Consent (同意): who lets us reach her, for which purpose.

1. A member says yes or no to a purpose (用途) on her own: marketing through WeCom, marketing by text message. Each word is
   kept for ever with its time, its source and the version of the wording she was shown; what stands is her last word.
2. A word that arrives late (an import, a delayed reply) counts by the time it was said: it is kept, and changes what stands
   only if nothing later has been said. A no and a yes of the same moment: the no stands.
3. Text messages need a yes before the first one. Through WeCom she is reached by a guide whom she added herself: there the
   message goes unless she has said no.
4. Whoever sends asks ``refusing`` in the transaction in which he marks the message as being sent, even when it was planned
   before (S7): a no that was committed before that moment is obeyed.
5. Nothing is taken back for her when members are merged: of the words of both the last one stands (``refusing`` is asked for
   the member who remains; the merge says her words again).

Rule 3: 个人信息保护法 art. 13–16 and 24; 通信短信息服务管理规定 art. 18.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from members.models import Consent, ConsentSource, ConsentWord, Member, Purpose
from scrm import audit, db
from scrm.errors import RuleViolation

NEEDS_YES = frozenset({Purpose.SMS_MARKETING})


class BadConsent(RuleViolation):
    code = "bad_consent"


# --- the pure rule ----------------------------------------------------------------------------------------------------


def stands(*, is_given: bool, said_at: dt.datetime, standing_given: bool, standing_at: dt.datetime) -> bool:
    """Whether a word replaces the one that stands."""
    return said_at > standing_at or (said_at == standing_at and standing_given and not is_given)


def allows(purpose: str, is_given: bool | None) -> bool:
    """Whether a member with this last word, None for no word, may be reached."""
    return is_given if is_given is not None else purpose not in NEEDS_YES


def allowed_sql(purpose: str, member: str = "m.id") -> str:
    """SQL for rule 3, for the member whom the column ``member`` names. Both are constants of the program."""
    value = Purpose(purpose).value
    if value in NEEDS_YES:
        return f"EXISTS (SELECT 1 FROM members_consent y WHERE y.member_id = {member} AND y.purpose = '{value}' AND y.is_given)"
    return f"NOT EXISTS (SELECT 1 FROM members_consent y WHERE y.member_id = {member} AND y.purpose = '{value}' AND NOT y.is_given)"


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def say(
    *, member: Member, purpose: str, is_given: bool, source: str, said_at: dt.datetime, now: dt.datetime, actor: Any = None,
    wording: str = "",
) -> bool:  # fmt: skip
    """Record a yes or a no; whether it is what stands now. Raises BadConsent."""
    if purpose not in Purpose or source not in ConsentSource:
        raise BadConsent(_("Unknown purpose or source."))
    if said_at > now:
        raise BadConsent(_("A word of consent cannot come from the future."))
    ConsentWord.objects.create(
        member=member, purpose=purpose, is_given=is_given, source=source, wording=wording, said_at=said_at, recorded_by=actor,
    )  # fmt: skip
    values = {"is_given": is_given, "source": source, "said_at": said_at}
    values["given_at" if is_given else "withdrawn_at"] = said_at
    row, is_new = Consent.objects.get_or_create(member=member, purpose=purpose, defaults=values)
    changed = is_new
    if not is_new:
        (row,) = db.lock(Consent.objects.filter(pk=row.pk))
        changed = stands(is_given=is_given, said_at=said_at, standing_given=row.is_given, standing_at=row.said_at)
        if changed:
            if is_given:
                row.withdrawn_at = None
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
    audit.record(
        actor=actor, verb="consent.give" if is_given else "consent.withdraw", target=member, purpose=purpose, source=source,
    )  # fmt: skip
    return changed


def refusing(*, member_ids: Collection[int], purpose: str) -> set[int]:
    """Those of the members who may not be reached for this purpose now."""
    if not member_ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT w.id FROM unnest(%s::bigint[]) w (id) WHERE NOT ({allowed_sql(purpose, 'w.id')})",
            [db.array(member_ids)],
        )
        return {member_id for (member_id,) in cursor.fetchall()}
