"""Consent: a member's last word on a purpose stands, and a send obeys what was committed before it."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from django.db import connection

from members import consent
from members.models import Consent, ConsentWord, Member, Purpose
from tests.factories.shops import shops

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2025, 6, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
WECOM, SMS = Purpose.WECOM_MARKETING, Purpose.SMS_MARKETING


@pytest.fixture
def member() -> Member:
    return shops().member("安琪", store="S1")


def say(member: Member, purpose: str, is_given: bool, at: dt.datetime) -> bool:
    return consent.say(
        member=member, purpose=purpose, is_given=is_given, source="MINI_PROGRAM", said_at=at, now=NOW, wording="2025-01"
    )


def refused(member: Member, purpose: str) -> bool:
    return consent.refusing(member_ids=[member.pk], purpose=purpose) == {member.pk}


def test_text_messages_need_a_yes_and_wecom_obeys_a_no(member):
    assert refused(member, SMS) and not refused(member, WECOM)
    assert say(member, SMS, True, NOW - 2 * HOUR) and say(member, WECOM, False, NOW - HOUR)
    assert not refused(member, SMS) and refused(member, WECOM)
    row = Consent.objects.get(purpose=WECOM)
    assert (row.is_given, row.given_at, row.withdrawn_at) == (False, None, NOW - HOUR)
    assert say(member, WECOM, True, NOW)
    row.refresh_from_db()
    assert (row.is_given, row.given_at, row.withdrawn_at) == (True, NOW, None)


def test_every_order_of_arrival_ends_in_the_same_word(member):
    words = [(True, NOW - 3 * HOUR), (False, NOW - 2 * HOUR), (True, NOW - 2 * HOUR), (True, NOW - 5 * HOUR)]
    for order in itertools.permutations(words):
        Consent.objects.all().delete()
        for is_given, at in order:
            say(member, WECOM, is_given, at)
        assert refused(member, WECOM), order
    assert ConsentWord.objects.count() == 24 * len(words)  # none of them is lost


def test_a_word_is_never_changed_and_not_from_the_future(member, app_role):
    with pytest.raises(consent.BadConsent):
        say(member, WECOM, True, NOW + HOUR)
    with pytest.raises(consent.BadConsent):
        say(member, "LETTERS", True, NOW)
    assert not ConsentWord.objects.exists()
    say(member, WECOM, True, NOW)
    with app_role(), pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("UPDATE members_consentword SET is_given = false")


def test_one_rule_in_python_and_in_sql(member):
    for purpose, word in itertools.product(Purpose, (None, True, False)):
        Consent.objects.all().delete()
        if word is not None:
            say(member, purpose, word, NOW)
        assert consent.allows(purpose, word) is not refused(member, purpose), (purpose, word)
