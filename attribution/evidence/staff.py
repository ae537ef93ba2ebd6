"""The guides that some lines name: who they are, where they worked and who stood in for them, over all time."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

from attribution import rules
from scrm import db


class Staff:
    """Few distinct facts serve many lines."""

    def __init__(self) -> None:
        self.store_ids: dict[str, int] = {}  # of the stores where they worked
        self._codes: dict[int, str] = {}
        self._keys: dict[int, frozenset[str]] = {}
        self._employments: dict[int, list[tuple[dt.datetime, dt.datetime | None, str, str]]] = defaultdict(list)
        self._delegations: dict[int, list[tuple[dt.datetime, dt.datetime | None, int, int]]] = defaultdict(list)
        self._ips: dict[int, list[tuple[dt.datetime, dt.datetime | None, str]]] = defaultdict(list)
        self._facts: dict[tuple[int, int, str | None], rules.GuideFact] = {}
        self._alone: dict[int, tuple[dt.datetime, rules.GuideFact]] = {}
        self.all_keys: frozenset[str] = frozenset()

    @classmethod
    def read(cls, guide_ids: Iterable[int | None]) -> Staff:
        staff = cls()
        staff.add(guide_ids)
        return staff

    def add(self, guide_ids: Iterable[int | None]) -> None:
        """Read those that are not known yet, and who stands in for them."""
        ids = [guide_id for guide_id in _ids(guide_ids) if guide_id not in self._codes]
        if not ids:
            return
        ids = self._with_delegates(ids)
        array = db.array(ids)
        guides, employments, ips = db.read_together((GUIDES, [array]), (EMPLOYMENTS, [array]), (BRAND_IPS, [array]))
        for guide_id, code, mobile_index, unionid, member_ids in guides:
            self._codes[guide_id] = code
            keys = [f"member:{member_id}" for member_id in member_ids or ()]
            keys += [f"mobile:{mobile_index}"] if mobile_index else []
            keys += [f"unionid:{unionid}"] if unionid else []
            self._keys[guide_id] = frozenset(keys)
        self.all_keys = frozenset().union(*self._keys.values())
        for guide_id, started_at, ended_at, store_id, store, entity in employments:
            self.store_ids[store] = store_id
            self._employments[guide_id].append((started_at, ended_at, store, entity))
        for guide_id, started_at, ended_at, code in ips:
            self._ips[guide_id].append((started_at, ended_at, code))

        for guide_id in ids:
            jobs = self._employments.get(guide_id, [])
            is_alone = guide_id not in self._ips and guide_id not in self._delegations
            if is_alone and len(jobs) == 1 and jobs[0][1] is None:
                self._alone[guide_id] = (jobs[0][0], self.fact(guide_id, jobs[0][0]))

    def _with_delegates(self, ids: list[int]) -> list[int]:
        """These and the new ones who stand in for them; each of them is known with who stands in for her in turn, since she
        is not read again where a later line is her own."""
        found, fresh = set(ids), ids
        while fresh:
            rows = db.read(DELEGATIONS, [db.array(fresh)])
            for guide_id, started_at, ended_at, delegate_id, delegate_bp in rows:
                self._delegations[guide_id].append((started_at, ended_at, delegate_id, delegate_bp))
            fresh = sorted({row[3] for row in rows} - found - self._codes.keys())
            found.update(fresh)
        return sorted(found)

    def alone(self, guide_id: int, at: dt.datetime) -> rules.GuideFact | None:
        """The fact of a guide who has been in one place ever since, whom nobody has stood in for: nearly every one.

        None says nothing: ask for the fact, the delegation and the IP.
        """
        found = self._alone.get(guide_id)
        return found[1] if found is not None and found[0] <= at else None

    def fact(self, guide_id: int, at: dt.datetime) -> rules.GuideFact:
        """The guide as she was at that moment; the account of a brand IP is that IP."""
        ip = self.ip(guide_id, at) if self._ips else None
        which = -1
        for index, (started_at, ended_at, _store, _entity) in enumerate(self._employments[guide_id]):
            if started_at <= at and (ended_at is None or at < ended_at):
                which = index
                break
        fact = self._facts.get((guide_id, which, ip))
        if fact is None:
            fact = self._facts[guide_id, which, ip] = self._make(guide_id, which, ip)
        return fact

    def ip(self, guide_id: int, at: dt.datetime) -> str | None:
        """The code of the brand IP whose account this was."""
        for started_at, ended_at, code in self._ips.get(guide_id, ()):
            if started_at <= at and (ended_at is None or at < ended_at):
                return code
        return None

    def delegation(self, guide_id: int, at: dt.datetime) -> tuple[int, int] | None:
        """The delegate and her share in bp while the guide is on leave."""
        for started_at, ended_at, delegate_id, delegate_bp in self._delegations.get(guide_id, ()):
            if started_at <= at and (ended_at is None or at < ended_at):
                return delegate_id, delegate_bp
        return None

    def _make(self, guide_id: int, which: int, ip: str | None) -> rules.GuideFact:
        code, keys = f"IP:{ip}" if ip else self._codes[guide_id], self._keys[guide_id]
        if which < 0:
            return rules.GuideFact(code, None, is_employed=False, keys=keys)
        _, _, store, entity = self._employments[guide_id][which]
        return rules.GuideFact(code, store, entity=entity, keys=keys)


# A guide who is a member herself is found by her mobile number or unionid, so that she cannot serve herself.
GUIDES = """
    SELECT g.id, g.code, g.mobile_index, g.unionid, (
        SELECT array_agg(i.member_id) FROM members_identity i
        WHERE i.value IN (g.mobile_index, g.unionid) AND i.kind IN ('MOBILE', 'UNIONID')
    )
    FROM guides_guide g WHERE g.id = ANY(%s::bigint[])
"""

EMPLOYMENTS = """
    SELECT t.guide_id, t.started_at, t.ended_at, s.id, s.code, CASE e.kind WHEN 'HQ' THEN 'HQ' ELSE e.code END
    FROM guides_employment t JOIN scrm_store s ON s.id = t.store_id JOIN scrm_legalentity e ON e.id = s.entity_id
    WHERE t.guide_id = ANY(%s::bigint[]) ORDER BY t.guide_id, t.started_at DESC
"""


DELEGATIONS = """
    SELECT guide_id, started_at, ended_at, delegate_id, delegate_bp FROM guides_delegation WHERE guide_id = ANY(%s::bigint[])
"""

BRAND_IPS = "SELECT guide_id, started_at, ended_at, code FROM guides_brandip WHERE guide_id = ANY(%s::bigint[])"


def _ids(ids: Iterable[int | None]) -> list[int]:
    return sorted({one for one in ids if one})
