"""What a step hands to a customer beside its words (步骤附带): a coupon, a script, a material.

1. A coupon is given once per run and step, of the version of its template that is in force then. What the template refuses
   (given out, budget used up, ended, her cap) is written down with its reason, and the run goes on.
2. A coupon of an SOP is HQ's: no store has given it out.
3. A script is filled when the guide opens the action, from what the guide may see; a script that is not in use any more, or
   that nothing fills, leaves the step's own words.
4. While a draft is written, what cannot be handed over is said at its field: a coupon that is no longer given out, a script
   with a slot that nobody knows, a material out of use.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.utils.translation import gettext as _

from campaigns import scripts
from campaigns.models import Content, Level, Script, SopRun, SopStep
from campaigns.models.content import usable
from guides.models import Action
from members import coupons
from members.coupons import faces
from members.coupons.records import Where
from members.models import Coupon, CouponTemplate


@dataclass(frozen=True, slots=True)
class Handed:
    """``coupon`` None: refused, and ``note`` says why."""

    coupon: Coupon | None
    note: str = ""
    words: str = ""
    until: str = ""


def key_of(run_id: int, position: int, *, of_group: bool = False) -> str:
    """Of the action and the coupon of one step of one run."""
    return f"{'group sop' if of_group else 'sop'} {run_id} {position}"


def give_coupon(*, run: SopRun, position: int, template_id: int, now: dt.datetime) -> Handed:
    """In the caller's transaction; what is refused leaves no trace in it but the answer."""
    template = in_force_of(CouponTemplate.objects.get(pk=template_id))
    try:
        coupon = coupons.issuing.give(
            template_id=template.pk, member_id=run.member_id, key=key_of(run.pk, position), now=now,
            where=Where(note=f"SOP {run.version.sop.name}"),
        ).coupon  # fmt: skip
    except coupons.CouponRefused as refused:
        return Handed(None, refused.message[:200])
    until = f"{coupon.expires_on.month}月{coupon.expires_on.day}日" if coupon.expires_on else ""
    return Handed(coupon, words=f"{template.name}（{faces.headline(template)}）", until=until)


def in_force_of(template: CouponTemplate) -> CouponTemplate:
    """The published version of the template's code; the template itself where none is."""
    same = CouponTemplate.objects.filter(brand=template.brand_id, code=template.code)
    return same.filter(status=CouponTemplate.Status.PUBLISHED).first() or template


def step_of_action(*, source: str, source_id: int, key: str) -> SopStep | None:
    """The step of an SOP that asked for an action, with its script and its material; None for an action of others."""
    runs = {Action.Source.SOP: "runs", Action.Source.GROUP_SOP: "group_runs"}.get(Action.Source(source))
    position = key.rpartition(" ")[2]
    if runs is None or not position.isdigit():
        return None
    steps = SopStep.objects.filter(**{f"version__{runs}": source_id}, position=int(position))
    return steps.select_related("script__product__category", "script__category", "content__folder").first()


# --- while it is written ------------------------------------------------------------------------------------------------


def faults(step: SopStep, *, brand_id: int | None, now: dt.datetime) -> dict[str, str]:
    """``{field: sentence}`` of what the step hands over and cannot. ``brand_id`` None: not asked."""
    found = {}
    if step.coupon is not None:
        found["coupon"] = _coupon_fault(step.coupon, brand_id, now)
    if step.script is not None:
        found["script"] = _script_fault(step.script, now)
    if step.content is not None:
        found["content"] = _content_fault(step.content, now)
    return {name: sentence for name, sentence in found.items() if sentence}


def _coupon_fault(template: CouponTemplate, brand_id: int | None, now: dt.datetime) -> str:
    if brand_id is not None and template.brand_id != brand_id:
        return _("This coupon is of another brand.")
    current = in_force_of(template)
    if current.status == CouponTemplate.Status.DRAFT:
        return _("This coupon is a draft; have it published first.")
    try:
        coupons.issuing.in_force(current.pk, now)
    except coupons.CouponRefused as refused:
        return "" if refused.code == "coupon_not_yet" else refused.message
    return ""


def _script_fault(script: Script, now: dt.datetime) -> str:
    if not Script.objects.filter(usable(now), pk=script.pk).exists():
        return _("This script is not in use any more; choose another one.")
    wrong = scripts.problems(scripts.texts_of([script]).get(script.pk, {}))
    if wrong:
        level, sentence = min(wrong.items())
        return _("Level “%(level)s” of the script: %(problem)s") % {"level": Level(level).label, "problem": sentence}
    return ""


def _content_fault(content: Content, now: dt.datetime) -> str:
    if not Content.objects.filter(usable(now), pk=content.pk, version_no__gt=0).exists():
        return _("This material is not in use any more; choose another one.")
    return ""
