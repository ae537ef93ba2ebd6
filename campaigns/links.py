"""Tracked short links (短链): ``/s/<code>`` leads a customer on and says whose link it was.

1. A link is one guide's, for one address. It is a share of hers (``guides.shares``), lasts as long as the share does, and
   is used again while it lasts a week more.
2. It leads to an https address on a host that HQ has entered, and to nothing else; the list is asked again at each opening.
3. An opening is a touch of the guide. Who opened it is, to begin with, this browser: the token in the address lets the shop
   say later who she is.
4. A robot, a preview and a prefetch are led on without the token; they are counted apart and are no touch. The same browser
   within ten minutes is one opening.
5. After its end a link leads nowhere and says so.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.db import connection, transaction
from django.utils.translation import gettext as _

from campaigns.models import Content, LinkHost, ShortLink
from guides import share_tokens, shares, touches
from guides.models import Share
from guides.visitors import Known
from scrm.errors import RuleViolation

ALPHABET = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"  # without those that look alike
CODE_LENGTH = 10
SOURCE, NAMESPACE = "link", "link/browser"
AGAIN = dt.timedelta(minutes=10)
LASTS_STILL = dt.timedelta(days=7)
MOST_URL = 2_048

_BROWSER = re.compile(r"[0-9a-f]{32}")
_ROBOT = re.compile(
    r"bot|crawl|spider|slurp|preview|fetch|scan|monitor|headless|curl|wget|python|java/|okhttp|go-http|libwww|facebookexternal"
    r"|bingpreview|yisou|sogou web|360spider|bytespider|petalbot|lighthouse",
    re.I,
)
_PREFETCH = ("prefetch", "preview", "prerender")

COUNT = """
    INSERT INTO campaigns_linkday (link_id, day, open_count, repeat_count, robot_count) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (link_id, day) DO UPDATE SET open_count = campaigns_linkday.open_count + EXCLUDED.open_count,
        repeat_count = campaigns_linkday.repeat_count + EXCLUDED.repeat_count,
        robot_count = campaigns_linkday.robot_count + EXCLUDED.robot_count
"""


class BadTarget(RuleViolation):
    code = "bad_link_target"


@dataclass(frozen=True, slots=True)
class Request:
    """What the browser tells of itself. ``purpose`` joins the headers by which a browser marks a prefetch."""

    method: str
    agent: str
    purpose: str
    browser: str  # from our cookie; anything else than 32 hex digits is nobody


# --- pure rules -------------------------------------------------------------------------------------------------------


def refusal(url: str, hosts: frozenset[str]) -> str:
    """Why the address may not be led to; empty when it may."""
    if not url.strip():
        return _("Write the address.")
    if len(url) > MOST_URL or not url.isprintable() or any(sign in url for sign in "\\ <>\"'`"):
        return _("This is no address: blanks and quotes have no place in it.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _("This is no address.")
    if parts.scheme != "https" or "@" in parts.netloc or port not in (None, 443):
        return _("The address begins with https:// and names no user and no port.")
    if host not in hosts:
        known = "、".join(sorted(hosts)) or _("none")
        return _("The host %(host)s is not on the list of allowed hosts (%(known)s).") % {"host": host, "known": known}
    return ""


def is_robot(request: Request) -> bool:
    if request.method != "GET" or any(word in request.purpose.lower() for word in _PREFETCH):
        return True
    return not request.agent.strip() or bool(_ROBOT.search(request.agent))


def with_token(url: str, token: str) -> str:
    """The address with the share's token in it; a token that was there goes."""
    parts = urlsplit(url)
    values = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name != share_tokens.PARAMETER
    ]
    return urlunsplit(parts._replace(query=urlencode([*values, (share_tokens.PARAMETER, token)])))


def page_with_token(page: str, token: str) -> str:
    """The same for the path of a mini-program's page."""
    return with_token(page, token)


# --- operations -------------------------------------------------------------------------------------------------------


def hosts() -> frozenset[str]:
    return frozenset(LinkHost.objects.values_list("host", flat=True))


@transaction.atomic
def make(
    *, guide_id: int, target: str, now: dt.datetime, kind: str = Share.Kind.SHARE, content: Content | None = None
) -> ShortLink:
    """The guide's link to ``target``: the one she has, or a new one. Raises BadTarget, shares.NotSharable."""
    said = refusal(target, hosts())
    if said:
        raise BadTarget(said)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"link {guide_id} {kind} {target}"])
    own = ShortLink.objects.filter(guide_id=guide_id, content=content, target=target, share__kind=kind)
    found = own.filter(expires_at__gt=now + LASTS_STILL).order_by("-pk").first()
    if found is not None:
        return found
    share, _token = shares.share(guide_id=guide_id, kind=kind, now=now)
    return ShortLink.objects.create(
        code="".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH)), share=share, guide_id=guide_id,
        store_id=share.store_id, content=content, target=target, expires_at=share.expires_at, created_at=now,
    )  # fmt: skip


@transaction.atomic
def open_link(*, link: ShortLink, request: Request, now: dt.datetime) -> str:
    """Where to lead on; the opening is kept, also of a link that is over (``is_over`` says so)."""
    if is_robot(request):
        _count(link, now, robots=1)
        return link.target
    token = shares.token_of(link.share)
    opening = shares.Opening(
        source=SOURCE, opening_id=f"{request.browser}.{int(now.timestamp() // AGAIN.total_seconds())}", token=token, at=now,
        who=Known(namespace=NAMESPACE, account=request.browser),
    )  # fmt: skip
    try:
        opened = shares.record_opening(opening=opening, now=now)
        _count(link, now, **({"opens": 1} if opened.is_new else {"repeats": 1}))
    except shares.OpeningDiffers:  # the same browser at another second of these ten minutes
        _count(link, now, repeats=1)
    return with_token(link.target, token)


def is_over(link: ShortLink, now: dt.datetime) -> bool:
    """Whether it leads nowhere: its time is up, or HQ has taken its host off the list."""
    return now >= link.expires_at or bool(refusal(link.target, hosts()))


def browser_of(cookie: str) -> str:
    """The browser's own id out of its cookie, or a new one."""
    return cookie if _BROWSER.fullmatch(cookie) else secrets.token_hex(16)


def _count(link: ShortLink, now: dt.datetime, *, opens: int = 0, repeats: int = 0, robots: int = 0) -> None:
    day = now.astimezone(touches.SHANGHAI).date()
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [link.pk, day, opens, repeats, robots])
