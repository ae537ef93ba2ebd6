"""Shops on platforms (渠道店铺): connecting, pausing, keys and tokens, periods read once more, what differs between shops.

1. A shop is known by its platform and the number the platform gives it. Its secrets and tokens lie sealed and are shown nowhere.
2. A shop is read from the moment it is connected, or from the day given; pausing keeps the place, resuming goes on from it.
3. A period may be read once more at any time: what is known already comes to nothing.
4. What documents leave open is one of the platform's settings; a value that it does not have is refused.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.translation import gettext as _

from attribution.channels import facts, registry
from attribution.channels.platform import Keys, Platform, Token
from attribution.models import ChannelCursor, ChannelShop
from members.models import Channel
from scrm import audit, crypto, db
from scrm.errors import RuleViolation
from scrm.models import Store

PURPOSE = "channel shop"  # bound into the seals
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST_READ_AGAIN = dt.timedelta(days=92)
MOST_STORES = 5_000


class BadShop(RuleViolation):
    code = "bad_channel_shop"


def platform_of(shop: ChannelShop) -> Platform:
    return registry.platforms()[shop.channel]


@transaction.atomic
def connect(
    *, actor: Any, channel: str, shop_no: str, name: str, app_key: str, secrets: Mapping[str, str], since: dt.datetime,
    token: str = "", token_until: dt.datetime | None = None, base_url: str = "", store: Store | None = None,
) -> ChannelShop:  # fmt: skip
    """A shop to be read from ``since`` on. ``secrets``: ``secret`` and what else the platform names. Raises BadShop."""
    platform = registry.platforms().get(channel)
    if platform is None or not Channel.objects.filter(code=channel).exists():
        raise BadShop(_("There is no platform with the code %(code)s.") % {"code": channel})
    if ChannelShop.objects.filter(channel=channel, shop_no=shop_no).exists():
        raise BadShop(_("This shop is connected already."))
    _check_address(base_url)
    shop = ChannelShop(
        channel=channel, shop_no=shop_no, name=name, app_key=app_key, base_url=base_url, store=store,
        secrets_sealed=_sealed(dict(secrets)), token_until=token_until,
        token_sealed=_sealed({"access": token}) if token else None,
    )  # fmt: skip
    shop.save()
    ChannelCursor.objects.bulk_create(
        ChannelCursor(shop=shop, stream=stream, read_until=since, due_at=since) for stream in platform.streams
    )
    audit.record(actor=actor, verb="channel.connect", target=shop)
    return shop


@transaction.atomic
def replace_keys(
    *,
    actor: Any,
    shop: ChannelShop,
    secrets: Mapping[str, str],
    reason: str,
    token: str = "",
    token_until: dt.datetime | None = None,
) -> None:
    """New secrets or a newly granted token; what is left empty stays. The readings go on at once."""
    (shop,) = db.lock(ChannelShop.objects.filter(pk=shop.pk))
    kept = opened(shop.secrets_sealed)
    shop.secrets_sealed = _sealed({**kept, **{name: value for name, value in secrets.items() if value}})
    if token or secrets.get("secret") or secrets.get("refresh_token"):  # what an older grant left is worth nothing
        shop.token_sealed, shop.token_until = (_sealed({"access": token}), token_until) if token else (None, None)
    shop.save(update_fields=["secrets_sealed", "token_sealed", "token_until"])
    ChannelCursor.objects.filter(shop=shop, failures__gt=0).update(due_at=db.clock())
    audit.record(actor=actor, verb="channel.replace_keys", target=shop, reason=reason)


@transaction.atomic
def switch(*, actor: Any, shop: ChannelShop, is_enabled: bool, reason: str) -> None:
    ChannelShop.objects.filter(pk=shop.pk).update(is_enabled=is_enabled)
    audit.record(actor=actor, verb="channel.switch", target=shop, reason=reason, is_enabled=is_enabled)


@transaction.atomic
def configure(
    *,
    actor: Any,
    shop: ChannelShop,
    settings: Mapping[str, str],
    guide_mark: str,
    is_store_code: bool,
    stores: Mapping[str, str],
) -> None:
    """What is open about a platform, and how its guides and stores are ours. Raises BadShop."""
    known = {setting.name: setting for setting in platform_of(shop).settings}
    for name, value in settings.items():
        if name not in known or value not in known[name].choices:
            raise BadShop(_("The setting %(name)s does not have this value.") % {"name": name})
    codes = set(stores.values())
    missing = codes - set(Store.objects.filter(code__in=codes).values_list("code", flat=True))
    if missing or len(stores) > MOST_STORES:
        raise BadShop(_("There is no store with the code %(code)s.") % {"code": min(missing, default="")})
    ChannelShop.objects.filter(pk=shop.pk).update(
        settings=dict(settings), guide_mark=guide_mark, is_store_code=is_store_code, stores=dict(stores)
    )
    audit.record(actor=actor, verb="channel.configure", target=shop, settings=dict(settings))


@transaction.atomic
def read_again(*, actor: Any, shop: ChannelShop, since: dt.datetime, until: dt.datetime, now: dt.datetime) -> int:
    """Queue a period of every stream to be read once more. Raises BadShop."""
    if not since < until <= now or until - since > LONGEST_READ_AGAIN:
        raise BadShop(_("The period ends after it begins, lies in the past and has at most 92 days."))
    cursors = ChannelCursor.objects.bulk_create(
        ChannelCursor(shop=shop, stream=stream, read_until=since, stops_at=until, due_at=now)
        for stream in platform_of(shop).streams
    )
    audit.record(actor=actor, verb="channel.read_again", target=shop, since=since.isoformat(), until=until.isoformat())
    return len(cursors)


# --- for readers ----------------------------------------------------------------------------------------------------------


def keys_of(shop: ChannelShop) -> Keys:
    """With everything that signing needs; the settings among it, since some decide how a call is signed."""
    secrets = opened(shop.secrets_sealed)
    token = opened(shop.token_sealed) if shop.token_sealed is not None else {}
    if token.get("refresh"):  # newer than the one that was entered
        secrets["refresh_token"] = token["refresh"]
    return Keys(
        shop.app_key, secrets.pop("secret", ""), token.get("access", ""), shop.shop_no, {**shop.settings, **secrets}
    )


def keep_token(shop: ChannelShop, token: Token, now: dt.datetime) -> None:
    refresh = token.refresh or str(keys_of(shop).more.get("refresh_token") or "")
    shop.token_sealed = _sealed({"access": token.access, **({"refresh": refresh} if refresh else {})})
    shop.token_until = token.until or now + dt.timedelta(seconds=token.seconds)
    ChannelShop.objects.filter(pk=shop.pk).update(token_sealed=shop.token_sealed, token_until=shop.token_until)


def facts_of(shop: ChannelShop, refs: set[str]) -> facts.Shop:
    """How a shop's facts are read; ``refs``: the stores that some orders name."""
    codes = {ref: ref for ref in refs} if shop.is_store_code else {r: c for r, c in shop.stores.items() if r in refs}
    ids = dict(Store.objects.filter(code__in=set(codes.values())).values_list("code", "pk")) if codes else {}
    found = {ref: ids[code] for ref, code in codes.items() if code in ids}
    return facts.Shop(shop.channel, shop.shop_no, shop.store_id, shop.guide_mark, found, shop.is_store_code)


def opened(sealed: bytes | memoryview) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(crypto.open_text(PURPOSE, bytes(sealed)))
    return found


def _sealed(values: Mapping[str, str]) -> bytes:
    return crypto.seal_text(PURPOSE, json.dumps(values))


def _check_address(url: str) -> None:
    """The address carries secrets: only over TLS, or on this very machine for a trial."""
    parts = urlsplit(url)
    if (
        url
        and not (parts.scheme == "https" and parts.hostname)
        and not (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        raise BadShop(_("The address of the interface begins with https://."))
