"""Who works for the sample company and who buys from it: guides, members, and who serves whom since when."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from attribution.sample.places import PLACES, PREFIX

MEMBER_COUNT = 20_000
GUIDES_PER_STORE = 4  # with the manager
LEAVER_COUNT = 8
REBINDING_PERMILLE = 12  # of the members, besides the leavers' customers
WINDOW_DAYS = 180
DELEGATE_BP = 5000

# No operator was ever given the block 154: a sample number rings at nobody's.
MOBILE_BLOCK = "154"
_SPREAD = 48_271  # coprime to 10**8, so that the numbers of different people differ

SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任沈姚卢姜崔钟谭陆汪范金石"
    "廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严武戴莫孔向汤"
)
LOCAL_SURNAMES = "沈章俞陈楼金钱竺裘茅骆傅邵倪施虞"  # common around Hangzhou Bay
FEMALE_NAMES = (
    "婷 敏 静 丽 燕 芳 娟 莉 慧 玲 佳怡 雨桐 思琪 梦洁 晓燕 雅婷 欣怡 诗涵 丽华 秀英 美玲 春燕 海霞 晓红 佩佩 文静 雪梅 玉兰 嘉慧 可欣 "
    "紫萱 若曦 依诺 静怡 彩云 月琴 凤仙 爱珍 亚萍 红英 小芳 淑芬 思雨 梓涵 一诺 语嫣 晨曦 妙可 书瑶 安琪 倩 琳 颖 萍 霞 洁 瑶 璐 琴 艳"
).split()
MALE_NAMES = (
    "伟 强 磊 军 勇 杰 涛 明 超 斌 浩然 子轩 宇航 建国 志强 海涛 俊杰 国平 建华 文斌 晓东 立新 永康 一鸣 家豪 天宇 嘉诚 浩宇 启航 泽宇 "
    "承志 金龙 水根 阿明 建军 卫东 炳荣 关根 柏林 松涛 鹏 峰 波 辉 凯 刚 平 宁 翔 帆"
).split()
TAGS = ("宝妈", "送礼", "企业团购", "爱榴莲", "爱车厘子", "控糖", "健身", "老客", "周末采购", "夜宵")
REMARKS = (
    "不吃芒果，会过敏",
    "电话请在晚上七点后联系",
    "榴莲要八成熟",
    "喜欢提前切好",
    "送货放门卫",
    "每周六固定来一次",
)
TIERS = ("钻石", "金卡", "银卡", "普通")


class Store(NamedTuple):
    code: str
    name: str
    entity_code: str
    ownership: str  # DIRECT, FRANCHISEE
    region_code: str
    city: str
    address: str
    longitude: str
    latitude: str
    opened_on: dt.date
    weight: int


class Guide(NamedTuple):
    code: str
    name: str
    mobile: str
    store_code: str
    role: str  # GUIDE, STORE_MANAGER
    wecom_userid: str
    hired_on: dt.date
    left_on: dt.date | None  # her last day

    def works_on(self, day: dt.date) -> bool:
        return self.hired_on <= day and (self.left_on is None or day <= self.left_on)


class Member(NamedTuple):
    card_no: str
    name: str
    mobile: str
    gender: str  # F, M or empty
    birthday: dt.date | None
    tier: str
    points: int
    store_code: str
    guide_code: str  # empty: nobody's customer
    registered_on: dt.date
    tags: tuple[str, ...]
    remark: str
    keenness: int  # how often she buys, compared with the others


class Rebinding(NamedTuple):
    """From ``at`` on another guide serves the member."""

    card_no: str
    guide_code: str
    source: str  # SCAN, ASSIGNED
    at: dt.datetime


class Leave(NamedTuple):
    """A guide is away and a colleague stands in for her."""

    guide_code: str
    delegate_code: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    delegate_bp: int


def pick(rng: Random, cumulative: Sequence[int]) -> int:
    """An index drawn by weights given as their running sum."""
    return bisect_left(cumulative, rng.randint(1, cumulative[-1]))


def make_stores(rng: Random, today: dt.date) -> list[Store]:
    stores = []
    for number, place in enumerate(PLACES, start=1):
        age = rng.randint(300, 700) + place.weight * rng.randint(60, 110)  # the busy ones are the old ones
        ownership = "FRANCHISEE" if "-F" in place.entity_code else "DIRECT"
        opened_on = today - dt.timedelta(days=age)
        stores.append(
            Store(
                f"{PREFIX}-S{number:03d}",
                place.name,
                place.entity_code,
                ownership,
                *place[2:7],
                opened_on,
                place.weight,
            )
        )
    return stores


def make_guides(rng: Random, stores: Sequence[Store], today: dt.date) -> list[Guide]:
    """A manager and three guides in every store; where one has left, somebody new came after her."""
    leaver_stores = {store.code for store in rng.sample(list(stores), LEAVER_COUNT)}
    guides: list[Guide] = []
    for store in stores:
        _hire(rng, guides, store, "STORE_MANAGER", store.opened_on)
        for place in range(1, GUIDES_PER_STORE):
            latest = today - dt.timedelta(days=200)
            hired_on = store.opened_on + rng.random() ** 2 * (latest - store.opened_on)
            left_on = None
            if store.code in leaver_stores and place == 1:
                left_on = today - dt.timedelta(days=rng.randint(20, 130))
            _hire(rng, guides, store, "GUIDE", hired_on, left_on)
            if left_on is not None:
                _hire(rng, guides, store, "GUIDE", left_on + dt.timedelta(days=rng.randint(2, 12)))
    return guides


def make_members(
    rng: Random, stores: Sequence[Store], guides: Sequence[Guide], today: dt.date, count: int = MEMBER_COUNT
) -> list[Member]:
    by_weight = list(accumulate(store.weight for store in stores))
    staff = _by_store(guides)
    keenness = [min(int(rng.paretovariate(1.1) * 10), 800) for _ in range(count)]
    bounds = sorted(keenness, reverse=True)
    steps = [bounds[count * percent // 100] for percent in (3, 12, 38)]
    members = []
    for number in range(1, count + 1):
        store = stores[pick(rng, by_weight)]
        registered_on = _registration(rng, store, today)
        guide_code = ""
        if rng.random() < 0.82:
            there = [guide for guide in staff[store.code] if guide.works_on(registered_on)]
            guide_code = there[int(len(there) * rng.random() ** 0.8)].code  # guides win more friends than managers
        members.append(_member(rng, number, store, guide_code, registered_on, keenness[number - 1], steps))
    return members


def make_rebindings(
    rng: Random, members: Sequence[Member], guides: Sequence[Guide], midnight: dt.datetime
) -> list[Rebinding]:
    """Customers of a leaver go to a colleague the next morning; others scan another guide's code some day."""
    staff, by_code = _by_store(guides), {guide.code: guide for guide in guides}
    today = midnight.date()
    moves: list[Rebinding] = []
    bound = [member for member in members if member.guide_code]
    for member in bound:
        left_on = by_code[member.guide_code].left_on
        if left_on is None or rng.random() < 0.15:  # some are forgotten
            continue
        day = left_on + dt.timedelta(days=1)
        morning = midnight - (today - day) + dt.timedelta(hours=10, minutes=rng.randint(0, 59))
        moves.append(Rebinding(member.card_no, _colleague(rng, staff, by_code, member, day), "ASSIGNED", morning))
    settled = [m for m in bound if by_code[m.guide_code].left_on is None and (today - m.registered_on).days > 30]
    for member in rng.sample(settled, len(members) * REBINDING_PERMILLE // 1000):
        age = min((today - member.registered_on).days - 1, 160)
        day = today - dt.timedelta(days=rng.randint(1, age))
        at = midnight - (today - day) + dt.timedelta(seconds=rng.randint(9 * 3600, 20 * 3600))
        moves.append(Rebinding(member.card_no, _colleague(rng, staff, by_code, member, day), "SCAN", at))
    return sorted(moves, key=lambda move: (move.at, move.card_no))


def make_leaves(rng: Random, guides: Sequence[Guide], midnight: dt.datetime) -> list[Leave]:
    """One past leave, one that goes on, and a short one."""
    staff = _by_store(guides)
    leaves = []
    for store_code, (first, last) in zip(rng.sample(sorted(staff), 3), ((120, 60), (45, None), (30, 23)), strict=True):
        before = midnight.date() - dt.timedelta(days=150)
        stand_in, away = [guide for guide in staff[store_code] if guide.left_on is None and guide.hired_on < before][:2]
        ended_at = None if last is None else midnight - dt.timedelta(days=last)
        leaves.append(Leave(away.code, stand_in.code, midnight - dt.timedelta(days=first), ended_at, DELEGATE_BP))
    return leaves


def _hire(
    rng: Random, guides: list[Guide], store: Store, role: str, hired_on: dt.date, left_on: dt.date | None = None
) -> None:
    number = len(guides) + 1
    name, _ = _name(rng, female_share=0.8)
    mobile = f"{MOBILE_BLOCK}{90_000_000 + number * 7:08d}"  # the members' numbers stay below
    code = f"{PREFIX}-G{number:04d}"
    guides.append(Guide(code, name, mobile, store.code, role, f"demo_g{number:04d}", hired_on, left_on))


def _member(
    rng: Random, number: int, store: Store, guide_code: str, registered_on: dt.date, keenness: int, steps: Sequence[int]
) -> Member:
    name, gender = _name(rng, female_share=0.7)
    birthday = dt.date(registered_on.year - rng.randint(19, 68), rng.randint(1, 12), rng.randint(1, 28))
    tier = next((name for name, step in zip(TIERS, steps, strict=False) if keenness >= step), TIERS[-1])
    tags = rng.sample(TAGS, rng.choice((1, 1, 2, 3))) if rng.random() < 0.35 else []
    return Member(
        card_no=f"{PREFIX}-VIP{number:06d}",
        name=name,
        mobile=f"{MOBILE_BLOCK}{number * _SPREAD % 90_000_000:08d}" if rng.random() < 0.96 else "",
        gender=gender if rng.random() < 0.85 else "",
        birthday=birthday if rng.random() < 0.68 else None,
        tier=tier,
        points=keenness * rng.randint(2, 18),
        store_code=store.code,
        guide_code=guide_code,
        registered_on=registered_on,
        tags=tuple(tags),
        remark=rng.choice(REMARKS) if rng.random() < 0.04 else "",
        keenness=keenness,
    )


def _name(rng: Random, *, female_share: float) -> tuple[str, str]:
    surname = rng.choice(LOCAL_SURNAMES if rng.random() < 0.2 else SURNAMES)
    if rng.random() < female_share:
        return surname + rng.choice(FEMALE_NAMES), "F"
    return surname + rng.choice(MALE_NAMES), "M"


def _registration(rng: Random, store: Store, today: dt.date) -> dt.date:
    """Two thirds were members before the orders begin, the others joined since."""
    if rng.random() < 0.35:
        return today - dt.timedelta(days=rng.randint(0, WINDOW_DAYS - 1))
    since = max(store.opened_on, today - dt.timedelta(days=4 * 365))
    before = today - dt.timedelta(days=WINDOW_DAYS)
    return since + dt.timedelta(days=rng.randint(0, (before - since).days))


def _colleague(
    rng: Random, staff: dict[str, list[Guide]], by_code: dict[str, Guide], member: Member, day: dt.date
) -> str:
    store_code = by_code[member.guide_code].store_code
    return rng.choice([g.code for g in staff[store_code] if g.code != member.guide_code and g.works_on(day)])


def _by_store(guides: Iterable[Guide]) -> dict[str, list[Guide]]:
    staff: dict[str, list[Guide]] = {}
    for guide in guides:
        staff.setdefault(guide.store_code, []).append(guide)
    return staff
