"""From WeCom's answer to a finding: pure, one function per question."""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any

from scrm.models import WecomApp
from scrm.wecom.diagnosis.areas import AREAS
from scrm.wecom.diagnosis.asking import ANSWERED, BLOCKED, LATE, REFUSED, UNREACHABLE, Outcome
from scrm.wecom.diagnosis.findings import Finding

TAGS_PER_CORP = 10_000
NEAR = 0.9  # of a quota
FEW_UNIONIDS = 0.9
LOW_BALANCE = 20  # below it WeCom itself begins to warn
WECHAT = 1
NOT_BOUND = 41057
# refusals that say the same wherever they come; the rest of an app's questions need not be asked
EVERYWHERE = {60020: "ip.untrusted", 50003: "credentials.disabled", 50006: "credentials.disabled"}
NO_PERMISSION = frozenset({48001, 48002, 48003, 48004, 48006, 84074})
IDS_ONLY = 48009
OUTSIDE = frozenset({50002, 60011, 60021, 60030})
OF_TOKEN = {
    40001: "credentials.wrong_secret",
    40013: "credentials.wrong_corp",
    40091: "credentials.foreign_secret",
    45009: "credentials.banned",
    45031: "credentials.weak_secret",
}
OF_AREA = {
    40056: "credentials.agent",
    301002: "credentials.agent",
    41200: "links.off",
    41211: "moments.off",
    45009: "quota.blocked",
    45036: "quota.blocked",
}
BY_KIND = {UNREACHABLE: "wecom.unreachable", BLOCKED: "quota.blocked", LATE: "wecom.late"}


def is_final(outcome: Outcome) -> bool:
    """Whether the app's other questions would be answered alike."""
    return outcome.kind in (UNREACHABLE, LATE) or outcome.errcode in EVERYWHERE


def token(app: WecomApp, outcome: Outcome) -> Finding:
    if outcome.kind == ANSWERED:
        return Finding("credentials.ok", app.name)
    if outcome.kind == BLOCKED:  # whoever asks for the token right now will know
        return Finding("wecom.late", app.name)
    code = OF_TOKEN.get(outcome.errcode) if outcome.kind == REFUSED else None
    return Finding(code, app.name, _facts(app, outcome)) if code else _general(app, "", outcome)


def area(app: WecomApp, name: str, outcome: Outcome) -> Finding:
    what = AREAS[name]
    if outcome.kind == ANSWERED or outcome.errcode in what.fine:
        return Finding("permission.ok", app.name, areas=(name,))
    facts, code = _facts(app, outcome), ""
    if outcome.errcode in NO_PERMISSION:
        code = f"permission.missing_{what.permission}"
    elif outcome.errcode == IDS_ONLY:
        code = "permission.ids_only"
    elif outcome.errcode in OUTSIDE:
        code = "permission.outside"
    elif outcome.errcode in OF_AREA:
        code = OF_AREA[outcome.errcode]
    return Finding(code, app.name, facts, (name,)) if code else _general(app, name, outcome)


def _general(app: WecomApp, name: str, outcome: Outcome) -> Finding:
    areas, facts = ((name,) if name else ()), _facts(app, outcome)
    if outcome.errcode in EVERYWHERE:
        return Finding(EVERYWHERE[outcome.errcode], app.name, facts)
    if outcome.kind == UNREACHABLE:
        return Finding("wecom.unreachable", "", {"detail": outcome.detail or "-"})
    if outcome.kind in BY_KIND:
        return Finding(BY_KIND[outcome.kind], app.name, facts, areas)
    if outcome.kind == REFUSED:
        return Finding("permission.refused" if name else "credentials.refused", app.name, facts, areas)
    return Finding("wecom.unreadable", app.name, facts, areas)


def _facts(app: WecomApp, outcome: Outcome) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": str(app.kind), "corp_id": app.corp.corp_id, "agent_id": app.agent_id or 0}
    if outcome.kind == REFUSED:
        facts["errcode"] = outcome.errcode
    if outcome.errcode == 60020:
        facts["ip"] = outcome.ip or "?"
    return facts


# --- what the answers say beside the permission -----------------------------------------------------------------------


def unionids(app: WecomApp, rows: list[dict[str, Any]], proof: Outcome | None) -> Finding:
    """``rows`` are contacts of one member; ``proof`` is what WeCom said to one without a unionid, when it was asked."""
    people = [row for row in rows if row.get("type") == WECHAT]
    known = sum(bool(row.get("unionid")) for row in people)
    facts = {"known": known, "asked": len(people)}
    if not people:
        return Finding("unionid.unknown", app.name)
    if not known:
        is_unbound = proof is not None and proof.errcode == NOT_BOUND
        return Finding("unionid.unbound" if is_unbound else "unionid.none", app.name, facts)
    return Finding("unionid.few" if known < FEW_UNIONIDS * len(people) else "unionid.ok", app.name, facts)


def followers(app: WecomApp, userids: list[str]) -> Finding:
    return Finding("followers.ok" if userids else "followers.none", app.name, {"count": len(userids)})


def tags(app: WecomApp, answer: dict[str, Any]) -> Finding:
    used = sum(len(group.get("tag") or ()) for group in answer.get("tag_group") or ())
    return Finding(_of_quota("quota.tags", used, TAGS_PER_CORP), app.name, {"used": used, "most": TAGS_PER_CORP})


def mass_sends(app: WecomApp, answer: dict[str, Any], now: dt.datetime) -> Finding:
    """A customer may get as many mass-sent messages a month as it has days: so many tasks may reach her, no more."""
    used = len(answer.get("group_msg_list") or ())
    most = calendar.monthrange(now.year, now.month)[1]
    return Finding(_of_quota("quota.mass", used, most), app.name, {"used": used, "most": most})


def balance(app: WecomApp, answer: dict[str, Any]) -> Finding | None:
    """None for a corp that never bought any."""
    total, left = int(answer.get("total") or 0), int(answer.get("balance") or 0)
    if not total:
        return None
    return Finding(f"quota.balance_{'low' if left < LOW_BALANCE else 'ok'}", app.name, {"left": left, "most": total})


def ways(corp_name: str, used: int, most: int) -> Finding:
    return Finding(_of_quota("quota.ways", used, most), corp_name, {"used": used, "most": most})


def _of_quota(code: str, used: int, most: int) -> str:
    return f"{code}_{'near' if used >= NEAR * most else 'ok'}"
