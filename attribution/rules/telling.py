"""A decision in one sentence (一句话说明) for the person who reads it: which rule, why she has it or has not, and how much."""

from __future__ import annotations

from collections.abc import Mapping

from attribution import commissions
from attribution.commissions import Role, Share
from attribution.rules.decision import HQ_POOL, Candidate, Decision, State
from attribution.rules.explanation import CANDIDATES, REASONS, named, percent, yuan
from attribution.rules.version import Mode

SHORT = {
    Mode.SERVICE_FIRST: "服务优先",
    Mode.SHARE_FIRST: "分享优先",
    Mode.POS_FIRST: "收银优先",
    Mode.SPLIT: "销售与服务分摊",
}
BECAUSE = {
    "C0": "经两人审批，本行指定给您",
    "C1": "您是小票上的收银导购",
    "C2": "会员下单前最后打开的是您的分享",
    "C3": "您是该会员的专属导购",
}
BY_ROLE = {
    Role.DELEGATE: "您为该会员的专属导购代班或接手",
    Role.FULFIL: "您交付了这笔订单",
}
AFTER = {
    State.PROVISIONAL: "目前为暂定",
    State.HELD: "订单带有风险标记，解除前不入账",
}


def in_one_sentence(decision: Decision, *, viewer: str, version: int, names: Mapping[str, str] | None = None) -> str:
    """For the guide ``viewer`` (a code); somebody else reads who has the line."""
    names = names or {}
    if decision.state == State.INELIGIBLE:
        return f"本行不计佣：{REASONS.get(decision.reason, decision.reason)}。"
    rule = f"按‘{SHORT[decision.mode]}’规则 v{version}："
    hers = [(share, fen) for share, fen in _amounts(decision) if share.beneficiary == viewer]
    said = _won(decision, viewer, hers) if hers else _lost(decision, viewer, names)
    after = AFTER.get(decision.state)
    return f"{rule}{said}{f'；{after}' if after else ''}。"


def _amounts(decision: Decision) -> list[tuple[Share, int]]:
    found = []
    for pot in decision.pots:
        found += list(zip(pot.shares, commissions.split(pot.amount_fen, pot.shares), strict=True))
    return found


def _won(decision: Decision, viewer: str, hers: list[tuple[Share, int]]) -> str:
    whys = list(dict.fromkeys(_because(decision, share) for share, _ in hers))
    total = sum(fen for _, fen in hers)
    others = {share.beneficiary for share in decision.shares} - {viewer}
    if not others:
        return f"{'，'.join(whys)}，本行佣金 {yuan(total)} 元"
    whole = sum(share.weight for share in decision.shares)
    weight = sum(share.weight for share in decision.shares if share.beneficiary == viewer)
    part = f"（占 {percent((weight * 10_000 + whole // 2) // whole)}）" if weight else ""
    return f"{'，'.join(whys)}，本行佣金您得 {yuan(total)} 元{part}"


def _because(decision: Decision, share: Share) -> str:
    if share.role in BY_ROLE:
        return BY_ROLE[share.role]
    for winner in decision.winners:
        if winner.beneficiary == share.beneficiary and winner.type in BECAUSE:
            return BECAUSE[winner.type]
    return "您在本行有份额"


def _lost(decision: Decision, viewer: str, names: Mapping[str, str]) -> str:
    has = "、".join(_who(candidate, names) for candidate in decision.winners)
    mine = next((c for c in decision.candidates if c.beneficiary == viewer), None)
    if mine is None:
        return f"本行归{has}"
    return f"本行归{has}；您作为{CANDIDATES[mine.type]}未获得——{REASONS.get(mine.reason, mine.reason)}"


def _who(candidate: Candidate, names: Mapping[str, str]) -> str:
    if candidate.beneficiary == HQ_POOL:
        return "总部池"
    return f"{CANDIDATES[candidate.type]}{named(candidate.beneficiary, names)}"
