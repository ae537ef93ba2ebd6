"""Our client against the sandbox: what one says the other understands."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from scrm.models import InboxEvent
from scrm.wecom import contact_ways, customers, directory, errors, tags
from scrm.wecom.sandbox import people
from scrm.wecom.sandbox.records import Approach
from tests.factories.wecom import Wired


@pytest.fixture
def box(sandbox: Wired) -> Wired:
    world = sandbox.world
    world.add_department(3, "华东大区")
    world.add_department(17, "南山店", parent_id=3)
    world.add_member("Guide_0001", "林晓", departments=(3, 17), position="店长", leads=(17,))
    world.add_member("guide_0002", "小鹿", departments=(17,))
    for number in range(250):
        contact = world.add_contact(f"客户{number}", unionid=f"o{number}")
        world.befriend("guide_0001" if number < 130 else "guide_0002", contact.external_userid, state=f"s{number}")
    return sandbox


def test_the_directory(box: Wired) -> None:
    places = [(place.userid, place.department_id) for place in directory.places(box.sync_app)]
    assert places == [("Guide_0001", 3), ("Guide_0001", 17), ("guide_0002", 17)]
    member = directory.member(box.app, "guide_0001")
    assert (member.name, member.leads, member.status) == ("林晓", (17,), 1)
    assert [one.userid for one in directory.members(box.app, 17)] == ["Guide_0001", "guide_0002"]
    assert [one.id for one in directory.department_tree(box.sync_app)] == [1, 3, 17]
    assert directory.department(box.app, 17).name == "南山店"
    with pytest.raises(errors.NoPermission):
        list(directory.places(box.app))
    with pytest.raises(errors.NoPermission):
        directory.member(box.sync_app, "guide_0001")
    with pytest.raises(errors.NotFound):
        directory.member(box.app, "nobody")


def test_customers_page_by_page_and_one_by_one(box: Wired) -> None:
    pairs = list(customers.by_members(box.app, ["guide_0001", "guide_0002"]))
    assert len({pair.customer.external_userid for pair in pairs}) == len(pairs) == 250
    assert box.box.counts["externalcontact/batch/get_by_user"] == 3
    assert {pair.follow.state for pair in pairs} == {f"s{number}" for number in range(250)}
    customer, (follow,) = customers.get(box.app, pairs[0].customer.external_userid)
    assert customer == pairs[0].customer and follow.userid == "Guide_0001"
    assert len(customers.ids_of(box.app, "guide_0002")) == 120
    assert customers.followers(box.app) == ["Guide_0001", "guide_0002"]
    customers.remark(box.app, userid="guide_0001", external_userid=customer.external_userid, remark="晚风-南山")
    assert customers.get(box.app, customer.external_userid)[1][0].remark == "晚风-南山"
    with pytest.raises(errors.NotFriends):
        customers.remark(box.app, userid="guide_0002", external_userid=customer.external_userid, remark="x")


def test_tags(box: Wired) -> None:
    group = tags.add(box.app, tags=[tags.NewTag("少糖", 2), tags.NewTag("燕麦奶", 1)], group_name="口味偏好")
    assert [tag.name for tag in group.tags] == ["少糖", "燕麦奶"]
    assert tags.groups(box.app) == [group]
    external_userid = customers.ids_of(box.app, "guide_0001")[0]
    tags.mark(box.app, userid="guide_0001", external_userid=external_userid, add=[group.tags[0].id])
    assert customers.get(box.app, external_userid)[1][0].tag_ids == (group.tags[0].id,)
    tags.edit(box.app, id=group.tags[0].id, name="无糖")
    with pytest.raises(errors.Duplicate):
        tags.edit(box.app, id=group.tags[0].id, name="燕麦奶")
    tags.delete(box.app, group_ids=[group.id])
    assert tags.groups(box.app) == [] and tags.groups(box.app, group_ids=[group.id])[0].is_deleted
    with pytest.raises(errors.NotFound):
        tags.mark(box.app, userid="guide_0001", external_userid=external_userid, add=[group.tags[0].id])


def test_from_the_code_to_the_friend(box: Wired) -> None:
    made = contact_ways.add_single(box.app, userid="guide_0002", state="a1f3k", skip_verify=True, remark="南山-小鹿")
    assert made.qr_code.endswith(made.config_id)
    now = timezone.now()
    listed = contact_ways.ids(box.app, since=now - dt.timedelta(days=1), until=now + dt.timedelta(days=1))
    assert list(listed) == [made.config_id]
    newcomer = box.world.add_contact("阿明")
    approach = box.world.scan(made.config_id, newcomer.external_userid)
    assert isinstance(approach, Approach) and approach.is_half
    assert box.deliver() == 1
    with pytest.raises(errors.NotFriends):
        customers.get(box.app, newcomer.external_userid)
    box.world.confirm("guide_0002", newcomer.external_userid)
    assert box.deliver() == 1
    assert customers.get(box.app, newcomer.external_userid)[1][0].state == "a1f3k"
    events = InboxEvent.objects.order_by("pk").values_list("change_type", "lane")
    assert list(events) == [("add_half_external_contact", "WELCOME"), ("add_external_contact", "WELCOME")]
    contact_ways.delete(box.app, made.config_id)
    with pytest.raises(errors.NotFound):
        contact_ways.get(box.app, made.config_id)


def test_the_directory_tells_of_who_comes_and_goes(box: Wired) -> None:
    people.join(box.world, "new_one", "新人", (17,))
    box.world.leave("new_one")
    assert box.deliver() == 2
    events = InboxEvent.objects.order_by("pk").values_list("event", "change_type", "endpoint__name")
    assert list(events) == [
        ("change_contact", "create_user", "directory"),
        ("change_contact", "delete_user", "directory"),
    ]
