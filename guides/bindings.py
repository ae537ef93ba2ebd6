"""Bindings by the rule (专属导购绑定): a guide claims a member, and the rule answers.

1. A claim rests on a fact: a code scanned, a friend added, a contact recognised as a member. The same fact claims once;
   its repetition gets the first answer again.
2. Whether the claim holds is the policy in ``snatching`` under the rule in force. Claims on one member come one after the
   other: the first to commit wins, the next one is answered in view of it.
3. The binding names the store in which the guide works at that moment; who works nowhere binds nobody. A guide is never
   bound to herself: no mobile number, unionid or member of hers may be the member's.
4. A binding begins where the fact lies. What is learned late rewrites nothing: a claim from before the present binding
   takes nothing over, and one from within an ended binding begins where that one ended.
5. The end of the protection is promised when the binding opens; a later rule does not shorten it.
6. Every claim is kept with its answer, so that whoever is refused can read why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from guides import snatching
from guides.models import Binding, BindingRequest, Employment, Guide, ServiceAct
from guides.snatching import CurrentBinding, Policy, Validity, Verdict
from members.models import Identity, Member, OrderLine
from scrm import db

PolicyAt = Callable[[int, dt.datetime], Policy]  # of a brand's id, at a moment
_policy_at: PolicyAt = lambda brand_id, at: Policy()  # noqa: E731


def take_policy_from(policy_at: PolicyAt) -> None:
    """Called from ``AppConfig.ready`` of the app that keeps the rule book."""
    global _policy_at
    _policy_at = policy_at


_answered: list[Callable[[BindingRequest], None]] = []


def on_answered(listener: Callable[[BindingRequest], None]) -> None:
    """``listener`` is told of each new answer, in its transaction; called from ``AppConfig.ready``."""
    _answered.append(listener)


@dataclass(frozen=True, slots=True)
class Claim:
    """``key`` (96 characters) names the fact. ``at``: when it happened. ``more_keys``: further identities of the member."""

    key: str
    member_id: int
    guide_id: int
    source: str
    at: dt.datetime
    touch_id: int | None = None
    more_keys: frozenset[str] = frozenset()


@transaction.atomic
def bind(claim: Claim) -> tuple[BindingRequest, bool]:
    """Judge the claim and, if it holds, open the binding; the answer as it is kept, and whether it is new."""
    (member,) = db.lock(Member.objects.filter(pk=claim.member_id))
    answered = BindingRequest.objects.filter(key=claim.key).first()
    if answered is not None:
        return answered, False
    guide = Guide.objects.get(pk=claim.guide_id)
    store_id = store_id_at(guide.pk, claim.at)
    policy = _policy_at(member.brand_id, claim.at)
    holding = Binding.objects.filter(member=member, brand=member.brand_id, ended_at=None).first()
    verdict = _verdict(claim, member, guide, holding, policy, is_employed=store_id is not None)
    opened = None
    if verdict in snatching.OPENING:
        assert store_id is not None
        opened = _open(claim, member, holding, policy, store_id)
    request = BindingRequest.objects.create(
        key=claim.key,
        member=member,
        guide=guide,
        store_id=store_id,
        source=claim.source,
        answer=verdict,
        binding=opened or (holding if verdict == Verdict.UNCHANGED else None),
        holder_id=holding.guide_id if holding else None,
        protected_until=_protected_until(holding, policy) if verdict == Verdict.REFUSED_PROTECTED else None,
        touch_id=claim.touch_id,
        at=claim.at,
    )
    for listener in _answered:
        listener(request)
    return request, True


def store_id_at(guide_id: int, at: dt.datetime) -> int | None:
    """The store in which the guide worked at that moment."""
    worked = Employment.objects.filter(guide_id=guide_id, started_at__lte=at).filter(
        Q(ended_at=None) | Q(ended_at__gt=at)
    )
    return worked.order_by("-started_at").values_list("store_id", flat=True).first()


def keys_of_guide(guide: Guide) -> frozenset[str]:
    """What says that a guide and a member are one person."""
    keys = {f"mobile:{guide.mobile_index}"} if guide.mobile_index else set()
    return frozenset(keys | ({f"unionid:{guide.unionid}"} if guide.unionid else set()))


def keys_of_member(member: Member) -> frozenset[str]:
    kinds = (Identity.Kind.MOBILE, Identity.Kind.UNIONID)
    rows = Identity.objects.filter(member=member, kind__in=kinds).values_list("kind", "value")
    return frozenset(f"{kind.lower()}:{value}" for kind, value in rows)


def _verdict(
    claim: Claim, member: Member, guide: Guide, holding: Binding | None, policy: Policy, *, is_employed: bool
) -> Verdict:
    current = _current(holding, policy, claim.at) if holding else None
    answer = snatching.verdict(
        current,
        str(guide.pk),
        policy,
        at=claim.at,
        guide_keys=keys_of_guide(guide),
        member_keys=keys_of_member(member) | claim.more_keys,
        is_employed=is_employed,
    )
    if holding is not None and answer in snatching.OPENING and claim.at <= holding.started_at:
        return Verdict.UNCHANGED if holding.guide_id == guide.pk else Verdict.REFUSED_OVERTAKEN
    return answer


def _current(holding: Binding, policy: Policy, at: dt.datetime) -> CurrentBinding:
    active_at = None
    if policy.validity == Validity.DAYS_SINCE_ACTIVITY:
        bought = OrderLine.objects.filter(member_id=holding.member_id, paid_at__lte=at, is_voided=False, is_test=False)
        acts = ServiceAct.objects.filter(member_id=holding.member_id, holder_id=holding.guide_id, at__lte=at)
        times = [
            bought.order_by("-paid_at").values_list("paid_at", flat=True).first(),
            acts.order_by("-at").values_list("at", flat=True).first(),
        ]
        active_at = max((time for time in times if time is not None), default=None)
    return CurrentBinding(str(holding.guide_id), holding.started_at, active_at, holding.protected_until)


def _protected_until(holding: Binding | None, policy: Policy) -> dt.datetime | None:
    if holding is None:
        return None
    return holding.protected_until or snatching.protected_until(holding.started_at, policy)


def _open(claim: Claim, member: Member, holding: Binding | None, policy: Policy, store_id: int) -> Binding:
    started_at = claim.at
    if holding is not None:
        Binding.objects.filter(pk=holding.pk).update(ended_at=started_at)
    else:
        last = Binding.objects.filter(member=member, brand=member.brand_id, ended_at__gt=started_at)
        ended_at = last.order_by("-ended_at").values_list("ended_at", flat=True).first()
        started_at = ended_at or started_at
    return Binding.objects.create(
        brand_id=member.brand_id,
        member=member,
        guide_id=claim.guide_id,
        store_id=store_id,
        source=claim.source,
        started_at=started_at,
        protected_until=snatching.protected_until(started_at, policy),
    )
