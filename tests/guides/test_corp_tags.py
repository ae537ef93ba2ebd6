"""Corp tags: the catalogue mirrored, differences pushed, guides' marks taken."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from guides import contacts, corp_tags
from guides.corp_tags import BadMapping
from guides.models import CorpTag, Friendship, TagGroup, TagMapping, TagPush
from members.models import Member, MemberTag, Tag
from scrm.models import OutboxMessage
from scrm.wecom import outbox
from scrm.wecom import tags as endpoint
from scrm.wecom.sandbox import people
from tests.guides.contact_ways.conftest import Company, company

__all__ = ["company"]

HOUR = dt.timedelta(hours=1)


@given(*[st.sets(st.sampled_from("abcdef"))] * 3)
def test_only_led_tags_are_touched_and_end_as_wanted(wanted: set[str], marked: set[str], led: set[str]) -> None:
    found = corp_tags.difference(wanted, marked, led)
    after = (marked - set(found.remove)) | set(found.add)
    assert after & led == wanted & led
    assert after - led == marked - led
    assert not corp_tags.difference(wanted, after, led)


@pytest.fixture
def friend(company: Company) -> Friendship:
    """安琪 (S1, guide A's friend), recognised by her unionid."""
    member = company.shops.member("安琪", store="S1")
    member.identities.create(kind="UNIONID", namespace="MAIN", value="oU1")
    contact = company.wecom.world.add_contact("晚风", unionid="oU1")
    people.add_by_member(company.wecom.world, "guide_a", contact.external_userid)
    company.hear()
    return Friendship.objects.get()


def tag(company: Company, name: str = "少糖") -> Tag:
    return Tag.objects.get_or_create(brand=company.shops.brand, name=name)[0]


def give(company: Company, name: str, member: str = "安琪") -> None:
    MemberTag.objects.create(member=company.shops.members[member], tag=tag(company, name), source="MANUAL")


def at_wecom(company: Company) -> set[str]:
    """The names of the tags that WeCom shows on her."""
    world = company.wecom.world
    (follow,) = world.members["guide_a"].follows.values()
    return {world.tags[one].name for one in follow.tag_ids}


def switch_on(company: Company, name: str = "少糖", **values: Any) -> TagMapping:
    wanted: dict[str, Any] = {"lead": "OURS", "group_name": "口味", "corp_tag": None, **values}
    mapping = corp_tags.map_tag(
        corp=company.wecom.corp, tag=tag(company, name), actor=None, now=timezone.now(), **wanted
    )
    company.send()
    mapping.refresh_from_db()
    return mapping


def go_round(company: Company) -> dict[str, int]:
    done = corp_tags.sweep(now=timezone.now())
    company.send()
    return done


def test_the_catalogue_is_mirrored_and_what_is_gone_is_found(company: Company) -> None:
    app, corp = company.wecom.app, company.wecom.corp
    group = endpoint.add(app, tags=[endpoint.NewTag("少糖", 2), endpoint.NewTag("燕麦", 1)], group_name="口味")
    endpoint.add(app, tags=[endpoint.NewTag("老客")], group_name="关系")
    assert corp_tags.pull(corp=corp, now=timezone.now()) == {"groups": 2, "tags": 3}
    endpoint.delete(app, group_ids=[group.id])
    corp_tags.pull(corp=corp, now=timezone.now())
    assert set(CorpTag.objects.filter(deleted_at=None).values_list("name", flat=True)) == {"老客"}
    assert TagGroup.objects.get(name="口味").deleted_at is not None


def test_an_event_asks_for_one_reading(company: Company) -> None:
    corp_tags.pull(corp=company.wecom.corp, now=timezone.now())
    assert corp_tags.pull_due(now=timezone.now()) == 0
    endpoint.add(company.wecom.app, tags=[endpoint.NewTag("少糖")], group_name="口味")
    company.wecom.world.emit("change_external_tag", "shuffle", Id="")
    company.wecom.tell()
    assert corp_tags.pull_due(now=timezone.now()) == 1
    assert CorpTag.objects.get().name == "少糖"
    assert corp_tags.pull_due(now=timezone.now()) == 0


def test_a_tag_switched_on_is_made_and_pushed_to_who_has_it(company: Company, friend: Friendship) -> None:
    give(company, "少糖")
    mapping = switch_on(company)
    assert mapping.corp_tag is not None and mapping.corp_tag.is_ours
    assert go_round(company) == {"compared": 1, "asked": 1}
    assert at_wecom(company) == {"少糖"}
    friend.refresh_from_db()
    assert friend.tag_ids == [mapping.corp_tag.tag_id]
    assert go_round(company) == {"compared": 1, "asked": 0}  # diff-only
    company.shops.members["安琪"].tags.all().delete()
    go_round(company)
    assert at_wecom(company) == set()


def test_where_we_lead_a_guides_mark_is_put_back_and_others_stay(company: Company, friend: Friendship) -> None:
    mapping = switch_on(company)
    assert mapping.corp_tag is not None
    private = endpoint.add(company.wecom.app, tags=[endpoint.NewTag("VIP")], group_name="店内").tags[0]
    external_userid = friend.contact.external_userid
    people.edit(company.wecom.world, "guide_a", external_userid, add_tags=(mapping.corp_tag.tag_id, private.id))
    company.hear()
    company.send()  # put back as soon as it was read
    assert at_wecom(company) == {"VIP"}
    assert not company.shops.members["安琪"].tags.exists()


def test_where_guides_lead_their_marks_become_ours_and_go_again(company: Company, friend: Friendship) -> None:
    corp, world, external_userid = company.wecom.corp, company.wecom.world, friend.contact.external_userid
    made = endpoint.add(company.wecom.app, tags=[endpoint.NewTag("爱喝燕麦")], group_name="口味").tags[0]
    corp_tags.pull(corp=corp, now=timezone.now())
    switch_on(company, "燕麦", lead="WECOM", corp_tag=CorpTag.objects.get())
    people.edit(world, "guide_a", external_userid, add_tags=(made.id,))
    company.hear()
    row = MemberTag.objects.get()  # as soon as it was read
    assert go_round(company)["asked"] == 0
    assert (row.member, row.tag.name, row.source) == (company.shops.members["安琪"], "燕麦", "WECOM")
    world.clock.advance(1)  # two equal events of one second are one
    people.edit(world, "guide_a", external_userid, remove_tags=(made.id,))
    company.hear()
    assert not MemberTag.objects.exists()
    world.clock.advance(1)
    people.edit(world, "guide_a", external_userid, add_tags=(made.id,))
    company.hear()
    people.delete_by_member(world, "guide_a", external_userid)
    company.hear()
    assert MemberTag.objects.exists()
    go_round(company)  # nobody is her friend any more
    assert not MemberTag.objects.exists()
    give(company, "燕麦")  # HQ's own stays without any mark, and is not pushed
    assert go_round(company)["asked"] == 0
    assert MemberTag.objects.get().source == "MANUAL"


def test_one_call_a_pair_at_a_time_and_a_refused_one_is_not_repeated(company: Company, friend: Friendship) -> None:
    give(company, "少糖")
    switch_on(company)
    corp_tags.sweep(now=timezone.now())
    corp_tags.sweep(now=timezone.now())
    assert OutboxMessage.objects.filter(topic=corp_tags.MARK).count() == 1
    company.wecom.world.quotas.tags_per_customer = 0
    company.send()
    push = TagPush.objects.get()
    assert not push.is_pending and "40144" in push.error_text
    go_round(company)
    assert OutboxMessage.objects.filter(topic=corp_tags.MARK).count() == 1
    company.wecom.world.quotas.tags_per_customer = 10
    give(company, "老客")
    switch_on(company, "老客")
    go_round(company)
    assert at_wecom(company) == {"少糖", "老客"}


def test_who_is_just_recognised_is_compared_at_once(company: Company) -> None:
    member = company.shops.member("白鹭", store="S1")
    give(company, "少糖", "白鹭")
    switch_on(company)
    contact = company.wecom.world.add_contact("白", unionid="oU2")
    people.add_by_member(company.wecom.world, "guide_a", contact.external_userid)
    company.hear()
    member.identities.create(kind="UNIONID", namespace="MAIN", value="oU2")
    contacts.recognise_late(now=timezone.now())
    contacts.tell_news(now=timezone.now() + HOUR)
    company.send()
    assert at_wecom(company) == {"少糖"}


def test_a_renamed_tag_follows_only_where_the_app_made_it(company: Company) -> None:
    theirs = endpoint.add(company.wecom.app, tags=[endpoint.NewTag("老客")], group_name="关系").tags[0]
    corp_tags.pull(corp=company.wecom.corp, now=timezone.now())
    switch_on(company)
    switch_on(company, "熟客", corp_tag=CorpTag.objects.get(tag_id=theirs.id))
    Tag.objects.filter(name="少糖").update(name="无糖")
    assert corp_tags.follow_names(now=timezone.now()) == 1
    company.send()
    assert {tag.name for tag in company.wecom.world.tags.values()} == {"无糖", "老客"}
    assert corp_tags.follow_names(now=timezone.now()) == 0


def test_a_name_that_exists_is_taken_and_not_called_ours(company: Company) -> None:
    endpoint.add(company.wecom.app, tags=[endpoint.NewTag("少糖")], group_name="口味")
    mapping = switch_on(company)
    assert mapping.corp_tag is not None and not mapping.corp_tag.is_ours
    assert len(company.wecom.world.tags) == 1


def test_a_corp_tag_deleted_in_wecom_switches_its_mapping_off(company: Company) -> None:
    mapping = switch_on(company)
    assert mapping.corp_tag is not None
    endpoint.delete(company.wecom.app, tag_ids=[mapping.corp_tag.tag_id])
    corp_tags.pull(corp=company.wecom.corp, now=timezone.now())
    mapping.refresh_from_db()
    assert not mapping.is_active and mapping.error_text
    corp_tags.switch(mapping=mapping, is_active=True, actor=None, now=timezone.now())
    company.send()
    mapping.refresh_from_db()
    assert mapping.corp_tag is not None and mapping.corp_tag.deleted_at is None


def test_at_the_cap_of_tags_the_mapping_says_so(company: Company) -> None:
    company.wecom.world.quotas.corp_tags = 0
    mapping = switch_on(company)
    assert mapping.corp_tag is None and "40126" in mapping.error_text


def test_mappings_that_cannot_be_are_refused_and_leave_nothing(company: Company) -> None:
    for values in ({"lead": "WECOM"}, {"group_name": ""}, {"group_name": "长" * 31}):
        with pytest.raises(BadMapping):
            switch_on(company, **values)
    switch_on(company)
    with pytest.raises(BadMapping):
        switch_on(company)
    assert TagMapping.objects.count() == OutboxMessage.objects.count() == 1


def test_the_round_comes_to_all_friends_in_pieces(company: Company, friend: Friendship) -> None:
    switch_on(company)
    give(company, "少糖")
    assert Member.objects.count() == 1
    assert corp_tags.sweep(now=timezone.now(), limit=1, seconds=0) == {"compared": 1, "asked": 1}
    assert corp_tags.sweep(now=timezone.now(), limit=1, seconds=0) == {"compared": 0, "asked": 0}  # the round ends
    assert corp_tags.sweep(now=timezone.now(), limit=1, seconds=0)["compared"] == 1
    assert outbox.send_due(now=timezone.now()).done == 1
