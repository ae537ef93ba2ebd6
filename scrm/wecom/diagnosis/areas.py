"""What the product asks of WeCom, by the permission it needs; one harmless read for each (权限分类)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from scrm.models import WecomApp
from scrm.wecom import client
from scrm.wecom.client import Endpoint

APP, CUSTOMERS, LINKS, SYNC, MINI = "app", "customers", "links", "sync", "mini"  # who gives the permission
UNKNOWN_CODE = 40029  # for a login code that was never given: the question itself was allowed
NO_SUCH_CODE = "scrm-self-check"
SHANGHAI = dt.timezone(dt.timedelta(hours=8))

Kind = WecomApp.Kind
# where WeCom's console has an app, for “… → trusted IP” and the like
MENUS: dict[str, Any] = {
    Kind.SELF_BUILT: _("App management → Apps → Self-built → %(app)s"),
    Kind.MINI_PROGRAM: _("App management → Mini-programs → %(app)s"),
    Kind.CONTACT_SYNC: _("Management tools → Contact sync"),
}


@dataclass(frozen=True)
class Ground:
    """What a question may take into account."""

    app: WecomApp
    now: dt.datetime
    follower: str = ""  # a member with customers; empty: nobody has the feature


@dataclass(frozen=True)
class Area:
    label: Any
    features: Any  # what stops without it
    permission: str
    endpoint: Endpoint
    values: Callable[[Ground], dict[str, Any]] = lambda ground: {}
    fine: frozenset[int] = frozenset()  # refusals that prove the permission
    needs_follower: bool = False


def _since(ground: Ground, days: int) -> dict[str, Any]:
    end = int(ground.now.timestamp())
    return {"start_time": end - days * 86_400, "end_time": end}


def _this_month(ground: Ground) -> dict[str, Any]:
    """At most a month back is allowed, and what counts against the customers' limit is the calendar month."""
    local = ground.now.astimezone(SHANGHAI)
    start = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return {"start_time": int(start.timestamp()), "end_time": int(ground.now.timestamp())}


def _yesterday(ground: Ground) -> dict[str, Any]:
    start = int((ground.now - dt.timedelta(days=1)).timestamp())
    return {"userid": [ground.follower], "start_time": start, "end_time": start}


AREAS: dict[str, Area] = {
    "messages": Area(
        _("app messages"), _("notices to guides"), APP, client.read("agent/get"),
        lambda ground: {"agentid": ground.app.agent_id},
    ),
    "directory": Area(
        _("directory"), _("names of members and departments"), APP, client.read("department/simplelist"),
    ),
    "login": Area(
        _("login of members"), _("guides logging in through WeCom"), APP, client.spend("auth/getuserinfo"),
        lambda ground: {"code": NO_SUCH_CODE}, frozenset({UNKNOWN_CODE, 42003, 42022}),
    ),
    "customers": Area(
        _("customers of members"), _("the list of contacts, recognising members"), CUSTOMERS,
        client.read("externalcontact/get_follow_user_list"),
    ),
    "details": Area(
        _("details of customers"), _("the list of contacts, recognising members"), CUSTOMERS,
        client.query("externalcontact/batch/get_by_user"),
        lambda ground: {"userid_list": [ground.follower], "cursor": "", "limit": 100}, needs_follower=True,
    ),
    "tags": Area(
        _("corp tags"), _("tag synchronisation"), CUSTOMERS, client.query("externalcontact/get_corp_tag_list"),
    ),
    "ways": Area(
        _("contact ways"), _("codes and welcome messages"), CUSTOMERS, client.query("externalcontact/list_contact_way"),
        lambda ground: {**_since(ground, 1), "limit": 1},
    ),
    "groups": Area(
        _("customer groups"), _("customer groups and group codes"), CUSTOMERS,
        client.query("externalcontact/groupchat/list"),
        lambda ground: {"status_filter": 0, "owner_filter": {"userid_list": [ground.follower]}, "limit": 1},
        needs_follower=True,
    ),
    "mass": Area(
        _("results of mass sends"), _("mass sends"), CUSTOMERS, client.query("externalcontact/get_groupmsg_list_v2"),
        lambda ground: {"chat_type": "single", **_this_month(ground), "filter_type": 0, "limit": 100},
    ),
    "moments": Area(
        _("moments"), _("moments to customers"), CUSTOMERS, client.query("externalcontact/get_moment_list"),
        lambda ground: {**_since(ground, 1), "limit": 1},
    ),
    "transfers": Area(
        _("transfers"), _("handing customers over"), CUSTOMERS, client.query("externalcontact/get_unassigned_list"),
        lambda ground: {"page_size": 1},
    ),
    "statistics": Area(
        _("statistics"), _("figures of guides"), CUSTOMERS, client.query("externalcontact/get_user_behavior_data"),
        _yesterday, needs_follower=True,
    ),
    "links": Area(
        _("acquisition links"), _("acquisition links and their figures"), LINKS,
        client.query("externalcontact/customer_acquisition/list_link"), lambda ground: {"limit": 1},
    ),
    "balance": Area(
        _("acquisition quota"), _("acquisition links and their figures"), LINKS,
        client.read("externalcontact/customer_acquisition_quota"),
    ),
    "accounts": Area(
        _("list of all accounts"), _("the complete directory, leavers"), SYNC, client.query("user/list_id"),
        lambda ground: {"cursor": "", "limit": 1},
    ),
    "mini": Area(
        _("login of the mini-program"), _("guides logging in with the mini-program"), MINI,
        client.spend("miniprogram/jscode2session"),
        lambda ground: {"js_code": NO_SUCH_CODE, "grant_type": "authorization_code"},
        frozenset({UNKNOWN_CODE, 42003, 42022}),
    ),
}  # fmt: skip
OF_KIND: dict[str, tuple[str, ...]] = {
    Kind.SELF_BUILT: tuple(name for name, area in AREAS.items() if area.permission in (APP, CUSTOMERS, LINKS)),
    Kind.CONTACT_SYNC: ("accounts",),
    Kind.MINI_PROGRAM: ("mini",),
}
OPENID = client.query("externalcontact/convert_to_openid")
