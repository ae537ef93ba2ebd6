"""The inbox in the console: seen by HQ alone, never changed, played again by those who may act."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from scrm.models import Act, InboxEvent
from scrm.wecom import inbox
from tests.factories.console import SEES, Console, console
from tests.scrm.wecom import calls

PAGES = ("scrm_inboxevent", "scrm_callbackendpoint")


@pytest.fixture
def company(endpoint: Any) -> Console:
    """One event of each kind that is left, and one that is done."""
    made = console()
    for number, status in enumerate(("PARKED", "UNKNOWN", "PROCESSED")):
        assert calls.send(calls.event(calls.AT + number, WelcomeCode="SECRET")).status_code == 200
        InboxEvent.objects.filter(status="RECEIVED").update(status=status, error_code="no_such_guide")
    return made


def left(status: str) -> InboxEvent:
    return InboxEvent.objects.get(status=status)


@pytest.mark.parametrize("name", SEES)
def test_who_sees_the_inbox(company: Console, name: str) -> None:
    client, is_hq = company.client(name), SEES[name] is None
    for page in PAGES:
        assert client.get(reverse(f"admin:{page}_changelist")).status_code == (200 if is_hq else 403)
    event = left("PARKED")
    for row, page in ((event, PAGES[0]), (event.endpoint, PAGES[1])):
        address = reverse(f"admin:{page}_change", args=(row.pk,))
        assert client.get(address).status_code == (200 if is_hq else 404)
        assert client.post(address, {"status": "PROCESSED"}).status_code in (403, 404)
        may_add = page == PAGES[1] and name in ("hq", "operator")
        assert client.get(reverse(f"admin:{page}_add")).status_code == (200 if may_add else 403)
        assert client.post(reverse(f"admin:{page}_delete", args=(row.pk,)), {"post": "yes"}).status_code in (403, 404)


def test_the_pages_show_no_secret(company: Console) -> None:
    client, event = company.client("hq"), left("PARKED")
    for row, page in ((event, PAGES[0]), (event.endpoint, PAGES[1])):
        shown = client.get(reverse(f"admin:{page}_change", args=(row.pk,))).content.decode()
        assert not {secret for secret in ("SECRET", calls.TOKEN, calls.AES_KEY) if secret in shown}


def test_the_list_is_searched_by_the_complete_object(company: Console) -> None:
    client, address = company.client("hq"), reverse("admin:scrm_inboxevent_changelist")
    assert len(client.get(address, {"q": left("PARKED").aggregate}).context["cl"].result_list) == 3
    assert len(client.get(address, {"q": "change_external"}).context["cl"].result_list) == 0


def test_what_is_left_plays_again(company: Console) -> None:
    client = company.client("operator")
    client.post(reverse("admin:scrm_inboxevent_act", args=(left("PARKED").pk, "replay")), {})
    assert set(InboxEvent.objects.values_list("status", flat=True)) == {"RECEIVED", "UNKNOWN", "PROCESSED"}
    every = list(InboxEvent.objects.values_list("pk", flat=True))
    client.post(reverse("admin:scrm_inboxevent_changelist"), {"action": "replay_chosen", "_selected_action": every})
    assert sorted(InboxEvent.objects.values_list("status", flat=True)) == ["PROCESSED", "RECEIVED", "RECEIVED"]
    assert Act.objects.filter(verb="wecom.replay", actor=company.staff["operator"]).count() == 2
    inbox.register("change_external_contact", "", lambda said: None)
    assert inbox.process(now=timezone.now()).stale == 2  # something newer had been applied


@pytest.mark.parametrize("name", ["auditor", "manager"])
def test_who_may_not_act_replays_nothing(company: Console, name: str) -> None:
    event = left("PARKED")
    refused = company.client(name).post(reverse("admin:scrm_inboxevent_act", args=(event.pk, "replay")), {})
    assert refused.status_code in (403, 404)
    assert left("PARKED") == event
