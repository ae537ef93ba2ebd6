"""Customer groups: their versions, what events say of them, and the codes that lead into them."""

from __future__ import annotations

import re

import pytest

from scrm.wecom import attachments, errors, groups, join_ways
from scrm.wecom.sandbox import groups as life
from scrm.wecom.sandbox import people
from tests.factories.wecom import Wired


@pytest.fixture
def box(sandbox: Wired) -> Wired:
    world = sandbox.world
    world.quotas.group_lag_seconds = 0
    world.add_department(17, "南山店")
    world.add_member("Guide_0001", "林晓", departments=(17,))
    world.add_member("guide_0002", "小鹿", departments=(17,))
    for number in range(5):
        world.add_contact(f"客户{number}", unionid=f"o{number}", external_userid=f"wm{number}")
    return sandbox


def tags_of(box: Wired) -> dict[str, str]:
    """What the last event said."""
    plain = re.sub(r"<!\[CDATA\[(.*?)\]\]>", r"\1", box.world.events[-1].xml)
    return dict(re.findall(r"<(\w+)>([^<]*)</\1>", plain))


def test_a_group_with_its_members_as_our_client_reads_it(box: Wired) -> None:
    chat_id = life.make(box.world, "guide_0001", "南山店福利群").chat_id
    life.invite(box.world, chat_id, "wm0")
    life.invite_member(box.world, chat_id, "guide_0002")
    group = groups.get(box.app, chat_id, with_names=True)
    assert (group.name, group.owner) == ("南山店福利群", "Guide_0001")
    owner, customer, colleague = group.members
    assert (owner.userid, owner.type, owner.name) == ("Guide_0001", groups.STAFF, "林晓")
    assert (customer.userid, customer.unionid, customer.inviter) == ("wm0", "o0", "Guide_0001")
    assert (customer.join_scene, colleague.type) == (groups.BY_INVITATION, groups.STAFF)
    assert groups.get(box.app, chat_id).members[1].name == ""
    listed = groups.of_owners(box.app, ["guide_0001", "guide_0002"])
    assert list(listed) == [groups.Listed(chat_id, groups.NORMAL)]
    assert groups.chat_id_of(box.app, f"og-{chat_id}") == chat_id
    for call in (lambda: groups.get(box.app, "wrNone"), lambda: groups.chat_id_of(box.app, "og-none")):
        with pytest.raises(errors.NotFound):
            call()


def test_events_carry_the_version_before_and_after(box: Wired) -> None:
    """A reader who holds the version before may apply the change and hold the one after."""
    chat_id = life.make(box.world, "guide_0001", "群").chat_id
    assert tags_of(box) | {"ChatId": chat_id, "ChangeType": "create"} == tags_of(box)
    versions = [groups.get(box.app, chat_id).version]
    for external_userid in ("wm0", "wm1"):
        life.invite(box.world, chat_id, external_userid)
        said = tags_of(box)
        assert (said["UpdateDetail"], said["JoinScene"], said["Item"]) == ("add_member", "0", external_userid)
        assert (said["LastMemVer"], said["CurMemVer"]) == (versions[-1], groups.get(box.app, chat_id).version)
        versions.append(said["CurMemVer"])
    life.leave(box.world, chat_id, "wm1")
    assert (tags_of(box)["QuitScene"], tags_of(box)["CurMemVer"]) == ("0", versions[1])  # the same members again
    life.remove(box.world, chat_id, "wm0")
    assert (tags_of(box)["QuitScene"], tags_of(box)["CurMemVer"]) == ("1", versions[0])
    life.rename(box.world, chat_id, "新名")
    assert tags_of(box)["UpdateDetail"] == "change_name" and "CurMemVer" not in tags_of(box)
    assert box.deliver() == 6


def test_the_detail_shows_a_change_late(box: Wired) -> None:
    chat_id = life.make(box.world, "guide_0001", "群").chat_id
    box.world.quotas.group_lag_seconds = 1000
    life.invite(box.world, chat_id, "wm0")
    said = tags_of(box)
    assert groups.get(box.app, chat_id).version == said["LastMemVer"]
    life.invite(box.world, chat_id, "wm1")  # what was shown goes on to be shown
    assert groups.get(box.app, chat_id).version == said["LastMemVer"]
    box.later(1001)
    assert groups.get(box.app, chat_id).version == tags_of(box)["CurMemVer"]


def test_a_code_fills_its_groups_and_makes_the_next_one(box: Wired) -> None:
    box.world.quotas.group_size = 2
    first = life.make(box.world, "guide_0001", "福利群10").chat_id
    way = join_ways.JoinWay([first], remark="南山店1群", base_name="福利群", base_number=11, state="j:1")
    config_id = join_ways.add(box.app, way)
    assert join_ways.get(box.app, config_id).qr_code.endswith(config_id)
    came = [life.scan(box.world, config_id, f"wm{number}").name for number in range(3)]
    assert came == ["福利群10", "福利群11", "福利群12"]
    assert tags_of(box)["JoinScene"] == "3"
    assert life.scan(box.world, config_id, "wm0").name == "福利群10"  # who is in it already
    chat_ids = join_ways.get(box.app, config_id).chat_ids
    assert len(chat_ids) == 3 and chat_ids[0] == first
    member = groups.get(box.app, chat_ids[1]).members[1]
    assert (member.userid, member.state, member.join_scene) == ("wm1", "j:1", groups.BY_QR_CODE)
    assert groups.get(box.app, chat_ids[1]).owner == "Guide_0001"


def test_a_full_code_that_makes_no_groups_and_its_end(box: Wired) -> None:
    box.world.quotas.group_size = 1
    chat_id = life.make(box.world, "guide_0001", "群").chat_id
    config_id = join_ways.add(box.app, join_ways.JoinWay([chat_id]))
    join_ways.update(box.app, config_id, join_ways.JoinWay([chat_id], makes_groups=False, remark="换"))
    assert join_ways.get(box.app, config_id).remark == "换"
    with pytest.raises(people.Impossible, match="满"):
        life.scan(box.world, config_id, "wm0")
    join_ways.delete(box.app, config_id)
    with pytest.raises(errors.NotFound):
        join_ways.get(box.app, config_id)
    with pytest.raises(people.Impossible, match="失效"):
        life.scan(box.world, config_id, "wm0")


def test_join_ways_count_against_the_quota_of_contact_ways(box: Wired) -> None:
    chat_id = life.make(box.world, "guide_0001", "群").chat_id
    box.world.quotas.contact_ways = 1
    join_ways.add(box.app, join_ways.JoinWay([chat_id]))
    with pytest.raises(errors.QuotaExhausted):
        join_ways.add(box.app, join_ways.JoinWay([chat_id]))


def test_who_owns_a_group_and_how_it_ends(box: Wired) -> None:
    chat_id = life.make(box.world, "guide_0001", "群").chat_id
    life.change_owner(box.world, chat_id, "guide_0002")
    assert tags_of(box)["UpdateDetail"] == "change_owner"
    assert groups.get(box.app, chat_id).owner == "guide_0002"
    box.world.leave("guide_0002")
    assert list(groups.of_owners(box.app, ["guide_0002"])) == [groups.Listed(chat_id, groups.OWNER_LEFT)]
    assert list(groups.of_owners(box.app, ["guide_0002"], status=groups.TRANSFERRED)) == []
    life.dismiss(box.world, chat_id)
    assert tags_of(box)["ChangeType"] == "dismiss"
    with pytest.raises(errors.NotFound):
        groups.get(box.app, chat_id)


def test_welcome_templates(box: Wired) -> None:
    box.world.quotas.group_welcomes = 1
    template = groups.WelcomeTemplate("欢迎 %NICKNAME%", attachments.Link("题", "https://x/1"))
    template_id = groups.add_welcome_template(box.app, template)
    assert groups.welcome_template(box.app, template_id) == template
    with pytest.raises(errors.QuotaExhausted):
        groups.add_welcome_template(box.app, template)
    groups.edit_welcome_template(box.app, template_id, groups.WelcomeTemplate("欢迎"))
    assert groups.welcome_template(box.app, template_id).attachment is None
    groups.delete_welcome_template(box.app, template_id)
    with pytest.raises(errors.NotFound):
        groups.welcome_template(box.app, template_id)
