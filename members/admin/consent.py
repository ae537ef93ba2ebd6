"""A member's yes or no, as somebody in the console was told it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from members import consent
from members.models import ConsentSource, Member, Purpose
from scrm.admin.bases import object_act
from scrm.org import Right


class ConsentForm(forms.Form):
    purpose = forms.ChoiceField(label=_("purpose"), choices=Purpose.choices)
    word = forms.ChoiceField(label=_("what she said"), choices=[("NO", _("she withdraws")), ("YES", _("she agrees"))])
    source = forms.ChoiceField(label=_("source"), choices=ConsentSource.choices, initial=ConsentSource.CONSOLE)
    wording = forms.CharField(label=_("version of the wording"), max_length=64, required=False)


@object_act(
    _("Record consent"), right=Right.ACT, form=ConsentForm, icon="fact_check", offered=lambda member: member.status != Member.Status.MERGED,
    warning=_("What she said last counts, from now on, for every message that has not left yet."),
)  # fmt: skip
def record_consent(self: Any, request: HttpRequest, member: Member, data: dict[str, Any]) -> str:
    now = timezone.now()
    consent.say(
        member=member, purpose=data["purpose"], is_given=data["word"] == "YES", source=data["source"], said_at=now, now=now,
        actor=request.user, wording=data["wording"],
    )  # fmt: skip
    return gettext("Her word is recorded.")
