"""Tags of members from a list and into one, and an audience too large to be waited for."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members import audiences, tag_import, tags
from members.audiences import freezing
from members.models import Member, MemberTag, Tag, TagRule
from scrm import exports, imports, jobs
from scrm.models import Act, ExportRequest, Grant, Job, Role, User
from scrm.org import EVERYTHING
from tests.factories import shops as factory


@pytest.fixture
def shops(db: None) -> factory.Shops:
    shops = factory.shops()
    for name, store in (("安琪", "S1"), ("白鹭", "S2"), ("陈曦", "S1")):
        shops.member(name, store=store)
    return shops


def card(shops: factory.Shops, name: str) -> str:
    return str(shops.members[name].identities.get(kind="CARD").value)


def take(path: Path, rows: Sequence[tuple[str, ...]], **options: Any) -> Job:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream).writerows([("卡号", "手机号", "标签", "操作"), *rows])
    return jobs.run(imports.start(kind=tag_import.KIND, path=str(path), options=options).pk)


def tagged() -> set[tuple[str, str, str]]:
    return set(MemberTag.objects.values_list("member__name", "tag__name", "source"))


def test_a_list_sets_and_takes_tags_and_says_what_is_wrong(shops: factory.Shops, tmp_path: Path) -> None:
    Member.objects.filter(name="陈曦").update(status="MERGED", merged_into=shops.members["安琪"])
    own = Tag.objects.create(brand=shops.brand, name="老客")
    MemberTag.objects.create(member=shops.members["白鹭"], tag=own, source="MANUAL")
    mobile = factory.mobile(int(card(shops, "白鹭")[3:]))
    rows = [
        (card(shops, "安琪"), "", "爱榴莲", ""), (card(shops, "安琪"), "", "爱榴莲", "打标"), (card(shops, "陈曦"), "", "爱苹果", ""),
        ("", mobile, "老客", "去标"), ("", mobile, "爱苹果", ""), (card(shops, "安琪"), "", "爱苹果", "去标"),
        ("VIP-NOBODY", "", "=1+1", ""), (card(shops, "安琪"), mobile, "爱苹果", ""), ("", "", "爱苹果", ""),
        (card(shops, "安琪"), "", "", ""), (card(shops, "安琪"), "", "爱苹果", "也许"),
    ]  # fmt: skip
    path = tmp_path / "tags.csv"
    tried = take(path, rows, dry_run=True)
    assert (tried.summary["good"], tried.summary["bad"]) == (6, 5) and tagged() == {("白鹭", "老客", "MANUAL")}
    for added in (2, 0):  # again: the same rows
        done = take(path, rows)
        assert done.summary["tags_added"] == added
        assert tagged() == {("安琪", "爱榴莲", "IMPORT"), ("白鹭", "爱苹果", "IMPORT")}
    assert done.summary["problems"] == {
        "unknown_member": 1, "identity_conflict": 1, "missing_card_and_mobile": 1, "missing_value": 1, "bad_act": 1,
    }  # fmt: skip
    errors = tmp_path / "errors.csv"
    assert imports.write_errors(done, errors) == 5
    text = errors.read_text("utf-8-sig")
    assert "'=1+1" in text and "没有会员用这个卡号" in text


def test_the_list_of_a_tag_goes_out_to_who_may_and_comes_in_again(shops: factory.Shops, tmp_path: Path) -> None:
    tag = Tag.objects.create(brand=shops.brand, name="=HYPERLINK(1)")
    tags.put(tag=tag, members=[shops.members["安琪"], shops.members["白鹭"]], actor=shops.staff["hq"])
    address = reverse("admin:members_tag_members", args=(tag.pk,))
    asked: dict[str, Any] = {}
    for name in ("hq", "region"):
        client = Client()
        client.force_login(shops.staff[name])
        asked[name] = client.get(address)
    assert asked["region"].status_code in (403, 404)
    body = b"".join(asked["hq"].streaming_content).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(body)))
    assert rows[0][:2] == ["会员卡号", "标签"]
    assert {row[0] for row in rows[1:]} == {card(shops, "安琪"), card(shops, "白鹭")}
    assert rows[1][1] == "'=HYPERLINK(1)" and Act.objects.filter(verb="tag.file", target_id=str(tag.pk)).count() == 1
    MemberTag.objects.all().delete()
    path = tmp_path / "again.csv"
    path.write_text(body.replace("'=HYPERLINK(1)", "爱榴莲"), encoding="utf-8-sig")
    assert jobs.run(imports.start(kind=tag_import.KIND, path=str(path), options={}).pk).summary["tags_added"] == 2


def test_a_list_of_many_goes_out_once_and_only_with_a_second_person(
    shops: factory.Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S4, and nothing more leaves than was agreed to."""
    monkeypatch.setattr(exports, "FREE_ROWS", 2)
    tag = Tag.objects.create(brand=shops.brand, name="老客")
    tags.put(tag=tag, members=[shops.members["安琪"], shops.members["白鹭"]], actor=shops.staff["hq"])
    second = User.objects.create_user("second")
    Grant.objects.create(user=second, role=Role.HQ_ADMIN)
    hq, other = Client(), Client()
    hq.force_login(shops.staff["hq"])
    other.force_login(second)
    answer = hq.get(reverse("admin:members_tag_members", args=(tag.pk,)))
    assert answer["Location"].endswith("/act/ask_for_file/") and not Act.objects.filter(verb="tag.file").exists()
    for _twice in range(2):  # asked again it stays one
        hq.post(answer["Location"], {"reason": "寄会员日邀请卡"})
    row = ExportRequest.objects.get()
    page = reverse("admin:scrm_exportrequest_change", args=(row.pk,))
    take_it = reverse("admin:scrm_exportrequest_take", args=(row.pk,))
    agree = reverse("admin:scrm_exportrequest_act", args=(row.pk, "agree"))

    def is_taken(client: Client) -> str:
        found = client.post(take_it)
        return "" if found.status_code == 302 else b"".join(found.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]

    hq.post(agree)
    assert (
        not is_taken(hq) and ExportRequest.objects.get().status == "ASKED"
    )  # nobody agrees to what she asked for herself
    with pytest.raises(IntegrityError), transaction.atomic():
        ExportRequest.objects.update(answered_by=shops.staff["hq"])
    assert "寄会员日邀请卡" in other.get(reverse("admin:waiting")).content.decode()
    other.post(agree)
    assert "下载 CSV" in hq.get(page).content.decode() and hq.get(take_it).status_code == 405
    assert not is_taken(other)  # whoever agreed does not take it
    tags.put(tag=tag, members=[shops.members["陈曦"]], actor=second)
    assert not is_taken(hq) and ExportRequest.objects.get().status == "ASKED"  # it has grown: asked for again
    other.post(agree)
    ExportRequest.objects.update(answered_at=timezone.now() - dt.timedelta(days=2))
    assert not is_taken(hq) and ExportRequest.objects.get().row_count == 3  # too late
    other.post(agree)
    rows = list(csv.reader(io.StringIO(is_taken(hq))))
    assert len(rows) == 4 and all(cells[-1].startswith(f"{row.pk} hq ") for cells in rows[1:])
    assert not is_taken(hq)  # a second time
    verbs = Act.objects.filter(verb__startswith="export.").order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == [
        "export.ask", "export.agree", "export.ask", "export.agree", "export.ask", "export.agree", "export.take",
    ]  # fmt: skip


def test_a_large_audience_keeps_its_tag_by_a_job(shops: factory.Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request only starts it; the job writes in pieces, shows how far it is, and run again finds nothing left."""
    monkeypatch.setattr(freezing, "AT_ONCE", 1)
    monkeypatch.setattr(tags, "CHUNK", 2)
    audience = audiences.save(
        brand=shops.brand, name="全部", rule={"field": "registered_on", "is": "known", "value": True}, scope=EVERYTHING,
        actor=shops.staff["hq"], now=timezone.now(),
    )  # fmt: skip
    tag = Tag.objects.create(brand=shops.brand, name="全部")
    client = Client()
    client.force_login(shops.staff["hq"])
    address = reverse("admin:members_tag_act", args=(tag.pk, "keep_by_audience"))
    answer = client.post(address, {"audience": audience.pk}, follow=True)
    job = Job.objects.get(kind=tags.KIND)
    assert str(job.pk) in answer.content.decode() and not MemberTag.objects.exists()
    shown: list[tuple[str, int, int | None]] = []
    done = jobs.run(job.pk, show=lambda stage, count, total: shown.append((stage, count, total)))
    assert done.summary == {"tagged": 3, "untagged": 0} and ("keep a tag", 2, 3) in shown
    assert tags.keep(rule=TagRule.objects.get(), now=job.created_at) == (0, 0)
