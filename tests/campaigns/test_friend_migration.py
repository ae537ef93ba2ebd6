"""Migration of old customers: lists sealed, added by the customer's own act, counted per guide, erased in time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns import friend_migration
from campaigns.friend_migration import MigrationRefused, drives, figures, following, listing
from campaigns.models import FriendMigration, FriendMigrationGuide, FriendMigrationTarget, MigratingFriend
from guides.models import Action, Contact, ContactWay, Friendship, Guide
from members.models import Identity
from scrm import crypto, jobs, org
from scrm.models import Corp, Job, OutboxMessage
from tests.factories import shops as factory
from tests.guides.conftest import Api

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)  # noon in Shanghai
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    company.member("安琪", store="S1", guide="A")
    for code in ("A", "B"):
        Guide.objects.filter(pk=company.guides[code].pk).update(wecom_userid=f"wx{code.lower()}")
    return company


def drive(now: dt.datetime = NOW, **values: Any) -> FriendMigration:
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwM", defaults={"name": "示例公司"})
    brand = factory.Brand.objects.get(code="MAIN")
    said = {
        "name": "老客搬家",
        "invite_text": "扫码加我企业微信",
        "starts_on": now.date(),
        "ends_on": (now + 60 * DAY).date(),
    }
    row = FriendMigration.objects.create(**{"brand": brand, "corp": corp, **said, **values})
    FriendMigrationTarget.objects.create(migration=row, due_on=now.date(), added_bp=5_000)
    return row


def started(shops: factory.Shops, now: dt.datetime = NOW) -> dict[str, FriendMigrationGuide]:
    row = drives.start(drive=drive(now), actor=shops.staff["hq"], now=now)
    jobs.run(Job.objects.get(kind=drives.KIND).pk)
    entries = {entry.guide.code: entry for entry in FriendMigrationGuide.objects.filter(migration=row)}
    return {"A": entries["G00001"], "B": entries["G00002"]}


def number(index: int) -> str:
    return f"+86{factory.mobile(70_000_000 + index)}"


def added(entry: FriendMigrationGuide, at: dt.datetime, name: str, **known: Any) -> Contact:
    """She scans the guide's code of the drive."""
    way = entry.way
    assert way is not None
    contact = Contact.objects.create(corp=way.corp, external_userid=f"wm{name}", name=name, **known)
    Friendship.objects.create(
        contact=contact, corp=way.corp, userid=f"wx{name}", guide=entry.guide, added_at=at, state=way.state, add_way=1
    )
    return contact


def test_a_drive_gives_each_guide_a_code_of_its_own(shops: factory.Shops) -> None:
    row = drive()
    found = drives.preview(row)
    assert (found.guide_count, found.without_account) == (2, 2)
    entries = started(shops)
    states = set(ContactWay.objects.filter(purpose="CAMPAIGN").values_list("state", flat=True))
    assert len(states) == 2 and entries["A"].store == shops.stores["S1"]
    assert OutboxMessage.objects.count() == 2  # asked of WeCom by the outbox alone
    with pytest.raises(MigrationRefused) as error:
        drives.start(drive=row, actor=shops.staff["hq"], now=NOW)
    assert error.value.code == "migration_runs"


def test_the_funnel_from_list_to_purchase(shops: factory.Shops) -> None:
    entries = started(shops)
    a, b = shops.guides["A"], shops.guides["B"]
    people = [("王女士", number(1)), ("李姐", number(2)), ("赵先生", number(3)), ("重复", number(1))]
    assert listing.add(guide_id=a.pk, people=people, now=NOW) == 3
    assert listing.add(guide_id=a.pk, people=people, now=NOW) == 0
    assert listing.add(guide_id=b.pk, people=[("小李", number(2))], now=NOW) == 1
    plain = MigratingFriend.objects.filter(entry=entries["A"]).order_by("pk")
    assert {person.name_masked for person in plain} == {"重**", "李**", "赵**"}
    with connection.cursor() as cursor:  # S2: no number in the clear
        cursor.execute("SELECT string_agg(p::text, '') FROM campaigns_migratingfriend p")
        assert factory.mobile(70_000_001) not in cursor.fetchone()[0]
    assert MigratingFriend.objects.filter(is_double=True).count() == 2  # 李姐, on both lists
    ids = [person.pk for person in plain]
    assert listing.mark_invited(guide_id=a.pk, ids=ids, now=NOW) == 3
    assert listing.mark_invited(guide_id=b.pk, ids=ids, now=NOW) == 0  # a colleague's people are not hers

    mobile = Identity.objects.get(member=shops.members["安琪"], kind="MOBILE").value
    listed = MigratingFriend.objects.get(entry=entries["A"], name_masked="重**")
    MigratingFriend.objects.filter(pk=listed.pk).update(mobile_index=mobile)  # she is 安琪
    contact = added(entries["A"], NOW + DAY, "angel")
    added(entries["A"], NOW + DAY, "unlisted")
    following.follow(now=NOW + DAY)
    assert FriendMigrationGuide.objects.get(pk=entries["A"].pk).added_count == 2  # who she is shows later
    Contact.objects.filter(pk=contact.pk).update(
        member=shops.members["安琪"], linked_by="UNIONID", linked_at=NOW + 2 * DAY
    )
    shops.line("l", member="安琪", store="S1", paid_fen=5_000, at=NOW + 2 * DAY)
    following.follow(now=NOW + 4 * DAY)
    following.follow(now=NOW + 4 * DAY)  # again: the same
    entry = FriendMigrationGuide.objects.get(pk=entries["A"].pk)
    line = figures.of_entry(entry)
    assert (line.listed_count, line.invited_count, line.added_count, line.registered_count, line.bought_count) == (
        3,
        3,
        2,
        1,
        1,
    )
    listed.refresh_from_db()
    assert (listed.contact_id, MigratingFriend.objects.filter(contact=contact).count()) == (contact.pk, 1)
    todo = Action.objects.get(guide=a)  # 李姐 and 赵先生 still wait: one action
    assert todo.kind == "INVITE" and "2" in todo.reason and todo.text == "扫码加我企业微信"
    total = figures.total(drive=entry.migration, scope=org.EVERYTHING)
    assert (total.listed_count, total.double_count, figures.target_bp(entry.migration, NOW.date())) == (4, 2, 5_000)


def test_lists_are_erased_and_counts_stay(shops: factory.Shops) -> None:
    entries = started(shops)
    listing.add(guide_id=shops.guides["A"].pk, people=[("王", number(9))], now=NOW)
    assert following.erase(now=NOW + 60 * DAY) == 0
    assert following.erase(now=NOW + 60 * DAY + HOUR) == 1
    person = MigratingFriend.objects.get()
    assert (person.name_masked, person.mobile_index, person.mobile_sealed) == ("", "", None)
    assert FriendMigrationGuide.objects.get(pk=entries["A"].pk).listed_count == 1


def test_a_file_of_hq_and_who_was_on_wecom_before(shops: factory.Shops, tmp_path: Path) -> None:
    member = shops.members["安琪"]
    entries = started(shops)
    corp = entries["A"].migration.corp
    contact = Contact.objects.create(
        corp=corp, external_userid="wmOLD", member=member, linked_by="UNIONID", linked_at=NOW - 9 * DAY
    )
    Friendship.objects.create(contact=contact, corp=corp, userid="wxb", guide=shops.guides["B"], added_at=NOW - 9 * DAY)
    index = Identity.objects.get(member=member, kind="MOBILE")
    own = crypto.open_mobile(bytes(index.sealed or b"")).removeprefix("+86")
    path = tmp_path / "老客.csv"
    path.write_text(
        f"导购编码,姓名,手机号\nG00001,安琪,{own}\nG00001,新人,{factory.mobile(5)}\nG99999,无,{factory.mobile(6)}\nG00002,坏,123\n"
    )
    call_command("import_personal_contacts", str(path), verbosity=0)
    entry = FriendMigrationGuide.objects.get(pk=entries["A"].pk)
    assert (entry.listed_count, entry.known_count) == (2, 1)
    line = figures.of_entry(entry)
    assert (line.to_move, line.added_count) == (1, 0)  # who was there before is no success


def test_a_guides_screen_and_the_pages_of_hq(shops: factory.Shops) -> None:
    device, now = Api(shops.token("A")), timezone.now()
    assert device.get("friend-migration").json()["drive"] is None
    key = {"Idempotency-Key": "list-old-1"}
    none = device.post("friend-migration/list", {"said_count": 3}, **key)
    assert (none.status_code, none.json()["code"]) == (409, "migration_none_runs")
    entries = started(shops, now)
    said = {"people": [{"name": "王女士", "mobile": "154 7000 0042"}], "said_count": 30}
    assert device.post("friend-migration/list", said, **{"Idempotency-Key": "list-old-2"}).json() == {"listed_count": 1}
    bad = {"people": [{"name": "王", "mobile": "12"}]}
    assert device.post("friend-migration/list", bad, **{"Idempotency-Key": "list-old-3"}).status_code == 400
    screen = device.get("friend-migration").json()
    assert (screen["drive"]["counts"]["said_count"], screen["items"][0]["mobile"]) == (30, "154****0042")
    ids = {"ids": [screen["items"][0]["id"]]}
    assert device.post("friend-migration/invited", ids, **{"Idempotency-Key": "invited-1"}).json() == {
        "invited_count": 1
    }
    page = Client()
    page.force_login(shops.staff["region"], backend="django.contrib.auth.backends.ModelBackend")
    address = reverse("admin:campaigns_friendmigration_figures", args=[entries["A"].migration_id])
    shown = page.get(address + "?level=guide").content.decode()
    assert "王芳" in shown and "李娜" not in shown  # the north sees no guide of the south
    assert friend_migration.drives.running() is not None
