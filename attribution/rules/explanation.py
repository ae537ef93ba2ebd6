"""A decision in plain Chinese sentences, from its reason codes through one table. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, timezone

from attribution import commissions
from attribution.commissions import BP, Role, Share
from attribution.rules.decision import HQ_POOL, Candidate, Decision, Reason, State
from attribution.rules.facts import OrderFacts
from attribution.rules.version import Mode
from guides import touches

SHANGHAI = timezone(timedelta(hours=8))

MODES = {
    Mode.SERVICE_FIRST: "服务优先（专属导购 > 分享 > 收银）",
    Mode.SHARE_FIRST: "分享优先（分享 > 专属导购 > 收银）",
    Mode.POS_FIRST: "收银优先（收银 > 专属导购）",
    Mode.SPLIT: "销售与服务分摊",
}
CANDIDATES = {"C0": "人工指定", "C1": "收银导购", "C2": "分享触点", "C3": "专属关系", "C4": "归属门店", "C5": "总部池"}
ROLES = {
    Role.SELLER: "销售",
    Role.SERVICE: "服务",
    Role.DELEGATE: "代班或接手",
    Role.IP: "品牌号",
    Role.HOME: "归属门店",
    Role.ENTITY: "经营主体",
    Role.FULFIL: "履约",
    Role.HQ: "总部",
}
BUDGETS = {"brand": "品牌预算", "ecom": "电商预算", "entity": "主体自有预算", "promo": "推广预算"}
REASONS: dict[str, str] = {
    Reason.WON: "排位最前的有效候选，获得本行归属",
    Reason.WON_SELLER: "作为销售方参与分摊",
    Reason.WON_SERVICE: "作为服务方参与分摊",
    Reason.SAME_PERSON: "与销售方为同一人，不重复计算",
    Reason.OUTRANKED: "有效，但排位在获得者之后",
    Reason.NOT_IN_MODE: "本规则模式不采用该类候选",
    Reason.NOT_APPROVED: "人工指定未经第二人批准，不生效",
    Reason.UNKNOWN_GUIDE: "小票上的导购编码在系统中不存在",
    Reason.GUIDE_NOT_EMPLOYED: "付款时该导购不在职",
    Reason.SELF_DEAL: "买家就是该导购本人，自购不计",
    Reason.BINDING_NOT_ACTIVE: "付款时该专属关系未生效或已失效",
    Reason.LATE_LINK: "会员身份补关联已超过期限，不再改判",
    Reason.IS_TEST: "测试订单",
    Reason.IS_GIFT_CARD: "购买礼品卡",
    Reason.IS_WHOLESALE: "批发订单",
    Reason.IS_STAFF_PRICE: "员工价订单",
    Reason.IS_VOIDED: "已作废的订单行",
    Reason.IS_GROUP_FAILED: "拼团未成团",
    touches.Fault.UNSIGNED: "触点没有有效签名",
    touches.Fault.EXPIRED: "触点在下单时已过期",
    touches.Fault.OTHER_OBJECT: "触点的对象不包含该商品",
}
STATES = {
    State.LIVE: "状态：已生效。",
    State.PROVISIONAL: "状态：暂定。买家身份未知且无人认领，{until} 前补关联会员可改判，逾期即为最终结果。",
    State.HELD: "状态：暂缓。订单带有风险标记（{reason}），解除前不入账。",
    State.INELIGIBLE: "状态：不计佣。原因：{reason}。",
}


def explain(
    decision: Decision, *, rule_name: str, line: OrderFacts | None = None, names: Mapping[str, str] | None = None
) -> list[str]:
    """Sentences: rule, winner, each loser and why, the money step by step, the state.

    `names` turns a beneficiary code into a name to show beside it; `line` adds how the base came about.
    """
    names = names or {}
    at = decision.as_of.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
    sentences = [f"规则：{rule_name}，{MODES[decision.mode]}；按付款时刻 {at} 的事实判定。"]
    winners = decision.winners
    sentences += [f"获得者：{_who(candidate, names)}——{REASONS[candidate.reason]}。" for candidate in winners]
    sentences += [
        f"未获得：{_who(candidate, names)}——{REASONS[candidate.reason]}。"
        for candidate in decision.candidates
        if candidate not in winners
    ]
    if decision.state != State.INELIGIBLE:
        sentences += _money(decision, line, names)
    until = decision.provisional_until
    reason = REASONS.get(decision.reason, decision.reason)
    shown = until.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S") if until else ""
    sentences.append(STATES[decision.state].format(until=shown, reason=reason))
    return sentences


def _money(decision: Decision, line: OrderFacts | None, names: Mapping[str, str]) -> list[str]:
    sentences = []
    if line is not None and decision.base_fen != line.paid_fen:
        sentences.append(
            f"计佣基数：实付 {yuan(line.paid_fen)} 元 − 积分与礼品卡 {yuan(line.points_fen)} 元"
            f" = {yuan(decision.base_fen)} 元。"
        )
    else:
        sentences.append(f"计佣基数：{yuan(decision.base_fen)} 元。")
    capped = commissions.pot(decision.base_fen, decision.rate_bp) != decision.pot_fen
    sentences.append(
        f"佣金：{yuan(decision.base_fen)} 元 × {percent(decision.rate_bp)}"
        + (f"，封顶为 {yuan(decision.pot_fen)} 元。" if capped else f" = {yuan(decision.pot_fen)} 元（四舍五入到分）。")
    )
    whole = sum(share.weight for share in decision.shares)
    amounts = commissions.split(decision.pot_fen, decision.shares)
    if decision.budget != "brand":
        sentences.append(f"由{BUDGETS[decision.budget]}承担。")
    sentences += [
        f"分配：{named(share.beneficiary, names)}（{ROLES[share.role]}）{_portion(share, whole)}，{yuan(amount)} 元。"
        for share, amount in zip(decision.shares, amounts, strict=True)
    ]
    for fee in decision.fees:
        sentences += _fee(fee, names)
    return sentences


def _fee(fee: commissions.Pot, names: Mapping[str, str]) -> list[str]:
    after = "退货后保留" if fee.keeps_on_refund else "退货按比例冲回"
    sum_text = f"{yuan(fee.base_fen)} 元 × {percent(fee.rate_bp)} = {yuan(fee.amount_fen)} 元"
    sentences = [f"履约费：{sum_text}，由{BUDGETS[fee.budget]}承担，{after}。"]
    whole = sum(share.weight for share in fee.shares)
    return sentences + [
        f"履约费分配：{named(share.beneficiary, names)} {_portion(share, whole)}，{yuan(amount)} 元。"
        for share, amount in zip(fee.shares, commissions.split(fee.amount_fen, fee.shares), strict=True)
    ]


def _who(candidate: Candidate, names: Mapping[str, str]) -> str:
    if candidate.beneficiary == HQ_POOL:
        return "总部池"
    shown = f"{CANDIDATES[candidate.type]} {named(candidate.beneficiary, names)}"
    return f"{shown}（触点 {candidate.ref}）" if candidate.type == "C2" else shown


def named(code: str, names: Mapping[str, str]) -> str:
    if code in names:
        return f"{names[code]}（{code}）"
    kind, colon, rest = code.partition(":")
    if not colon:
        return "总部池" if code == HQ_POOL else f"导购 {code}"
    return {"STORE": "门店池", "IP": "品牌号", "ENTITY": "经营主体"}[kind] + f" {rest}"


def _portion(share: Share, whole: int) -> str:
    return f"占 {percent((share.weight * BP + whole // 2) // whole)}"


def yuan(fen: int) -> str:
    return f"{fen // 100:,}.{fen % 100:02d}"


def percent(bp: int) -> str:
    text = f"{bp // 100}.{bp % 100:02d}".rstrip("0").rstrip(".")
    return f"{text} %"
