"""A line is disputed: the money is held, two people who gain nothing by it decide, the ledger follows. S4, A13, L13."""

from __future__ import annotations

import base64
import datetime as dt
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from attribution import decisions, ledger, overrides
from attribution.disputes import hearing, pictures
from attribution.models import Dispute, DisputeEvidence, Entry, Hold, MoneyBlock, Txn
from guides.models import Guide
from members.models import OrderLine
from scrm.models import Act
from tests.factories import shops as factory
from tests.factories.console import Console, console
from tests.guides.conftest import Api

PAID = dt.timedelta(days=40)


@pytest.fixture
def company(db: None) -> Console:
    """安琪 belongs to A of S1; a line of 765.00 of hers was rung up by B of S2 and went to A by her binding."""
    company = console()
    company.shops.line(
        "disputed", member="安琪", store="S2", paid_fen=76_500, at=timezone.now() - PAID, cashier="G00002"
    )
    return company


@pytest.fixture
def line(company: Console) -> OrderLine:
    return company.shops.lines["disputed"]


def opened(company: Console, by: str = "B", name: str = "disputed") -> Dispute:
    guide = company.shops.guides[by]
    return hearing.open_dispute(
        line_id=company.shops.lines[name].pk, guide=guide, ground="MY_SALE", statement="顾客在我店里由我接待", actor=guide.user,
        now=timezone.now(),
    )  # fmt: skip


def heard(company: Console, dispute: Dispute, *, is_upheld: bool) -> Dispute:
    """Through the store's opinion to the verdict of the region manager and HQ."""
    now = timezone.now()
    hearing.give_opinion(
        dispute=dispute, opinion="FOR", text="监控里是她接待的", actor=company.staff["manager"], now=now
    )
    hearing.propose(
        dispute=dispute, is_upheld=is_upheld, reason="监控与小票一致", actor=company.staff["operator"], now=now
    )
    return hearing.confirm(dispute=dispute, actor=company.staff["hq"], now=now)


def standing(line: OrderLine) -> dict[str, int]:
    """What each beneficiary holds of the line, in fen."""
    held: dict[str, int] = {}
    for hold in Hold.objects.filter(line_id=line.pk).select_related("beneficiary"):
        code = hold.beneficiary.code
        held[code] = held.get(code, 0) + hold.amount_fen - hold.reversed_fen - hold.clawed_fen
    return {code: fen for code, fen in held.items() if fen}


def test_an_upheld_dispute_moves_the_money_by_reversing_entries(company: Console, line: OrderLine) -> None:
    """Example 19's way before the books are closed; A13: the net change is explained by two transactions."""
    assert standing(line) == {"G00001": 3_825}
    before = set(Entry.objects.values_list("txn_id", "position"))
    dispute = heard(company, opened(company), is_upheld=True)
    assert standing(line) == {"G00002": 3_825}
    assert dispute.moved_fen == 3_825
    assert before < set(Entry.objects.values_list("txn_id", "position"))  # nothing was edited
    new = Txn.objects.filter(line_id=line.pk).order_by("pk")[1:]
    assert [txn.kind for txn in new] == ["UNHOLD", "ACCRUE"]
    assert all(txn.effective_at == line.paid_at for txn in new)
    assert new[0].reverses_id and new[0].reason  # L13


def test_a_rejected_one_changes_nothing_but_releases_the_money(company: Console, line: OrderLine) -> None:
    entries = Entry.objects.count()
    dispute = opened(company)
    assert MoneyBlock.objects.live().count() == 1
    heard(company, dispute, is_upheld=False)
    assert standing(line) == {"G00001": 3_825}
    assert Entry.objects.count() == entries
    assert not MoneyBlock.objects.live().exists()


def test_what_the_line_earned_does_not_vest_meanwhile(company: Console, line: OrderLine) -> None:
    Hold.objects.filter(line_id=line.pk).update(vests_at=timezone.now() - dt.timedelta(days=1))
    dispute = opened(company)
    assert not _vested(line)
    heard(company, dispute, is_upheld=False)
    assert _vested(line) == 3_825


def _vested(line: OrderLine) -> int:
    while ledger.vest.__wrapped__(now=timezone.now()):  # type: ignore[attr-defined]  # without its own durable transaction
        pass
    return sum(Hold.objects.filter(line_id=line.pk).values_list("vested_fen", flat=True))


def test_a_vested_share_is_clawed_back(company: Console, line: OrderLine) -> None:
    Hold.objects.filter(line_id=line.pk).update(vests_at=timezone.now() - dt.timedelta(days=1))
    _vested(line)
    heard(company, opened(company), is_upheld=True)
    assert standing(line) == {"G00002": 3_825}
    assert list(Txn.objects.filter(line_id=line.pk).order_by("pk").values_list("kind", flat=True))[-2:] == [
        "CLAWBACK", "ACCRUE",
    ]  # fmt: skip


def test_a_line_decided_anew_meanwhile_is_held_again(company: Console, line: OrderLine) -> None:
    opened(company)
    OrderLine.objects.filter(pk=line.pk, booked_on=line.booked_on).update(paid_fen=80_000, list_fen=80_000)
    company.shops.lines["disputed"].refresh_from_db()
    factory.LineToDecide.objects.create(line_id=line.pk, booked_on=line.booked_on)
    decisions.decide_lines(line_ids=[line.pk])  # a dearer version: a second hold
    assert Hold.objects.filter(line_id=line.pk).count() == 2
    hearing.hold_what_came_later.__wrapped__()  # type: ignore[attr-defined]
    assert MoneyBlock.objects.live().count() == 2
    hearing.hold_what_came_later.__wrapped__()  # type: ignore[attr-defined]
    assert MoneyBlock.objects.count() == 2


# Who may do what ------------------------------------------------------------------------------------------------------


def test_who_has_the_line_disputes_nothing(company: Console) -> None:
    with pytest.raises(hearing.CannotDispute):
        opened(company, by="A")
    assert not Dispute.objects.exists()
    assert not MoneyBlock.objects.exists()


def test_a_line_has_one_open_dispute_and_a_claim_is_heard_once(company: Console) -> None:
    dispute = opened(company)
    with pytest.raises(hearing.CannotDispute):
        opened(company, by="M")
    heard(company, dispute, is_upheld=False)
    with pytest.raises(hearing.CannotDispute):
        opened(company)
    assert opened(company, by="M").is_open  # another guide's claim was not heard


def test_a_withdrawn_claim_may_be_made_again(company: Console) -> None:
    dispute = opened(company)
    with pytest.raises(hearing.IsParty):
        hearing.withdraw(dispute=dispute, actor=company.staff["hq"], now=timezone.now())
    hearing.withdraw(dispute=dispute, actor=company.shops.guides["B"].user, now=timezone.now())
    assert not MoneyBlock.objects.live().exists()
    assert opened(company).is_open


@pytest.mark.parametrize("party", ["A", "B"])
def test_no_party_gives_an_opinion_proposes_or_confirms(company: Console, party: str) -> None:
    user, now = company.shops.guides[party].user, timezone.now()
    dispute = opened(company)
    with pytest.raises(hearing.IsParty):
        hearing.give_opinion(dispute=dispute, opinion="FOR", text="就是我的", actor=user, now=now)
    hearing.give_opinion(dispute=dispute, opinion="FOR", text="监控里是她", actor=company.staff["manager"], now=now)
    with pytest.raises(hearing.IsParty):
        hearing.propose(dispute=dispute, is_upheld=True, reason="就是我的", actor=user, now=now)
    hearing.propose(dispute=dispute, is_upheld=True, reason="监控一致", actor=company.staff["operator"], now=now)
    with pytest.raises(hearing.IsParty):
        hearing.confirm(dispute=dispute, actor=user, now=now)
    assert standing(company.shops.lines["disputed"]) == {"G00001": 3_825}


def test_a_verdict_takes_two_people(company: Console) -> None:
    """S4, in the operation and in the database."""
    now, operator = timezone.now(), company.staff["operator"]
    dispute = opened(company)
    hearing.give_opinion(dispute=dispute, opinion="FOR", text="监控里是她", actor=company.staff["manager"], now=now)
    hearing.propose(dispute=dispute, is_upheld=False, reason="证据不足", actor=operator, now=now)
    with pytest.raises(hearing.IsParty):
        hearing.confirm(dispute=dispute, actor=operator, now=now)
    with pytest.raises(IntegrityError, match="dispute_four_eyes"), transaction.atomic():
        Dispute.objects.filter(pk=dispute.pk).update(decided_by=operator)


def test_a_proposal_may_be_sent_back_and_made_anew(company: Console, line: OrderLine) -> None:
    now = timezone.now()
    dispute = opened(company)
    hearing.give_opinion(dispute=dispute, opinion="FOR", text="监控里是她", actor=company.staff["manager"], now=now)
    hearing.propose(dispute=dispute, is_upheld=True, reason="监控一致", actor=company.staff["operator"], now=now)
    sent = hearing.send_back(dispute=dispute, reason="请补充小票", actor=company.staff["hq"], now=now)
    assert sent.status == Dispute.Status.HQ
    assert sent.override is None
    hearing.propose(dispute=dispute, is_upheld=True, reason="小票已补", actor=company.staff["hq"], now=now)
    hearing.confirm(dispute=dispute, actor=company.staff["operator"], now=now)
    assert standing(line) == {"G00002": 3_825}


def test_the_request_of_a_proposed_verdict_is_answered_only_with_the_verdict(company: Console, line: OrderLine) -> None:
    now = timezone.now()
    dispute = opened(company)
    hearing.give_opinion(dispute=dispute, opinion="FOR", text="监控里是她", actor=company.staff["manager"], now=now)
    held = hearing.propose(dispute=dispute, is_upheld=True, reason="监控一致", actor=company.staff["operator"], now=now)
    assert held.override is not None
    with pytest.raises(overrides.CannotOverride, match="申诉"):
        overrides.approve(override=held.override, actor=company.staff["hq"])
    with pytest.raises(overrides.CannotOverride, match="申诉"):
        overrides.refuse(override=held.override, actor=company.staff["hq"], answer="另有其人")
    page = company.client("hq").get(reverse("admin:attribution_override_change", args=(held.override.pk,)))
    assert page.context["buttons"] == [] and "申诉裁决" in page.content.decode()
    assert standing(line) == {"G00001": 3_825}
    hearing.confirm(dispute=dispute, actor=company.staff["hq"], now=now)
    assert standing(line) == {"G00002": 3_825}


def test_a_guide_who_cannot_have_the_line_is_refused_before_anything_moves(company: Console, line: OrderLine) -> None:
    """She did not work here yet when it was paid."""
    late = factory.hire("G00009", "新人", company.shops.stores["S2"])
    late.employments.update(started_at=timezone.now() - dt.timedelta(days=1))
    company.shops.guides["L"] = late
    dispute = opened(company, by="L")
    now = timezone.now()
    hearing.give_opinion(dispute=dispute, opinion="FOR", text="她说是她", actor=company.staff["manager"], now=now)
    with pytest.raises(overrides.CannotOverride):
        hearing.propose(dispute=dispute, is_upheld=True, reason="听她的", actor=company.staff["hq"], now=now)
    dispute.refresh_from_db()
    assert dispute.status == Dispute.Status.HQ
    assert standing(line) == {"G00001": 3_825}


def test_the_clock_hands_on_what_a_store_manager_leaves_lying(company: Console) -> None:
    dispute = opened(company)
    hand_on: Any = hearing.hand_on_overdue.__wrapped__  # type: ignore[attr-defined]
    assert hand_on(now=dispute.due_at - dt.timedelta(seconds=1)) == 0
    assert hand_on(now=dispute.due_at) == 1
    dispute.refresh_from_db()
    assert dispute.status == Dispute.Status.HQ
    assert dispute.due_at > timezone.now()


def test_the_share_of_upheld_disputes_per_rule(company: Console, line: OrderLine) -> None:
    heard(company, opened(company), is_upheld=False)
    heard(company, opened(company, by="M"), is_upheld=True)
    assert hearing.overturned(since=timezone.now() - dt.timedelta(days=1)) == {
        factory.live_decision(line).rule_id: (1, 2)
    }


@pytest.mark.django_db(transaction=True)
def test_of_two_guides_who_dispute_at_once_one_is_first() -> None:
    shops = factory.shops()
    shops.member("安琪", store="S1", guide="A")
    line = shops.line(
        "disputed", member="安琪", store="S2", paid_fen=76_500, at=timezone.now() - PAID, cashier="G00002"
    )

    def ask(guide: Guide) -> bool:
        try:
            hearing.open_dispute(
                line_id=line.pk,
                guide=guide,
                ground="OTHER",
                statement="是我的顾客",
                actor=guide.user,
                now=timezone.now(),
            )
        except hearing.CannotDispute:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(ask, [shops.guides["B"], shops.guides["M"]]))
    assert sorted(done) == [False, True]
    assert Dispute.objects.count() == 1


# Pictures -------------------------------------------------------------------------------------------------------------


def picture(kind: str = "PNG", size: tuple[int, int] = (2_000, 1_000)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


def test_a_picture_is_kept_small_and_sealed(company: Console) -> None:
    dispute = opened(company)
    evidence = hearing.add_evidence(
        dispute=dispute, actor=company.shops.guides["B"].user, text="聊天截图", now=timezone.now(), picture=picture()
    )
    row = DisputeEvidence.objects.get(pk=evidence.pk)
    assert row.picture_sealed is not None
    assert b"JFIF" not in bytes(row.picture_sealed)
    shown = Image.open(io.BytesIO(pictures.look_at(evidence=row, actor=company.staff["hq"])))
    assert (shown.format, shown.size) == ("JPEG", (1_600, 800))
    assert Act.objects.filter(verb="dispute.look", actor=company.staff["hq"]).count() == 1


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + b"0" * 90, b"x" * 2_000_000],
    ids=["empty", "gif", "svg", "broken", "large"],
)  # fmt: skip
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(pictures.BadPicture):
        pictures.seal(content)


# The mini-program -----------------------------------------------------------------------------------------------------


def api(company: Console, name: str) -> Api:
    return Api(company.shops.token(name))


def posted(device: Api, path: str, body: dict[str, Any], key: str) -> Any:
    return device.post(path, body, Idempotency_Key=key)


CLAIM = {"ground": "MY_SALE", "statement": "顾客在我店里由我接待"}


def test_from_the_line_to_the_verdict_in_the_mini_program(company: Console, line: OrderLine) -> None:
    claimant, manager = api(company, "B"), api(company, "M")
    answer = posted(claimant, f"commission/{line.pk}/dispute", CLAIM, "claim-0001")
    assert answer.status_code == 201, answer.json()
    again = posted(claimant, f"commission/{line.pk}/dispute", CLAIM, "claim-0001")
    assert again.json()["id"] == answer.json()["id"]
    number = answer.json()["id"]
    assert any("专属关系" in sentence for sentence in answer.json()["sentences"])
    shot = base64.b64encode(picture("JPEG")).decode()
    seen = posted(claimant, f"disputes/{number}/evidence", {"text": "小票照片", "picture": shot}, "proof-0001").json()
    [proof] = seen["evidence"]
    assert proof["has_picture"]
    got = claimant.get(f"disputes/{number}/evidence/{proof['id']}/picture")
    assert (got.status_code, got["Content-Type"], got["Cache-Control"]) == (200, "image/jpeg", "no-store")
    assert api(company, "A").get(f"disputes/{number}").json()["against"] == "王芳"  # the other party sees it
    listed = claimant.get("disputes", is_open="true").json()["items"]
    assert [(row["id"], row["is_mine"], row["is_late"]) for row in listed] == [(number, True, False)]
    refused = posted(claimant, f"disputes/{number}/opinion", {"opinion": "FOR", "text": "就是我的"}, "opinion-001")
    assert refused.status_code == 404
    assert manager.get("disputes").json()["items"]  # A's manager: it is against her store


def test_others_neither_see_nor_touch_it(company: Console, line: OrderLine) -> None:
    dispute, other = opened(company), api(company, "F")
    assert other.get(f"disputes/{dispute.pk}").status_code == 404
    assert posted(other, f"disputes/{dispute.pk}/withdraw", {}, "withdraw-1").status_code == 404
    assert posted(other, f"commission/{line.pk}/dispute", CLAIM, "claim-0002").status_code == 404
    assert posted(other, f"commission/{2**40}/dispute", CLAIM, "claim-0003").status_code == 404
    assert other.get("disputes").json() == {"items": [], "next_cursor": None}


def test_a_list_costs_the_same_for_one_and_for_three(company: Console) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert api_b.get("disputes").status_code == 200
        return len(caught)

    api_b = api(company, "B")
    opened(company)
    api_b.get("disputes")
    one = count()
    for number in range(2):
        company.shops.line(
            f"more{number}", member="安琪", store="S2", paid_fen=1_000, at=timezone.now(), cashier="G00002"
        )
        opened(company, name=f"more{number}")
    assert count() == one


# The console ----------------------------------------------------------------------------------------------------------


def act(company: Console, who: str, dispute: Dispute, name: str, data: dict[str, str]) -> Any:
    url = reverse("admin:attribution_dispute_act", args=(dispute.pk, name))
    return company.client(who).post(url, data, follow=True)


def test_the_verdict_in_the_console(company: Console, line: OrderLine) -> None:
    dispute = opened(company)
    page = reverse("admin:attribution_dispute_change", args=(dispute.pk,))
    text = company.client("hq").get(page).content.decode()
    for words in ("李娜", "待店长意见", "顾客在我店里由我接待", "为什么原来这样归属", "还没有人提交证据"):
        assert words in text, words
    act(company, "hq", dispute, "opinion", {"opinion": "FOR", "text": "监控里是她"})
    act(company, "operator", dispute, "propose", {"is_upheld": "1", "reason": "监控与小票一致"})
    assert "你提出了这个裁决" in company.client("operator").get(page).content.decode()
    assert "请由另一人确认" in act(company, "operator", dispute, "confirm", {}).content.decode()
    assert "申诉成立" in act(company, "hq", dispute, "confirm", {}).content.decode()
    assert standing(line) == {"G00002": 3_825}


def test_the_console_shows_a_dispute_to_both_stores_and_to_nobody_else(company: Console) -> None:
    dispute = opened(company)
    page = reverse("admin:attribution_dispute_change", args=(dispute.pk,))
    seen = {name: company.client(name).get(page).status_code for name in company.staff}
    assert {name for name, status in seen.items() if status == 200} == {
        "hq",
        "operator",
        "auditor",
        "region",
        "manager",
    }
    assert {seen["franchisee"], seen["franchisee_b"]} <= {403, 404}
