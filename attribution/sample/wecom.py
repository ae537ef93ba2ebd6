"""The sample company on WeCom: who is in its directory and who are friends, for the sandbox (企微沙箱) to play.

1. UNIONID_PERCENT of the sample's members have a unionid, the same in every database; the others are strangers to WeCom
   until a verified number says who they are.
2. The sandbox's world is made from the database: a department per region and store, every guide with her account, and of the
   members a guide serves FRIEND_PERCENT as her friends. Beside them stand people who are nobody's members, and members who
   are nobody's friends yet. Guides who have left leave their friends behind.
3. The corp, its apps and its callback addresses are entered as a person would, with secrets of this database's own.
4. All of it outside production only, and only while no corp but the sandbox's is known here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from attribution.sample import rewards
from attribution.sample.places import PREFIX
from attribution.sample.wecom_people import newcomers, nickname
from guides.models import Employment, Guide, Welcome
from scrm import crypto, db
from scrm.models import CallbackEndpoint, Corp, Region, Store, WecomApp
from scrm.wecom import corps, inbox
from scrm.wecom.sandbox import MINI, SELF, SYNC, World
from scrm.wecom.sandbox.records import LEFT, WECOM, App, Tag, TagGroup
from scrm.wecom.tokens import SECRET_PURPOSE

CORP_ID, CORP_NAME = "wwDEMO0000000001", "果屿鲜果"
APPS = (  # kind here, kind there, name, agent id, callback address
    (WecomApp.Kind.SELF_BUILT, SELF, "私域助手", 1000014, "sandbox"),
    (WecomApp.Kind.CONTACT_SYNC, SYNC, "通讯录同步", None, "sandbox-directory"),
    (WecomApp.Kind.MINI_PROGRAM, MINI, "导购小程序", 1000015, ""),
)
UNIONID_PERCENT = 70
FRIEND_PERCENT = 25
SECOND_GUIDE_PERCENT, CUSTOMER_LEFT_PERCENT, REMARK_PERCENT, TAG_PERCENT = 4, 3, 60, 30
STRANGERS, COMPANY_CONTACTS, NOT_YET_FRIENDS = 400, 20, 300
ADD_WAYS, ADD_WAY_WEIGHTS = (1, 2, 3, 4, 6, 13, 16, 202), (60, 10, 8, 8, 5, 3, 4, 2)
TAGS = {
    "客户等级": ("钻石", "金卡", "银卡"),
    "口味偏好": ("爱榴莲", "爱车厘子", "控糖", "要切好"),
    "来源": ("门店", "社区团购", "老客介绍"),
}
WELCOME = "您好！我是{门店名称}的{导购姓名}。当天到店的鲜果、要切好的、要送人的，都可以直接跟我说，坏果包赔。"
HELPER = ("guoyu_helper", "果屿小助手")  # the brand's own account, nobody's guide
ROOT, FIRST_REGION, FIRST_STORE = 1, 10, 100
CONFIRMS_AFTER = 0.5  # seconds until a guide accepts whom her code let in

_UNIONIDS = """
    INSERT INTO members_identity (member_id, kind, namespace, value, is_verified)
    SELECT member_id, 'UNIONID', namespace, 'oDEMO' || left(md5(value), 23), true
    FROM members_identity
    WHERE kind = 'CARD' AND value LIKE %s AND ('x' || left(md5('unionid ' || value), 7))::bit(28)::int %% 100 < %s
    ON CONFLICT DO NOTHING"""
_CUSTOMERS = """
    SELECT card.value, m.name, m.gender, m.registered_on, g.wecom_userid, union_id.value
    FROM members_identity card
    JOIN members_member m ON m.id = card.member_id AND m.status = 'ACTIVE'
    LEFT JOIN guides_binding b ON b.member_id = m.id AND b.ended_at IS NULL
    LEFT JOIN guides_guide g ON g.id = b.guide_id
    LEFT JOIN members_identity union_id ON union_id.member_id = m.id AND union_id.kind = 'UNIONID'
    WHERE card.kind = 'CARD' AND card.value LIKE %s
    ORDER BY card.value"""


@dataclass(frozen=True)
class Wired:
    """What this database and the sandbox share: by the sandbox's kind of app."""

    secrets: dict[str, str]
    callbacks: dict[str, tuple[str, str, str]]  # name in the address, token, EncodingAESKey

    @property
    def owner(self) -> str:
        """Tells this database from every other one."""
        return hashlib.sha256(self.secrets[SELF].encode()).hexdigest()


def is_here() -> bool:
    """Whether the database holds the sample company, and no corp that might be somebody's own."""
    return (
        Store.objects.filter(code__startswith=f"{PREFIX}-").exists()
        and not Corp.objects.exclude(corp_id=CORP_ID).exists()
    )


def give_unionids() -> int:
    """Idempotent; the number of new ones."""
    with connection.cursor() as cursor:
        cursor.execute(_UNIONIDS, [f"{PREFIX}-VIP%", UNIONID_PERCENT])
        return cursor.rowcount


# --- the rows of this database ---


def wire() -> Wired:
    """Enter the corp, its apps and its callback addresses where they are missing, and say what is shared."""
    if settings.PRODUCTION:
        raise ImproperlyConfigured("the sandbox's corp does not exist in production")
    corp, is_new = Corp.objects.get_or_create(corp_id=CORP_ID, defaults={"name": CORP_NAME})
    if is_new:
        give_unionids()  # to a sample of before they came with it
        Welcome.objects.create(corp=corp, name="通用欢迎语", text=WELCOME)
    known, callbacks = {}, {}
    for kind, there, name, agent_id, callback in APPS:
        app = WecomApp.objects.filter(corp=corp, kind=kind).order_by("pk").first()
        if app is None:
            secret = secrets.token_urlsafe(32)
            app = corps.add_app(actor=None, corp=corp, kind=kind, name=name, secret=secret, agent_id=agent_id)
        known[there] = crypto.open_text(SECRET_PURPOSE, bytes(app.secret_sealed))
        if callback:
            callbacks[there] = (callback, *_keys(callback))
    return Wired(known, callbacks)


def _keys(name: str) -> tuple[str, str]:
    """Token and EncodingAESKey of a callback address."""
    endpoint = CallbackEndpoint.objects.filter(name=name, is_active=True).first()
    if endpoint is None:
        token, aes_key = _alphanumeric(24), _alphanumeric(43)
        endpoint = inbox.save_endpoint(name=name, corp_id=CORP_ID, token=token, aes_key=aes_key, actor=None)
    return (
        crypto.open_text(inbox.PURPOSE_KEYS, bytes(endpoint.token_sealed)),
        crypto.open_text(inbox.PURPOSE_KEYS, bytes(endpoint.aes_key_sealed)),
    )


def _alphanumeric(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


# --- the sandbox's world ---


def make_world(wired: Wired, *, seed: int, now: dt.datetime) -> World:
    """The company as WeCom would know it, from what the database says."""
    world = World(seed)
    world.corp_id, world.corp_name, world.confirms_after = CORP_ID, CORP_NAME, CONFIRMS_AFTER
    world.departments[ROOT].name = CORP_NAME
    for _kind, there, name, agent_id, _callback in APPS:
        world.apps.append(App(agent_id, wired.secrets[there], there, name))
    departments = _add_departments(world)
    _add_staff(world, departments, now)
    _add_tags(world, now)
    _add_customers(world, Random(f"{seed}/wecom"), int(now.timestamp()))
    here = [member.userid for member in world.staff() if not member.left_at and member.userid != HELPER[0]]
    rewards.add_new_friends(world, Random(f"{seed}/rewards"), here, int(now.timestamp()))
    return world


def _add_departments(world: World) -> dict[int, int]:
    """By store id the number of its department."""
    numbers: dict[int, int] = {}
    regions = Region.objects.filter(code__startswith=f"{PREFIX}-").order_by("code")
    by_region = {region.pk: FIRST_REGION + place for place, region in enumerate(regions)}
    for region in regions:
        parent = by_region.get(region.parent_id or 0, ROOT)
        world.add_department(by_region[region.pk], region.name, parent)
    for place, store in enumerate(Store.objects.filter(code__startswith=f"{PREFIX}-").order_by("code")):
        numbers[store.pk] = FIRST_STORE + place
        world.add_department(numbers[store.pk], store.name, by_region.get(store.region_id, ROOT))
    return numbers


def _add_staff(world: World, departments: dict[int, int], now: dt.datetime) -> None:
    world.add_member(*HELPER, departments=(ROOT,))
    guides = Guide.objects.filter(code__startswith=f"{PREFIX}-").exclude(wecom_userid=None).order_by("code")
    jobs: dict[int, Employment] = {}
    for job in Employment.objects.filter(guide__in=guides).order_by("started_at", "pk"):
        jobs[job.guide_id] = job  # her last one
    for guide in guides:
        job = jobs[guide.pk]
        number = departments.get(job.store_id, ROOT)
        is_manager = job.role == Guide.Role.STORE_MANAGER
        member = world.add_member(
            guide.wecom_userid or "", guide.name, departments=(number,), position="店长" if is_manager else "导购",
            leads=(number,) if is_manager else (),
        )  # fmt: skip
        if job.ended_at is not None and job.ended_at <= now:
            member.status, member.left_at = LEFT, int(job.ended_at.timestamp())


def _add_tags(world: World, now: dt.datetime) -> None:
    """Made in WeCom's console: no app may change them."""
    at = int((now - dt.timedelta(days=200)).timestamp())
    for group_name, names in TAGS.items():
        group = TagGroup(world.new_id("et"), group_name, 0, at, None)
        world.tag_groups[group.id] = group
        for order, name in enumerate(reversed(names)):
            tag = Tag(world.new_id("et"), group.id, name, order, at, None)
            world.tags[tag.id] = tag


def _add_customers(world: World, rng: Random, now: int) -> None:
    """Friends of the guides who serve them, people who are nobody's members, members who are nobody's friends."""
    guides = [member.userid for member in world.staff() if member.userid != HELPER[0]]
    waiting = NOT_YET_FRIENDS
    for card, name, gender, registered_on, userid, unionid in _customers():
        is_friend = userid is not None and rng.randrange(100) < FRIEND_PERCENT
        if not is_friend and (waiting == 0 or rng.randrange(100) >= 5):
            continue
        contact = world.add_contact(
            nickname(rng, name), unionid or f"oDEMO-unknown-{card[-6:]}", gender={"M": 1, "F": 2}.get(gender, 0)
        )
        if not is_friend:
            waiting -= 1
            continue
        since = int(dt.datetime.combine(registered_on, dt.time(9), dt.UTC).timestamp())
        remark = name if rng.randrange(100) < REMARK_PERCENT else ""
        _befriend(world, rng, userid, contact.external_userid, since, now, remark)
        if rng.randrange(100) < SECOND_GUIDE_PERCENT:
            _befriend(world, rng, rng.choice(guides), contact.external_userid, since, now, remark)
    for name, values in newcomers(rng, STRANGERS, COMPANY_CONTACTS):
        unionid = "" if values.get("type") == WECOM else world.new_id("oDEMO-stranger-", 12)
        contact = world.add_contact(name, unionid, **values)
        _befriend(world, rng, rng.choice(guides), contact.external_userid, now - 300 * 86_400, now)


def _customers() -> Iterator[tuple[Any, ...]]:
    yield from db.read(_CUSTOMERS, [f"{PREFIX}-VIP%"])


def _befriend(
    world: World, rng: Random, userid: str, external_userid: str, since: int, now: int, remark: str = ""
) -> None:
    member = world.members[userid.lower()]
    until = min(now - 3600, member.left_at or now)
    at = rng.randint(min(since, until - 1), until)
    (add_way,) = rng.choices(ADD_WAYS, ADD_WAY_WEIGHTS)
    state = f"old{member.departments[0]}" if add_way == 1 and rng.random() < 0.4 else ""
    oper = member.userid if add_way in (2, 6) else HELPER[0] if add_way == 202 else external_userid
    follow = world.befriend(
        userid, external_userid, add_way=add_way, created_at=at, state=state, oper_userid=oper, remark=remark[:20]
    )
    if rng.randrange(100) < TAG_PERCENT:
        follow.tag_ids = (rng.choice(list(world.tags)),)
    if rng.randrange(100) < CUSTOMER_LEFT_PERCENT:
        follow.customer_left_at = rng.randint(at, now)
