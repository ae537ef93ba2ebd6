"""How a guide logs in (导购登录): a one-time code now, WeCom later; what follows is the same.

1. A code is good for one login within five minutes. Only its keyed hash is kept; a new code ends the guide's earlier one.
2. Of two who use a code at once, one gets in.
3. Only a guide with an employment that is open now, in a company that is active, gets a code and gets in.
4. A login gives this device a token, replacing the one it had; other devices keep theirs.
5. A wrong, used or expired code is refused in the same words: nobody learns which guides there are.
6. A store manager is a guide with a second grant on the same person: she logs in here like everybody else.
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from guides.models import Employment, Guide, LoginCode
from scrm import audit
from scrm.api import authentication
from scrm.errors import RuleViolation

CODE_LIFE = dt.timedelta(minutes=5)
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that looks like something else
SECRET_LENGTH = 10  # 49 bits: five minutes are too short to guess


class UnknownGuide(RuleViolation):
    code = "guide_unknown"


class NotEmployed(RuleViolation):
    code = "guide_not_employed"


class CodeRefused(RuleViolation):
    code = "login_code_refused"


class Login(NamedTuple):
    token: str
    token_key: str
    expires_at: dt.datetime


def account_of(code: str) -> str:
    """The guide's code in front of the secret; the text itself when it has no such form."""
    return code.strip().rsplit("-", 2)[0].upper()


@transaction.atomic
def issue_code(*, guide_code: str, now: dt.datetime) -> tuple[str, dt.datetime]:
    """A fresh one-time code and when it expires. Raises UnknownGuide, NotEmployed."""
    guide = Guide.objects.filter(code=guide_code).select_related("user").first()
    if guide is None:
        raise UnknownGuide(_("There is no guide with the code %(code)s.") % {"code": guide_code})
    _require_employed(guide, now)
    secret = "".join(secrets.choice(ALPHABET) for _n in range(SECRET_LENGTH))
    code = f"{guide.code}-{secret[:5]}-{secret[5:]}"
    expires_at = now + CODE_LIFE
    LoginCode.objects.filter(guide=guide).delete()
    LoginCode.objects.create(guide=guide, code_hash=_hash(code), expires_at=expires_at)
    audit.record(actor=None, verb="guide.login_code", target=guide)
    return code, expires_at


@transaction.atomic
def log_in(*, code: str, device: str, now: dt.datetime) -> Login:
    """Use up a code and give the device its token. Raises CodeRefused, NotEmployed."""
    code_hash = _hash(code)
    # the conditional update is the lock: whoever comes second finds the code used
    if not LoginCode.objects.filter(code_hash=code_hash, used_at=None, expires_at__gt=now).update(used_at=now):
        raise CodeRefused(_("This code is wrong, used or expired. Ask for a new one."))
    guide = Guide.objects.select_related("user").get(
        pk__in=LoginCode.objects.filter(code_hash=code_hash).values("guide")
    )
    _require_employed(guide, now)
    token, text = authentication.issue(user=guide.user, device=device, now=now)
    audit.record(actor=guide.user, verb="guide.login", target=guide, device=device)
    return Login(text, token.token_key, token.expiry)


def forget_codes(now: dt.datetime) -> int:
    """Delete codes that are used or expired; a daily task."""
    return LoginCode.objects.filter(Q(expires_at__lte=now) | Q(used_at__isnull=False)).delete()[0]


def _require_employed(guide: Guide, now: dt.datetime) -> None:
    open_now = Employment.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=now), guide=guide, started_at__lte=now, store__entity__is_active=True
    )
    if not guide.user.is_active or not open_now.exists():
        raise NotEmployed(_("This guide is not employed at the moment and cannot log in."))


def _hash(code: str) -> str:
    """Keyed, so that a stolen table does not let anybody try codes against it."""
    account, *secret = code.strip().rsplit("-", 2)
    return salted_hmac("guides.login", f"{account} {''.join(secret)}".upper(), algorithm="sha256").hexdigest()
