"""Corps (企业) and our apps in them: entering a secret, and replacing it.

1. A secret is stored sealed and never shown again.
2. A new secret forgets the token and the tickets of the old one, and the pause after refusals.
3. What may be called follows from the app: customers, groups and messages as the self-built app, the complete directory
   as the contact sync, logins of the mini-program as its app.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from scrm import audit, crypto, db
from scrm.errors import RuleViolation
from scrm.models import Corp, WecomApp, WecomTicket, WecomToken
from scrm.wecom.tokens import SECRET_PURPOSE

_CORP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SECRET = re.compile(r"[\x21-\x7e]{8,128}", re.ASCII)


class BadCorp(RuleViolation):
    code = "bad_wecom_corp"


class BadApp(RuleViolation):
    code = "bad_wecom_app"


class AppMissing(RuleViolation):
    """The corp has no app of this kind yet."""

    code = "wecom_app_missing"


def app_of(corp: Corp, kind: str = WecomApp.Kind.SELF_BUILT) -> WecomApp:
    """The app as which ``corp`` is asked; of several of one kind the first. Raises AppMissing."""
    app = WecomApp.objects.filter(corp=corp, kind=kind).order_by("pk").first()
    if app is None:
        raise AppMissing(
            _("%(corp)s has no WeCom app of the kind “%(kind)s” yet. Add it under WeCom apps.")
            % {"corp": corp, "kind": WecomApp.Kind(kind).label}
        )
    return app


@transaction.atomic
def add_corp(*, actor: Any, corp_id: str, name: str) -> Corp:
    """Raises BadCorp."""
    if not _CORP_ID.fullmatch(corp_id):
        raise BadCorp(_("A corp id is of letters, digits, hyphens and underscores, 64 at most."))
    if Corp.objects.filter(corp_id=corp_id).exists():
        raise BadCorp(_("This corp is there already."))
    corp = Corp.objects.create(corp_id=corp_id, name=name)
    audit.record(actor=actor, verb="wecom.add_corp", target=corp)
    return corp


@transaction.atomic
def rename_corp(*, actor: Any, corp: Corp, name: str) -> None:
    Corp.objects.filter(pk=corp.pk).update(name=name)
    audit.record(actor=actor, verb="wecom.rename_corp", target=corp)


@transaction.atomic
def add_app(*, actor: Any, corp: Corp, kind: str, name: str, secret: str, agent_id: int | None = None) -> WecomApp:
    """``agent_id`` is None for the contact sync only. Raises BadApp."""
    _require_secret(secret)
    others = WecomApp.objects.filter(corp=corp)
    if (kind == WecomApp.Kind.CONTACT_SYNC) is not (agent_id is None):
        raise BadApp(_("Every app has an agent id; the contact sync has none."))
    if agent_id is not None and (agent_id < 1 or others.filter(agent_id=agent_id).exists()):
        raise BadApp(_("This agent id is no positive number, or belongs to another app of the corp."))
    if agent_id is None and others.filter(kind=kind).exists():
        raise BadApp(_("The corp has its contact sync already; replace its secret instead."))
    app = WecomApp.objects.create(
        corp=corp, kind=kind, name=name, agent_id=agent_id, secret_sealed=crypto.seal_text(SECRET_PURPOSE, secret)
    )
    audit.record(actor=actor, verb="wecom.add_app", target=app)
    return app


@transaction.atomic
def replace_secret(*, actor: Any, app: WecomApp, secret: str, reason: str) -> None:
    """Raises BadApp."""
    _require_secret(secret)
    (app,) = db.lock(WecomApp.objects.filter(pk=app.pk))
    app.secret_sealed = crypto.seal_text(SECRET_PURPOSE, secret)
    app.save(update_fields=["secret_sealed"])
    WecomToken.objects.filter(app=app).delete()
    WecomTicket.objects.filter(app=app).delete()
    audit.record(actor=actor, verb="wecom.replace_secret", target=app, reason=reason)


def _require_secret(secret: str) -> None:
    if not _SECRET.fullmatch(secret):
        raise BadApp(_("This is no secret as WeCom shows it: 8 characters or more, without blanks."))
