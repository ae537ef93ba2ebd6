"""A console session: half an hour without a click, twelve hours at most."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from scrm.models import Grant, Role, User

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


@pytest.fixture
def client_at_nine(db: None) -> Client:
    user = User.objects.create_user("hq")
    Grant.objects.create(user=user, role=Role.HQ_ADMIN)
    client = Client()
    with time_machine.travel(START, tick=False):
        client.force_login(user)
        assert client.get(reverse("admin:rights")).status_code == 200
    return client


def visit(client: Client, minutes: float, **headers: str) -> int:
    with time_machine.travel(START + dt.timedelta(minutes=minutes), tick=False):
        return client.get(reverse("admin:rights"), headers=headers).status_code


def test_half_an_hour_without_a_click_ends_it(client_at_nine: Client) -> None:
    assert visit(client_at_nine, 29) == 200
    assert visit(client_at_nine, 58) == 200
    assert visit(client_at_nine, 88.5) == 302


def test_twelve_hours_end_it_whatever_is_clicked(client_at_nine: Client) -> None:
    for minutes in range(20, 12 * 60, 20):
        assert visit(client_at_nine, minutes) == 200
    assert visit(client_at_nine, 12 * 60) == 302


def test_a_page_that_polls_is_no_click(client_at_nine: Client) -> None:
    for minutes in range(5, 30, 5):
        assert visit(client_at_nine, minutes, **{"X-Background": "1"}) == 200
    assert visit(client_at_nine, 30.5) == 302
