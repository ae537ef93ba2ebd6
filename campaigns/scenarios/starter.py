"""The starter set (开箱场景): fifteen scenarios that every retail chain needs, as drafts with their audiences.

Names and texts are data that HQ edits, in the language of who works with them. Installing again adds only what is missing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from campaigns.models import Scenario
from campaigns.scenarios import editing
from members import audiences
from members.models import Audience
from scrm import org
from scrm.models import Brand

Rule = dict[str, Any]


def _is(field: str, op: str, value: Any = None) -> Rule:
    return {"field": field, "is": op, **({} if value is None else {"value": value})}


def _all(*of: Rule) -> Rule:
    return {"op": "AND", "of": list(of)}


FRIEND = _is("is_friend", "yes")
QUIET = _is("contacted", "not_within_days", 7)


@dataclass(frozen=True, slots=True)
class Starter:
    code: str
    name: str
    kind: str
    rule: Rule
    title: str
    reason: str
    text: str = ""
    minutes: int = 3
    cooldown: int = 30
    most: int = 10
    guess_bp: int = 300
    event: str = ""
    window: int = 7


STARTERS = (
    Starter(
        "first-order-thanks", "首单感谢", "MESSAGE", _all(FRIEND, _is("orders_count", "eq", 1), _is("first_on", "within_days", 3)),
        "感谢第一次购买", "第一次买，{未购天数} 天前；首单后一周内有人问候的客人更容易再来。",
        "{客户称呼}，谢谢您选择{门店名称}，我是{导购姓名}。用着有什么不清楚的，随时问我。", guess_bp=200, cooldown=365, event="BOUGHT", window=14,
    ),
    Starter(
        "second-order", "促成二单", "MESSAGE", _all(FRIEND, QUIET, _is("orders_count", "eq", 1), _is("last_on", "before_days", 14), _is("last_on", "within_days", 45)),
        "请她来买第二次", "只买过一次，已经 {未购天数} 天没来；二单是留住客人的关口。", "{客户称呼}，上次买的还满意吗？这周有新到的，我给您留意着。", guess_bp=300,
    ),
    Starter(
        "repeat-rhythm", "该回购了", "MESSAGE", _all(FRIEND, QUIET, _is("stage", "any_of", ["REPEAT"]), _is("last_on", "before_days", 21), _is("last_on", "within_days", 60)),
        "提醒回购", "老客，已经 {未购天数} 天没买，比平时久了。", "{客户称呼}，您常买的又到货了，要给您留一份吗？", guess_bp=400, cooldown=21,
    ),
    Starter(
        "sleeping", "沉睡唤醒", "MESSAGE", _all(FRIEND, QUIET, _is("stage", "any_of", ["SLEEPING"])),
        "唤醒老客", "买过，但 {未购天数} 天没来了，再不联系会忘了我们。", "{客户称呼}，好久不见，最近店里换了不少新品，有空来坐坐。", guess_bp=200, cooldown=45, window=14,
    ),
    Starter(
        "about-to-be-lost", "流失预警", "CALL", _all(_is("stage", "any_of", ["LAPSING"]), _is("spend_fen", "gte", 50_000)),
        "打个电话问问", "消费不少的老客，{未购天数} 天没来，快要流失了；电话比消息管用。", minutes=5, cooldown=90, most=3, guess_bp=200, window=14,
    ),
    Starter(
        "lost-valuable", "高价值流失挽回", "CALL", _all(_is("stage", "any_of", ["LOST"]), _is("spend_fen", "gte", 200_000)),
        "请回来看看", "以前的大客户，{未购天数} 天没买了，值得一个电话。", minutes=5, cooldown=180, most=2, guess_bp=100, window=30,
    ),
    Starter(
        "birthday", "生日关怀", "MESSAGE", _all(FRIEND, _is("birthday", "coming_days", 3)),
        "送上生日祝福", "{生日} 生日，提前祝福并请她来领生日礼。", "{客户称呼}，祝您生日快乐！店里给您备了生日心意，这周过来都有效。", cooldown=300, guess_bp=400,
    ),
    Starter(
        "new-friend", "新好友问候", "MESSAGE", _all(FRIEND, _is("orders_count", "eq", 0)),
        "认识一下新朋友", "刚加上企业微信，还没买过；第一天打招呼最自然。", "{客户称呼}您好，我是{门店名称}的{导购姓名}，想找什么直接告诉我。",
        cooldown=365, guess_bp=200, event="FRIEND_ADDED", window=14,
    ),
    Starter(
        "friend-never-bought", "好友未首购", "MESSAGE", _all(FRIEND, QUIET, _is("orders_count", "eq", 0), _is("registered_on", "before_days", 14)),
        "邀她第一次到店", "加了好友一直没买，差一个到店的理由。", "{客户称呼}，这周到店有新人礼，报我的名字就行。", cooldown=60, guess_bp=100, window=14,
    ),
    Starter(
        "member-not-friend", "会员未加好友", "INVITE", _all(_is("is_friend", "no"), _is("last_on", "within_days", 30)),
        "请她加企业微信", "常来的会员还不是企业微信好友，{未购天数} 天前刚来过。", "{客户称呼}，加我的企业微信，到货和活动第一时间告诉您。",
        minutes=2, cooldown=60, guess_bp=50,
    ),
    Starter(
        "friend-not-in-group", "邀进社群", "INVITE", _all(FRIEND, _is("in_group", "no"), _is("stage", "any_of", ["ACTIVE", "REPEAT"])),
        "请她进店里的群", "活跃的好友还没进群。", "{客户称呼}，我们店有个客人群，每天有接龙和特价，拉您进来？", minutes=1, cooldown=60, guess_bp=100, window=14,
    ),
    Starter(
        "big-spender-care", "大客户维护", "CALL", _all(_is("rfm_m", "gte", 5), _is("rfm_f", "gte", 4), _is("contacted", "not_within_days", 30)),
        "问候大客户", "店里消费最高的那批客人，一个月没人联系了。", minutes=5, cooldown=30, most=3, guess_bp=300, window=14,
    ),
    Starter(
        "new-customer-care", "新客七日回访", "CALL", _all(_is("orders_count", "eq", 1), _is("last_on", "before_days", 6), _is("last_on", "within_days", 9)),
        "问问用得怎样", "第一次买满一周（{未购天数} 天），问一句胜过十条广告。", minutes=4, cooldown=365, most=4, guess_bp=200, window=14,
    ),
    Starter(
        "weekday-habit", "常来的日子", "MESSAGE", _all(FRIEND, QUIET, _is("orders_90", "gte", 3), _is("last_on", "before_days", 8)),
        "照她的习惯提醒", "三个月买了多次的常客，这次 {未购天数} 天没来。", "{客户称呼}，这两天的货不错，给您留着？", cooldown=14, guess_bp=300,
    ),
    Starter(
        "online-to-store", "线上客引到店", "INVITE", _all(FRIEND, _is("channels", "none_of", ["POS"]), _is("orders_365", "gte", 2)),
        "请线上客到店看看", "线上买过几次，还没到过店。", "{客户称呼}，您离{门店名称}不远，到店可以试吃再买，我给您留个位。", cooldown=60, guess_bp=150, window=14,
    ),
)  # fmt: skip


@transaction.atomic
def install(*, brand: Brand, actor: Any, now: dt.datetime) -> int:
    """The starters that the brand does not have, as drafts; how many. Audiences of the same name are used as they are."""
    there = set(Scenario.objects.filter(brand=brand).values_list("code", flat=True))
    made = 0
    for one in STARTERS:
        if one.code in there:
            continue
        audience = Audience.objects.filter(brand=brand, name=f"场景：{one.name}", is_archived=False).first()
        if audience is None:
            audience = audiences.save(
                brand=brand, name=f"场景：{one.name}", rule=one.rule, scope=org.EVERYTHING, actor=actor, now=now
            )
        editing.create(
            actor=actor, brand=brand, code=one.code, name=one.name, audience=audience, event=one.event, kind=one.kind, title=one.title,
            reason=one.reason, text=one.text, minutes=one.minutes, cooldown_days=one.cooldown, most_per_guide=one.most,
            window_days=one.window, first_guess_bp=one.guess_bp,
        )  # fmt: skip
        made += 1
    return made
