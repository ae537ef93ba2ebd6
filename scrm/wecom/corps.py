"""Corps (企业) and our apps in them: entering a secret, and replacing it.

1. A secret is stored sealed and never shown again.
2. A new secret forgets the token and the tickets of the old one, and the pause after refusals.
3. What may be called follows from the app: customers, groups and messages as the self-built app, the complete directory
   as the contact sync, logins of the mini-program as its app.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from scrm import audit, crypto, db
from scrm.errors import RuleViolation
from scrm.models import Corp, WecomApp, WecomTicket, WecomToken
from scrm.wecom.tokens import SECRET_PURPOSE


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
def add_app(*, actor: Any, corp: Corp, kind: str, name: str, secret: str, agent_id: int | None = None) -> WecomApp:
    """``agent_id`` is None for the contact sync only."""
    app = WecomApp.objects.create(
        corp=corp, kind=kind, name=name, agent_id=agent_id, secret_sealed=crypto.seal_text(SECRET_PURPOSE, secret)
    )
    audit.record(actor=actor, verb="wecom.add_app", target=app)
    return app


@transaction.atomic
def replace_secret(*, actor: Any, app: WecomApp, secret: str, reason: str) -> None:
    (app,) = db.lock(WecomApp.objects.filter(pk=app.pk))
    app.secret_sealed = crypto.seal_text(SECRET_PURPOSE, secret)
    app.save(update_fields=["secret_sealed"])
    WecomToken.objects.filter(app=app).delete()
    WecomTicket.objects.filter(app=app).delete()
    audit.record(actor=actor, verb="wecom.replace_secret", target=app, reason=reason)
