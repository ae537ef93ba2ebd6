"""Slots and levels: what may be written where, and what is said to whom."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from campaigns import scripts, slots
from campaigns.models import Level
from campaigns.slots import About, Bought, Facts, Who

TODAY = dt.date(2026, 6, 10)
DURIAN = About(sku="F001", product="金枕榴莲", category_id=1, category="榴莲山竹")
TEXTS = {
    1: "{商品}到货了", 2: "{称呼}，{商品}到货了", 3: "{节日}快到了，{称呼}", 4: "您{上次购买日}买的{上次购买}又到了", 5: "{口味理由}", 6: "{常购日}{常购时段}见",
}  # fmt: skip


def bought(
    sku: str = "F001", name: str = "金枕榴莲", *, at: str = "2026-05-30T18:20:00+08:00", category: int | None = 1
) -> Bought:
    moment = dt.datetime.fromisoformat(at)
    return Bought(sku, name, category, moment, moment)


def facts(**values: object) -> Facts:
    return Facts(today=TODAY, guide="王芳", store="人民路店", **{"about": DURIAN, **values})  # type: ignore[arg-type]


SATURDAYS = [bought(at=f"2026-05-{day:02d}T18:20:00+08:00") for day in (30, 23, 16, 9)]


def test_the_deepest_level_whose_facts_are_all_there():
    lee = Who(name="李敏", gender="F")
    steps = [
        (facts(), 1, "金枕榴莲到货了"),
        (facts(who=lee), 2, "李女士，金枕榴莲到货了"),
        (facts(who=lee, about=About(sku="F001", product="金枕榴莲", occasion="端午节")), 3, "端午节快到了，李女士"),
        (facts(who=lee, bought=[bought()]), 4, "您5月30日买的金枕榴莲又到了"),
        (facts(who=lee, bought=[bought()], reason="您常买的多是很甜的，这款也是"), 5, "您常买的多是很甜的，这款也是"),
        (facts(who=lee, bought=SATURDAYS), 6, "周六傍晚见"),
    ]
    for known, level, text in steps:
        said = scripts.say(TEXTS, known)
        assert said is not None and (said.level, said.text) == (level, text)


def test_nothing_is_said_when_not_even_the_product_is_known():
    assert scripts.say({1: "{商品}到货了"}, facts(about=About())) is None


def test_why_this_level_and_what_the_next_one_lacks():
    said = scripts.say(TEXTS, facts(who=Who(name="李敏", gender="F"), bought=[bought()]))
    assert said is not None
    assert said.why == "层级“上次购买与到货”：上次购买日＝5月30日，上次购买＝金枕榴莲；“口味理由”缺 口味理由"
    assert [(one.level, one.lacking) for one in said.skipped] == [(6, ("常购日", "常购时段")), (5, ("口味理由",))]


def test_last_bought_is_about_what_the_script_is_about():
    lines = [bought("F002", "猫山王榴莲", at="2026-06-01T10:00:00+08:00"), bought()]
    assert slots.last_bought(DURIAN, lines) == lines[1]
    assert slots.last_bought(About(category_id=1), lines) == lines[0]
    assert slots.last_bought(About(category_id=2), lines) is None
    assert slots.last_bought(About(), lines) == lines[0]
    assert (
        scripts.say({1: "到货", 4: "{上次购买}"}, facts(bought=lines[:1])).level == 1
    )  # another durian is not this one


def test_a_habit_needs_four_visits_of_which_two_in_five_agree():
    assert slots.habit(["周六"] * 3) == ""
    assert slots.habit(["周六", "周六", "周一", "周二"]) == "周六"
    assert slots.habit(["周六", "周日", "周一", "周二", "周三"]) == ""
    two_lines = [*SATURDAYS[:2], SATURDAYS[0], SATURDAYS[1]]  # two orders of two lines are two visits
    assert len(slots.visits(two_lines)) == 2


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (Who("李敏", "F"), "李女士"), (Who("欧阳修", "M"), "欧阳先生"), (Who("李敏"), "李敏"), (Who("李"), ""), (Who(""), ""),
        (Who("Li Min", "F"), "Li Min"), (Who("李**", "F"), ""),
    ],
)  # fmt: skip
def test_how_she_is_addressed(who, said):
    assert slots.address(who) == said


def test_a_birthday_is_near_within_seven_days_also_over_new_year():
    assert slots.near_birthday(dt.date(1990, 6, 17), TODAY) == "6月17日"
    assert slots.near_birthday(dt.date(1990, 6, 18), TODAY) == ""
    assert slots.near_birthday(dt.date(1990, 1, 2), dt.date(2026, 12, 28)) == "1月2日"
    assert slots.near_birthday(dt.date(1992, 2, 29), dt.date(2026, 2, 25)) == "2月28日"


@pytest.mark.parametrize(
    ("level", "text", "words"),
    [
        (1, "{商品名}到了", "没有槽位 {商品名}。可用的槽位：{导购}"),
        (1, "{口味理由}", "{口味理由} 属于“口味理由”级"),
        (4, "又到货了", "这一级的话术至少要用一个本级的槽位：{上次购买} {上次购买日} {距上次}"),
        (2, "{称呼，你好", "花括号不成对"),
        (2, "｛称呼｝", ""),
    ],
)
def test_what_is_wrong_with_a_text_is_said_in_chinese(level, text, words):
    with translation.override("zh-hans"):
        fault = slots.fault(text, Level(level))
    assert fault.startswith(words) if words else fault == ""


def test_a_script_needs_something_for_a_stranger():
    with translation.override("zh-hans"):
        assert scripts.problems({4: "{上次购买}"}) == {1: "“商品”或“寒暄”至少写一级：对会员一无所知时就说这一句。"}
        assert scripts.problems({1: "啊" * 1_334})[1].startswith("共 4,002 字节")
        assert scripts.problems({1: "到货"}) == {}


@given(
    name=st.sampled_from(["", "李敏"]), gender=st.sampled_from(["", "F"]), lines=st.integers(0, 4), reason=st.sampled_from(["", "理由"]),
    occasion=st.sampled_from(["", "端午节"]), levels=st.sets(st.sampled_from(sorted(TEXTS)), min_size=1),
)  # fmt: skip
def test_whatever_is_known_nothing_is_made_up(name, gender, lines, reason, occasion, levels):
    about = About(sku="F001", product="金枕榴莲", occasion=occasion)
    known = facts(about=about, who=Who(name, gender), bought=SATURDAYS[:lines], reason=reason)
    said = scripts.say({level: TEXTS[level] for level in levels}, known)
    fillable = {level for level in levels if not slots.filled(TEXTS[level], known)[1]}
    assert (said.level if said else None) == max(fillable, default=None)
    if said:
        assert "{" not in said.text and all(words for _name, words in said.used)
