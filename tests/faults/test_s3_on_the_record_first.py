"""S3, §8 row 9: whatever shows or takes out personal data is on the record before the first byte leaves.

The web process is killed with the answer in its hands: the record is there. Where the record cannot be written, nothing leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from members import legacy_import
from members.models import Identity, Member
from scrm import crypto, jobs, uploads
from scrm.models import Act
from tests.factories.console import Console, console
from tests.factories.member_lists import HEADER as MEMBERS
from tests.faults.children import Children
from tests.faults.web import Web

pytestmark = pytest.mark.django_db(transaction=True)
REASON = "电话通知顾客到货"
TOKEN = "a" * 32


@dataclass
class Request:
    """What asks for personal data, the act it is, and what of it would leave."""

    verb: str
    path: str
    secret: str
    values: dict[str, Any] = field(default_factory=dict)


def number_of(member: Member) -> str:
    sealed = Identity.objects.get(member=member, kind="MOBILE").sealed
    assert sealed is not None
    return crypto.open_mobile(bytes(sealed)).removeprefix("+86")


def broken_list() -> int:
    rows = f"{MEMBERS}\nC1,顾客,15412345678,女,,,x,S1,,2024-01-01,,".encode()
    stored = uploads.store(actor=None, purpose=legacy_import.KIND, name="会员.csv", chunks=[rows], now=timezone.now())
    return jobs.run(jobs.enqueue(legacy_import.KIND, actor=None, upload=stored, params={}).pk).pk


def requests_of(company: Console) -> list[Request]:
    member = company.shops.members["安琪"]
    number, bearer = number_of(member), {"Authorization": f"Bearer {company.shops.token('A')}"}
    session = {"sessionid": company.client("hq").cookies["sessionid"].value, "csrftoken": TOKEN}
    console_values = {"cookies": session, "headers": {"X-CSRFToken": TOKEN}}
    form = {"data": {"reason": REASON}, **console_values}
    key = {"Idempotency-Key": "reveal-0001"}
    return [
        Request("member.reveal", f"/api/guide/members/{member.pk}/reveal", number,
                {"json": {"reason": REASON}, "headers": bearer | key}),
        Request("member.lookup", "/api/guide/members/search", "安琪", {"json": {"mobile": number}, "headers": bearer}),
        Request("member.reveal", reverse("admin:members_member_reveal", args=(member.pk,)), number, form),
        Request("upload.errors", reverse("admin:import_errors", args=(broken_list(),)), "15412345678", form),
        Request("console.export", reverse("admin:scrm_store_export"), "S1店",
                {"data": {"format": "0", "resource": ""}, **console_values}),
    ]  # fmt: skip


@contextmanager
def no_records() -> Iterator[None]:
    """The database takes no act."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE scrm_act ADD CONSTRAINT none_today CHECK (false) NOT VALID")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE scrm_act DROP CONSTRAINT none_today")


def test_s3_on_the_record_before_it_leaves(transactional_db: None, tmp_path: Path) -> None:
    company = console()
    last_words = tmp_path / "last words"
    variables = Children(str(connection.settings_dict["NAME"]), FAULT_LAST_WORDS=str(last_words)).variables
    asked = requests_of(company)
    with Web(variables, tmp_path / "web.log", app="tests.faults.dying_wsgi:application") as web:
        with no_records():
            for one in asked:
                answer = requests.post(web.url + one.path, timeout=60, allow_redirects=False, **one.values)
                assert answer.status_code == 500, (one.path, answer.status_code)
                assert one.secret not in answer.content.decode()
        for one in asked:
            before = Act.objects.filter(verb=one.verb).count()
            headers = one.values["headers"] | {"X-Die": "1"}
            with pytest.raises(requests.ConnectionError):
                requests.post(web.url + one.path, timeout=60, **{**one.values, "headers": headers})
            assert one.secret in last_words.read_bytes().decode(), one.path  # it was about to leave
            assert Act.objects.filter(verb=one.verb).count() == before + 1, one.path
