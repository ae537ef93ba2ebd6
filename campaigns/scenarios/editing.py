"""Writing scenarios: what HQ enters is checked at its field; in force only when everything it needs is there."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.experiments import draw
from campaigns.models import Scenario
from campaigns.scenarios.choosing import BadScenario
from campaigns.sops import texts
from members import audiences
from scrm import audit, org

REASON_SLOTS = ("{未购天数}", "{会员等级}", "{生日}")
_BRACES = re.compile(r"[{｛][^{}｛｝]*[}｝]")


def unknown_slots(text: str, known: tuple[str, ...]) -> list[str]:
    return [found for found in _BRACES.findall(text) if found not in known]


def create(*, actor: Any, **values: Any) -> Scenario:
    """A draft. Raises BadScenario, its ``extra["fields"]`` with a sentence each."""
    return save(scenario=Scenario(salt=draw.new_salt()), actor=actor, **values)


@transaction.atomic
def save(*, scenario: Scenario, actor: Any, **values: Any) -> Scenario:
    """Its new values; one in force stays so and uses them from the next morning on. Raises BadScenario."""
    is_new = scenario.pk is None
    for name, value in values.items():
        setattr(scenario, name, value)
    scenario.changed_by = actor
    _check(scenario)
    scenario.save()
    audit.record(actor=actor, verb="scenario.make" if is_new else "scenario.change", target=scenario)
    return scenario


@transaction.atomic
def put_in_force(*, scenario: Scenario, actor: Any, now: Any) -> None:
    """From the next morning on. Raises BadScenario where its audience or what it hands over is not possible now."""
    _check(scenario)
    try:
        audiences.compile(scenario.audience.rule, brand_id=scenario.brand_id, scope=org.EVERYTHING, now=now)
    except audiences.BadRule as error:
        raise _wrong("audience", error.message) from None
    Scenario.objects.filter(pk=scenario.pk).update(status=Scenario.Status.ACTIVE, looked_at=now)
    audit.record(actor=actor, verb="scenario.put_in_force", target=scenario)


@transaction.atomic
def pause(*, scenario: Scenario, actor: Any, reason: str) -> None:
    """Nothing new is given; what guides have stays theirs to do."""
    Scenario.objects.filter(pk=scenario.pk).update(status=Scenario.Status.PAUSED)
    audit.record(actor=actor, verb="scenario.pause", target=scenario, reason=reason)


def _check(scenario: Scenario) -> None:
    found: dict[str, str] = {}
    for name, text, known in (("reason", scenario.reason, REASON_SLOTS), ("text", scenario.text, texts.PLACEHOLDERS)):
        if unknown := unknown_slots(text, known):
            found[name] = _("Nobody fills %(slots)s. Known are: %(known)s.") % {
                "slots": "、".join(unknown), "known": " ".join(known),
            }  # fmt: skip
    others = Scenario.objects.filter(brand_id=scenario.brand_id, code=scenario.code)
    if others.exclude(pk=scenario.pk).exists():
        found["code"] = _("There is a scenario with this code already.")
    if scenario.kind == "COUPON" and scenario.coupon_id is None:
        found["coupon"] = _("Say which coupon the guide gives.")
    if scenario.kind in ("MESSAGE", "INVITE") and not (scenario.text.strip() or scenario.script_id):
        found["text"] = _("Write what to say, or choose a script.")
    if scenario.audience_id and scenario.audience.brand_id != scenario.brand_id:
        found["audience"] = _("This audience belongs to another brand.")
    if scenario.audience_id and (scenario.audience.is_archived or scenario.audience.store_ids is not None):
        found["audience"] = _("Choose an audience of the whole brand that is still offered.")
    if found:
        raise BadScenario(next(iter(found.values())), extra={"fields": found})
    try:
        scenario.full_clean(exclude=["salt", "changed_by", "looked_at"], validate_unique=False)
    except ValidationError as error:
        fields = {name if name != "__all__" else None: " ".join(said) for name, said in error.message_dict.items()}
        raise BadScenario(" ".join(error.messages), extra={"fields": fields}) from None


def _wrong(field: str, sentence: str) -> BadScenario:
    return BadScenario(sentence, extra={"fields": {field: sentence}})
