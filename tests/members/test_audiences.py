"""Audiences: rules become one query that means what the tree says, within the asker's scope; frozen ones never change."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from guides.models import Contact, Friendship, ServiceAct
from members import audiences, consent, facts, member_value, tags
from members.audiences import counting, freezing, own_fields, rules
from members.models import (
    AudienceSnapshot,
    AudienceVersion,
    Member,
    MemberFacts,
    MemberTag,
    SnapshotMember,
    Tag,
    TagRule,
)
from scrm import db, jobs, org
from scrm.models import Corp
from tests.factories.shops import Shops, bind, shops, tag, tier

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2025, 6, 1, 12, tzinfo=facts.SHANGHAI)
DAY = dt.timedelta(days=1)
ALL = org.EVERYTHING


@pytest.fixture
def company() -> Shops:
    """安琪 buys often, 宝儿 bought once long ago, 采薇 never, 丹丹 in the south is a friend of B."""
    found = shops()
    gold = tier(found.brand, "金卡")
    found.member("安琪", store="S1", guide="A", birthday=dt.date(1990, 6, 3), tier=gold, gender="F")
    found.member("宝儿", store="S1", birthday=dt.date(1992, 2, 29), gender="F")
    found.member("采薇", store="F1", guide="A")
    found.member("丹丹", store="S2", guide="B", tier=gold)
    found.line("a1", member="安琪", store="S1", paid_fen=20_000, at=NOW - 100 * DAY)
    found.line("a2", member="安琪", store="S1", paid_fen=30_000, at=NOW - 10 * DAY)
    found.line("b1", member="宝儿", store="S1", paid_fen=5_000, at=NOW - 200 * DAY)
    found.line("d1", member="丹丹", store=None, paid_fen=8_000, at=NOW - 5 * DAY)
    found.line("nobody", member=None, store="S1", paid_fen=99_000, at=NOW - 5 * DAY)
    tag(found.members["安琪"], "爱吃甜")
    tag(found.members["安琪"], "宝妈")
    tag(found.members["宝儿"], "宝妈")
    corp = Corp.objects.create(name="企业", corp_id="ww1")
    contact = Contact.objects.create(
        corp=corp, external_userid="wm1", member=found.members["丹丹"], linked_by="UNIONID", linked_at=NOW
    )
    Friendship.objects.create(contact=contact, corp=corp, userid="b", guide=found.guides["B"], added_at=NOW - 20 * DAY)
    facts.refresh_all(now=NOW)
    member_value.cut(now=NOW)
    return found


def one(field: str, op: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": field, "is": op, "value": value, **more}


def every(*of: dict[str, Any], op: str = "AND") -> dict[str, Any]:
    return {"op": op, "of": list(of)}


def meant(company: Shops, rule: Any, scope: org.Scope = ALL) -> set[str]:
    query = audiences.compile(rule, brand_id=company.brand.pk, scope=scope, now=NOW)
    with connection.cursor() as cursor:
        cursor.execute(query.ids(), query.params)
        ids = [key for (key,) in cursor.fetchall()]
        cursor.execute(query.count(), query.params)
        assert cursor.fetchone()[0] == len(ids) == len(set(ids))
    return set(Member.objects.filter(pk__in=ids).values_list("name", flat=True))


def key_of(name: str) -> int:
    return Tag.objects.get(name=name).pk


A, B, C, D = "安琪", "宝儿", "采薇", "丹丹"


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (one("orders_count", "gte", 2), {A}),
        (one("orders_count", "lte", 0), {C}),
        (one("orders_90", "eq", 0), {B, C}),
        (one("spend_fen", "between", [5_000, 8_000]), {B, D}),
        (one("average_fen", "gte", 25_000), {A}),
        (one("last_on", "within_days", 10), {D}),
        (one("last_on", "within_days", 11), {A, D}),
        (one("last_on", "before_days", 11), {B}),
        (one("last_on", "between", ["2025-05-20", "2025-05-27"]), {A, D}),
        (one("first_on", "known"), {A, B, D}),
        (one("stage", "any_of", ["PROSPECT"]), {C}),
        (one("stage", "none_of", ["PROSPECT", "NEW"]), {A, B}),
        (one("channels", "any_of", ["MINI_PROGRAM"]), {D}),
        (one("channels", "none_of", ["POS"]), {C, D}),
        (one("channels", "all_of", ["POS"]), {A, B}),
        (one("birthday", "coming_days", 2), {A}),
        (one("birthday", "coming_days", 1), set()),
        (one("birthday", "months", [2, 6]), {A, B}),
        (one("gender", "none_of", ["F"]), {C, D}),
        (one("rfm_m", "gte", 4), {A}),
        (one("rfm_m", "lte", 5), {A, B, D}),
        (one("has_guide", "yes"), {A, C, D}),
        (one("has_guide", "no"), {B}),
        (one("is_friend", "yes"), {D}),
        (one("friend_added", "within_days", 21), {D}),
        (one("friend_added", "within_days", 20), set()),
        (one("friend_added", "not_within_days", 20), {A, B, C, D}),
        (one("may_wecom", "yes"), {A, B, C, D}),
        (one("may_sms", "yes"), set()),
        (one("purchases", "gte", 1, days=11), {A, D}),
        (one("purchases", "gte", 2, days=365), {A}),
        (one("purchases", "lte", 1, days=365), {B, C, D}),
        (one("purchases", "eq", 0, days=365), {C}),
        (one("purchases", "gte", 30_000, days=365, measure="fen", channels=["POS"]), {A}),
        (one("purchases", "lte", 29_999, days=365, measure="fen", channels=["POS"]), {B, C, D}),
        (one("purchases", "between", [1, 5], days=90, measure="quantity"), {A, D}),
        (one("purchases", "gte", 1, between=["2024-11-13", "2024-11-13"]), {B}),
        (every(one("orders_count", "gte", 1), one("gender", "any_of", ["F"]), op="NOT"), {C}),
        (every(one("orders_count", "lte", 0), every(one("is_friend", "yes"), op="NOT"), op="NOT"), {D}),
    ],
)  # fmt: skip
def test_what_each_condition_means(company, rule, names):
    assert meant(company, rule) == names


def test_conditions_on_rows_by_their_number(company):
    sweet, mother = key_of("爱吃甜"), key_of("宝妈")
    assert meant(company, one("tags", "any_of", [sweet, mother])) == {A, B}
    assert meant(company, one("tags", "all_of", [sweet, mother])) == {A}
    assert meant(company, one("tags", "none_of", [sweet])) == {B, C, D}
    assert meant(company, one("home_store", "any_of", [company.stores["F1"].pk])) == {C}
    assert meant(company, one("region", "any_of", [company.stores["S1"].region_id])) == {A, B, C}
    assert meant(company, one("guide", "any_of", [company.guides["B"].pk])) == {D}
    assert meant(company, one("tier", "none_of", [company.members[A].tier_id])) == {B, C}
    product = company.lines["a1"].product_id
    assert meant(
        company, one("purchases", "gte", 1, days=365, products=[product], stores=[company.stores["S1"].pk])
    ) >= {A}


def test_contact_by_a_guide_counts_and_so_does_a_no(company):
    db.ensure_partitions(ServiceAct, NOW.date(), NOW.date())
    ServiceAct.objects.create(
        acted_on=NOW.date(), key="k", kind="CALL", guide=company.guides["A"], store=company.stores["S1"],
        member=company.members[A], at=NOW, note="回访",
    )  # fmt: skip
    assert meant(company, one("contacted", "within_days", 1)) == {A}
    assert meant(company, one("contacted", "not_within_days", 30)) == {B, C, D}
    consent.say(
        member=company.members[B], purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=NOW, now=NOW
    )
    assert meant(company, one("may_wecom", "no")) == {B}


def test_only_active_members_and_only_those_of_the_scope(company):
    everybody = one("purchases", "gte", 0, days=30)
    north = org.Scope(frozenset({company.stores["S1"].pk, company.stores["F1"].pk}))
    assert meant(company, everybody) == {A, B, C, D}
    assert meant(company, everybody, north) == {A, B, C}
    bind(company.members[B], company.guides["B"], company.stores["S2"])
    assert meant(company, everybody, org.Scope(frozenset({company.stores["S2"].pk}))) == {
        B,
        D,
    }  # at home or served there
    assert meant(company, everybody, org.NOTHING) == set()
    Member.objects.filter(name=A).update(status="FROZEN")
    assert meant(company, everybody) == {B, C, D}
    with pytest.raises(audiences.BadRule) as refused:  # a store that is not hers to see
        meant(company, one("home_store", "any_of", [company.stores["S2"].pk]), north)
    assert refused.value.extra["problems"][0]["code"] == "gone"


def test_purchases_of_a_merged_member_belong_to_who_remains(company):
    Member.objects.filter(name=B).update(status="MERGED", merged_into=company.members[C])
    facts.refresh_all(now=NOW)
    for rule in (
        one("orders_count", "gte", 1),
        one("purchases", "gte", 1, days=365),
        one("purchases", "gte", 5_000, days=365, measure="fen"),
    ):
        assert C in meant(company, every(rule, one("gender", "none_of", ["M"])))
        ask = audiences.business_ask(brand_id=company.brand.pk, scope=ALL, now=NOW)
        found = audiences.why(rule, member=company.members[C], scope=ALL, now=NOW)
        assert found[0].holds and counting.estimate(rules.read(rule, ask), ask) == 3


@pytest.mark.parametrize(
    ("rule", "code", "path", "words"),
    [
        (None, "not_a_rule", [], "条件"),
        ({"op": "AND", "of": []}, "empty", [], "条件"),
        ({"op": "XOR", "of": [one("first_on", "known")]}, "not_a_rule", [], "条件"),
        (every(one("no_such", "gte", 1)), "unknown_field", [0], "no_such"),
        (every(one("product", "any_of", [1])), "unknown_field", [0], "product"),
        (every(one("orders_count", "like", 1)), "unknown_operator", [0], "单数"),
        (every(one("first_on", "known"), one("orders_count", "gte", "1; DROP TABLE")), "wrong_type", [1], "整数"),
        (one("orders_count", "gte", True), "wrong_type", [], "整数"),
        (one("orders_count", "between", [5, 1]), "wrong_type", [], "第一个"),
        (one("last_on", "within_days", 0), "wrong_type", [], "天数"),
        (one("last_on", "between", ["2025-02-30", "x"]), "wrong_type", [], "日期"),
        (one("tags", "any_of", []), "wrong_type", [], "标签"),
        (one("tags", "any_of", [987_654]), "gone", [], "标签"),
        (one("stage", "any_of", ["RICH"]), "gone", [], "阶段"),
        (one("tags", "any_of", list(range(1, 700))), "too_many", [], "500"),
        (one("birthday", "months", [13]), "wrong_type", [], "月"),
        (one("purchases", "gte", 1), "wrong_type", [], "天"),
        (one("purchases", "gte", 1, days=30, measure="tons"), "wrong_type", [], "金额"),
        (one("purchases", "gte", 1, days=30, channels=["MOON"]), "gone", [], "渠道"),
        (every(*[one("first_on", "known")] * 61), "too_many", [59], "60"),
        (every(every(every(every(every(every(one("first_on", "known"))))))), "too_deep", [0, 0, 0, 0, 0], "5"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_chinese_at_its_place(company, rule, code, path, words):
    from django.utils import translation

    with translation.override("zh-hans"), pytest.raises(audiences.BadRule) as refused:
        meant(company, rule)
    first = refused.value.extra["problems"][0]
    assert (first["code"], first["path"]) == (code, path)
    assert words in first["message"] and first["message"] == refused.value.message


# --- any tree ---------------------------------------------------------------------------------------------------------

leaves = st.sampled_from(
    [
        one("orders_count", "gte", 1), one("orders_90", "lte", 0), one("spend_fen", "gte", 10_000), one("stage", "any_of", ["PROSPECT", "NEW"]),
        one("last_on", "before_days", 50), one("birthday", "months", [6]), one("channels", "any_of", ["POS"]), one("has_guide", "no"),
        one("is_friend", "yes"), one("purchases", "gte", 1, days=30), one("purchases", "lte", 1, days=365), one("rfm_f", "gte", 3),
        one("gender", "none_of", ["F"]), one("friend_added", "not_within_days", 5), one("may_sms", "no"),
    ]
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda op, of: {"op": op, "of": of},
        st.sampled_from(["AND", "OR", "NOT"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=9,
)


def _depth(tree: dict[str, Any]) -> int:
    return 1 + max(map(_depth, tree["of"])) if "op" in tree else 0


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_one_query_means_what_the_tree_says_of_its_conditions(company, tree):
    """Each condition alone is asked, and the tree is put together in Python; counts, samples and reasons agree."""
    assume(_depth(tree) <= rules.DEEPEST)
    found = meant(company, tree)

    def holds(node: dict[str, Any]) -> set[Any]:
        if "field" in node:
            return meant(company, node)
        parts: list[set[Any]] = [holds(child) for child in node["of"]]
        if node["op"] == "AND":
            return set.intersection(*parts)
        return set.union(*parts) if node["op"] == "OR" else {A, B, C, D} - set.union(*parts)

    assert found == holds(tree)
    ask = audiences.business_ask(brand_id=company.brand.pk, scope=ALL, now=NOW)
    node = rules.read(tree, ask)
    assert counting.estimate(node, ask) == len(found)  # everybody is in so small a sample
    for name, member in company.members.items():
        assert counting.why(node, ask, member=member)[0].holds is (name in found)


def test_birthdays_of_29_february():
    assert 229 in own_fields.birthdays(dt.date(2025, 2, 27), 1)  # kept on the 28th
    assert 229 not in own_fields.birthdays(dt.date(2025, 3, 1), 1)
    assert own_fields.birthdays(dt.date(2024, 2, 28), 1) == [228, 229]
    assert own_fields.birthdays(dt.date(2025, 12, 31), 1) == [1231, 101]


# --- counting, reasons ------------------------------------------------------------------------------------------------


def test_a_count_that_takes_too_long_becomes_an_estimate_and_says_so(company):
    rule = one("orders_count", "gte", 1)
    assert audiences.count(rule, brand_id=company.brand.pk, scope=ALL, now=NOW) == audiences.Count(3, is_estimate=False)
    ask = audiences.business_ask(brand_id=company.brand.pk, scope=ALL, now=NOW)
    slow = audiences.Field("slow", "slow", "x", audiences.Kind.FLAG, exists="pg_sleep(0.2) IS NOT NULL")
    node = rules.Group("AND", (rules.read(rule, ask), rules.Condition(slow, "yes", None, ())))
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        before = cursor.fetchone()
        assert counting.count(node, ask, limit_ms=50) == audiences.Count(3, is_estimate=True)
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == before


def test_why_a_member_is_in_it_with_her_own_values(company):
    rule = every(
        one("spend_fen", "gte", 40_000), every(one("tags", "any_of", [key_of("宝妈")]), one("tier", "none_of", [company.members[A].tier_id]), op="OR"),
        one("purchases", "gte", 10_000, days=30, measure="fen"), one("guide", "any_of", [company.guides["A"].pk]),
    )  # fmt: skip
    found = audiences.why(rule, member=company.members[A], scope=ALL, now=NOW)
    assert [(reason.depth, reason.holds, reason.answer) for reason in found] == [
        (0, True, None), (1, True, "50000"), (1, True, None), (2, True, "宝妈、爱吃甜"), (2, False, "金卡"), (1, True, "30000"), (1, True, "王芳"),
    ]  # fmt: skip
    assert not audiences.why(rule, member=company.members[B], scope=ALL, now=NOW)[0].holds


def test_counts_by_store_add_up(company):
    found = audiences.by_store(one("orders_count", "gte", 0), brand_id=company.brand.pk, scope=ALL, now=NOW)
    assert found == {company.stores["S1"].pk: 2, company.stores["F1"].pk: 1, company.stores["S2"].pk: 1}


# --- saving and freezing ----------------------------------------------------------------------------------------------


def saved(company: Shops, rule: Any, *, scope: org.Scope = ALL, name: str = "老客", **more: Any) -> Any:
    return audiences.save(
        brand=company.brand, name=name, rule=rule, scope=scope, actor=company.staff["hq"], now=NOW, **more
    )


def test_each_changed_rule_is_a_version_and_a_snapshot_keeps_its_own(company):
    audience = saved(company, one("orders_count", "gte", 1))
    assert (
        saved(company, {"is": "gte", "value": 1, "field": "orders_count"}, audience=audience, name="老客户").version_no
        == 1
    )
    snapshot = audiences.freeze(audience=audience, actor=company.staff["hq"], now=NOW)
    assert (snapshot.status, snapshot.member_count, snapshot.as_of) == ("READY", 3, NOW)
    audience = saved(company, one("orders_count", "gte", 2), audience=audience)
    assert audience.version_no == 2 and AudienceVersion.objects.count() == 2
    second = audiences.freeze(audience=audience, actor=company.staff["hq"], now=NOW)
    rows = SnapshotMember.objects.filter(snapshot=second)
    assert [(row.member_id, row.store_id) for row in rows] == [(company.members[A].pk, company.stores["S1"].pk)]
    assert SnapshotMember.objects.filter(snapshot=snapshot).count() == 3  # as it was
    audiences.archive(audience=audience, actor=company.staff["hq"])
    with pytest.raises(audiences.BadAudience, match="归档"):
        audiences.freeze(audience=audience, actor=company.staff["hq"], now=NOW)


def test_nothing_wrong_is_saved_or_frozen(company):
    with pytest.raises(audiences.BadRule):
        saved(company, one("tags", "any_of", [987_654]))
    with pytest.raises(audiences.BadAudience):
        saved(company, one("first_on", "known"), name=" ")
    audience = saved(company, one("tags", "any_of", [key_of("爱吃甜")]))
    with pytest.raises(audiences.BadAudience):
        saved(company, one("first_on", "known"))  # the same name
    MemberTag.objects.filter(tag__name="爱吃甜").delete()
    Tag.objects.get(name="爱吃甜").delete()
    with pytest.raises(audiences.BadRule):
        audiences.freeze(audience=audience, actor=None, now=NOW)
    assert not AudienceSnapshot.objects.exists() and audience.versions.count() == 1


def test_an_audience_of_a_region_reaches_no_further_whoever_freezes_it(company):
    north = org.Scope(frozenset({company.stores["S1"].pk, company.stores["F1"].pk}))
    audience = saved(company, one("purchases", "gte", 0, days=30), scope=north)
    assert audiences.freeze(audience=audience, actor=company.staff["hq"], now=NOW).member_count == 3
    part = audiences.freeze(
        audience=audience, actor=company.staff["hq"], now=NOW, scope=org.Scope(frozenset({company.stores["F1"].pk}))
    )
    assert part.member_count == 1
    seen = org.visible(AudienceSnapshot.objects.all(), org.Scope(frozenset({company.stores["F1"].pk})))
    assert [row.pk for row in seen] == [part.pk]


def test_a_large_audience_is_frozen_by_a_job_that_may_be_killed(company, monkeypatch):
    monkeypatch.setattr(freezing, "AT_ONCE", 1)
    monkeypatch.setattr(freezing, "CHUNK", 1)
    audience = saved(company, one("orders_count", "gte", 0))
    snapshot = audiences.freeze(audience=audience, actor=company.staff["hq"], now=NOW)
    assert snapshot.status == "BUILDING" and snapshot.job is not None

    class Killed(BaseException):
        pass

    class Dying:
        def stage(self, *_args: Any) -> None:
            pass

        def done(self, count: int) -> None:
            if count == 2:
                raise Killed

    with pytest.raises(Killed):
        freezing.build(snapshot=snapshot, now=NOW, progress=Dying())
    assert SnapshotMember.objects.filter(snapshot=snapshot).count() == 2
    Member.objects.filter(name=A).update(status="FROZEN")  # who has gone meanwhile is not left over
    jobs.run(snapshot.job.pk)
    snapshot.refresh_from_db()
    assert (snapshot.status, snapshot.member_count) == ("READY", 3)
    assert set(SnapshotMember.objects.filter(snapshot=snapshot).values_list("member__name", flat=True)) == {B, C, D}
    with pytest.raises(audiences.BadAudience):
        freezing.build(snapshot=snapshot, now=NOW)


# --- tags -------------------------------------------------------------------------------------------------------------


def test_an_audience_keeps_a_tag_and_touches_only_what_it_gave(company):
    label = Tag.objects.create(brand=company.brand, name="高价值")
    MemberTag.objects.create(member=company.members[C], tag=label, source="MANUAL")
    audience = saved(company, one("spend_fen", "gte", 8_000))
    rule = tags.set_rule(tag=label, audience=audience, actor=company.staff["hq"])
    assert tags.keep(rule=rule, now=NOW) == (2, 0)
    assert tags.keep(rule=rule, now=NOW) == (0, 0)
    saved(company, one("spend_fen", "gte", 10_000), audience=audience)
    rule = TagRule.objects.get()
    assert tags.keep_all(now=NOW) == {"tagged": 0, "untagged": 1, "rules_failed": 0}
    rows = MemberTag.objects.filter(tag=label).values_list("member__name", "source")
    assert set(rows) == {(A, "AUTO"), (C, "MANUAL")}
    with pytest.raises(audiences.BadAudience):
        audiences.archive(audience=audience, actor=None)
    with pytest.raises(audiences.BadAudience, match="标签"):  # it would ask for the tag it keeps
        saved(company, one("tags", "any_of", [label.pk]), audience=audience)
    tags.switch(rule=rule, is_active=False, actor=None)
    saved(company, one("tags", "any_of", [label.pk]), audience=audience)
    rule = TagRule.objects.get()
    with pytest.raises(tags.BadTag):
        tags.switch(rule=rule, is_active=True, actor=None)
    audiences.archive(audience=audience, actor=None)
    with pytest.raises(tags.BadTag, match="归档"):
        tags.switch(rule=TagRule.objects.get(), is_active=True, actor=None)


def test_a_rule_that_cannot_be_asked_changes_nothing_and_says_why(company):
    label = Tag.objects.create(brand=company.brand, name="高价值")
    gone = Tag.objects.create(brand=company.brand, name="过期")
    audience = saved(company, every(one("tags", "none_of", [gone.pk])))
    rule = tags.set_rule(tag=label, audience=audience, actor=None)
    tags.keep(rule=rule, now=NOW)
    gone.delete()
    assert tags.keep_all(now=NOW)["rules_failed"] == 1
    assert TagRule.objects.get().error_text and MemberTag.objects.filter(tag=label).count() == 4
    with pytest.raises(tags.BadTag):  # two rules for one tag
        tags.set_rule(tag=label, audience=saved(company, one("first_on", "known"), name="别的"), actor=None)
    with pytest.raises(tags.BadTag):  # a tag that asks for itself
        tags.set_rule(
            tag=key_tag(company),
            audience=saved(company, one("tags", "any_of", [key_of("宝妈")]), name="宝妈们"),
            actor=None,
        )


def key_tag(company: Shops) -> Tag:
    return Tag.objects.get(name="宝妈")


def test_tags_by_hand_have_a_source_and_an_author(company):
    label = Tag.objects.create(brand=company.brand, name="常客")
    people = [company.members[A], company.members[B]]
    assert tags.put(tag=label, members=people, actor=company.staff["hq"]) == 2
    assert tags.put(tag=label, members=people, actor=company.staff["hq"]) == 0
    row = MemberTag.objects.get(tag=label, member=company.members[A])
    assert (row.source, row.tagged_by) == ("MANUAL", company.staff["hq"])
    assert tags.take(tag=label, members=people[:1], actor=company.staff["hq"]) == 1
    assert MemberTag.objects.filter(tag=label).count() == 1


def test_saved_rules_are_plain_json_and_facts_are_there(company):
    audience = saved(company, every(one("purchases", "gte", 1, between=["2025-05-01", "2025-05-31"])))
    assert json.loads(json.dumps(audience.rule)) == audience.rule
    assert MemberFacts.objects.count() == 3
