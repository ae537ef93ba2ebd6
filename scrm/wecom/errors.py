"""What WeCom refuses, by what one does about it (企业微信错误).

1. WeCom answers every refusal with a number; ``of`` turns it into one of few classes. An unknown number is WecomError.
2. ``message`` is for staff; it never repeats WeCom's own text, an address, a secret or a token.
3. ``Retryable`` says that the same call may succeed later without anybody doing anything.
"""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm.errors import RuleViolation


class WecomError(RuleViolation):
    """WeCom refused, or could not be asked.

    ``errcode`` is WeCom's number, None when the call never got an answer; ``endpoint`` its path below /cgi-bin/.
    """

    code = "wecom_error"
    what = gettext_lazy("WeCom refused the call")
    caller_ip = ""  # with 60020: the address that WeCom saw us come from
    detail = ""  # what kind of failure, when there was no answer

    def __init__(self, endpoint: str, errcode: int | None = None, *, detail: str = "") -> None:
        sentence = str(self.what) + (f": {detail}" if detail else "")
        if errcode is not None:
            sentence = _("%(sentence)s (WeCom error %(errcode)s)") % {"sentence": sentence, "errcode": errcode}
        super().__init__(sentence, extra={"endpoint": endpoint, "errcode": errcode})
        self.endpoint, self.errcode, self.detail = endpoint, errcode, detail


class Retryable(WecomError):
    """The same call may succeed later."""


class Busy(Retryable):
    """Try again within seconds: overloaded, too many at a time, or another write on the same record is under way."""

    code = "wecom_busy"
    what = gettext_lazy("WeCom is busy; try again in a moment")


class NotYet(Retryable):
    """Something WeCom does on its own must end first; try again in minutes."""

    code = "wecom_not_yet"
    what = gettext_lazy("WeCom is still working on it; try again later")


class RateLimited(Retryable):
    """Too many calls. ``retry_at``: not before (aware); None when WeCom does not say."""

    code = "wecom_rate_limited"
    what = gettext_lazy("Too many calls to WeCom; it goes on by itself later")

    def __init__(self, endpoint: str, errcode: int | None = None, *, retry_at: dt.datetime | None = None) -> None:
        super().__init__(endpoint, errcode)
        self.retry_at = retry_at
        self.extra["retry_at"] = retry_at.isoformat() if retry_at else None


class Unreachable(Retryable):
    """No answer that can be read. ``may_be_done``: the call may have taken effect all the same."""

    code = "wecom_unreachable"
    what = gettext_lazy("WeCom did not answer")

    def __init__(
        self, endpoint: str, errcode: int | None = None, *, detail: str = "", may_be_done: bool = True
    ) -> None:
        super().__init__(endpoint, errcode, detail=detail)
        self.may_be_done = may_be_done


class TokenRefused(Retryable):
    """The access token is no longer valid; the client gets a new one once before it says so."""

    code = "wecom_token_refused"
    what = gettext_lazy("WeCom does not accept the access token")


class QuotaExhausted(WecomError):
    """A cap of the corp, the customer or the task is reached; something must be given back first."""

    code = "wecom_quota"
    what = gettext_lazy("A quota of WeCom is used up")


class Misconfigured(WecomError):
    """Corp id, secret, agent id, trusted IP or a binding in WeCom's console is wrong. Asking again does harm."""

    code = "wecom_misconfigured"
    what = gettext_lazy(
        "The WeCom app is not set up correctly; check corp id, secret and trusted IP in WeCom's console"
    )


class NoPermission(WecomError):
    """The app may not call this, or not for this member or department."""

    code = "wecom_no_permission"
    what = gettext_lazy("The WeCom app has no right to this, or the member is outside its visible range")


class NotActivated(WecomError):
    """The member has not activated the account, or the member or the corp is not verified."""

    code = "wecom_not_activated"
    what = gettext_lazy("The member has not activated WeCom, or the real name or the corp is not verified")


class NotFound(WecomError):
    """The member, department, customer, tag, group or contact way is unknown, or not visible to the app."""

    code = "wecom_not_found"
    what = gettext_lazy("WeCom does not know this object, or the app may not see it")


class NotFriends(NotFound):
    """The member and the customer are no contacts any more: mark the relation as ended, never retry."""

    code = "wecom_not_friends"
    what = gettext_lazy("This member and this customer are not contacts on WeCom")


class NoRecipient(NotFound):
    """Nobody of those named can be sent to."""

    code = "wecom_no_recipient"
    what = gettext_lazy("None of the recipients can be reached on WeCom")


class TransferRefused(WecomError):
    """This customer or group cannot be handed over like this: being transferred, too often, same person, not left yet."""

    code = "wecom_transfer_refused"
    what = gettext_lazy("WeCom does not hand this customer or group over")


class WelcomeMissed(WecomError):
    """No welcome message any more: the code is spent or older than 20 s, or they are chatting already. Never retried."""

    code = "wecom_welcome_missed"
    what = gettext_lazy("The welcome message can no longer be sent")


class TooLate(WecomError):
    """What was to be changed is cancelled, spent or too old."""

    code = "wecom_too_late"
    what = gettext_lazy("It is too late for this on WeCom")


class Duplicate(WecomError):
    code = "wecom_duplicate"
    what = gettext_lazy("WeCom already has one of this name")


class Stale(WecomError):
    """The record or the cursor has changed meanwhile: read again, from the start."""

    code = "wecom_stale"
    what = gettext_lazy("The data changed on WeCom meanwhile; read it again")


class MediaExpired(WecomError):
    code = "wecom_media_expired"
    what = gettext_lazy("The uploaded file has expired on WeCom; upload it again")


class CodeSpent(WecomError):
    code = "wecom_code_spent"
    what = gettext_lazy("The login code of WeCom is used or too old; log in again")


class Blocked(WecomError):
    """WeCom's anti-spam says no: for HQ to look at, never retried."""

    code = "wecom_blocked"
    what = gettext_lazy("WeCom's anti-spam stopped this")


class TooLarge(WecomError):
    code = "wecom_too_large"
    what = gettext_lazy("The request or the answer is too large for WeCom; ask for less at a time")


class BadParameter(WecomError):
    """A value breaks a documented limit; found by us before the call (``errcode`` None) or by WeCom."""

    code = "wecom_bad_parameter"
    what = gettext_lazy("WeCom does not accept a value")


class Malformed(WecomError):
    """The answer is not what WeCom documents."""

    code = "wecom_malformed"
    what = gettext_lazy("WeCom's answer cannot be read")


CODES: dict[type[WecomError], tuple[int, ...]] = {
    Busy: (-1, 41096, 45033, 45035),
    NotYet: (41062, 41063, 41078, 41079),
    RateLimited: (45009, 45036),
    TokenRefused: (40014, 42001),
    QuotaExhausted: (
        40099, 40126, 40128, 40144, 41045, 41055, 41069, 41094, 41095, 41202, 41210, 610001,
    ),
    Misconfigured: (
        40001, 40013, 40056, 40091, 40093, 41001, 41002, 41004, 41011, 41057, 42012, 43012, 45031, 48010, 50001, 50003,
        50006, 60020, 80001, 85005, 90200, 90207, 301002,
    ),
    NoPermission: (
        41058, 41200, 41211, 42015, 48001, 48002, 48003, 48004, 48005, 48006, 48009, 48011, 50002, 60011, 60021, 60030,
        60031, 81011, 84074, 301053, 701008,
    ),
    NotActivated: (40098, 41054, 43009),
    NotFound: (
        40003, 40037, 40050, 40066, 40068, 40088, 40096, 41044, 41047, 41060, 41061, 41070, 41071, 41074, 41075, 41201,
        42016, 46004, 49008, 60003, 60111, 60123, 86001, 86003, 90501, 90509, 90511, 301021,
    ),
    NoRecipient: (41048, 81013),
    NotFriends: (40131, 84061, 84084),
    TransferRefused: (
        40097, 40100, 40129, 40130, 40143, 40205, 90500, 90502, 90503, 90504, 90505, 90506, 90507, 90508,
    ),
    WelcomeMissed: (41050, 41051, 41053),
    TooLate: (41093, 42052),
    Duplicate: (40071, 41077),
    Stale: (6000, 50100),
    MediaExpired: (40007, 40145),
    CodeSpent: (40029, 42003, 42013, 42022, 84014, 84015),
    Blocked: (40201, 40204),
    TooLarge: (40206, 41076, 41080, 41303, 45001, 45002, 45029, 81017),
    BadParameter: (
        40031, 40032, 40035, 40039, 40058, 40063, 40123, 40146, 41006, 41009, 41016, 41033, 41035, 41037, 41038, 41039,
        41040, 41041, 41042, 41043, 41046, 41049, 41052, 41056, 41059, 41064, 41065, 41067, 41068, 41072, 41073, 41081,
        41082, 41083, 41084, 41085, 41086, 41087, 41088, 41089, 41090, 41091, 41110, 41111, 41300, 41301, 41302, 41304,
        42014, *range(42017, 42021), *range(42023, 42052), 44001, 44004, 45007, 45008, 45034, 86214, 86220,
        *range(90201, 90207), 90208, 91040,
    ),
}  # fmt: skip
_CLASS_OF = {number: kind for kind, numbers in CODES.items() for number in numbers}


def of(errcode: int, endpoint: str) -> WecomError:
    """The error of WeCom's number."""
    return _CLASS_OF.get(errcode, WecomError)(endpoint, errcode)
