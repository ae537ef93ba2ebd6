"""Setting WeCom up in the console, and the messages to WeCom: who may, what is never shown, one operation behind each button."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from scrm import crypto
from scrm.models import Act, CallbackEndpoint, Corp, OutboxMessage, WecomApp, WecomToken
from scrm.wecom import errors, inbox, outbox
from scrm.wecom.outbox import Intent, topics
from scrm.wecom.tokens import SECRET_PURPOSE
from tests.factories.console import Console, console

pytestmark = pytest.mark.django_db

SECRET = "s3cret-as-WeCom-shows-it-0123456789ABCDEFGH"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@pytest.fixture
def company(db: None) -> Console:
    return console()


@pytest.fixture
def corp(db: None) -> Corp:
    return Corp.objects.create(corp_id="wwTEST00000001", name="示例公司")


def add(client: Any, model: str, **values: Any) -> Any:
    return client.post(reverse(f"admin:scrm_{model}_add"), values)


def act(client: Any, row: Any, act_name: str, /, **values: Any) -> Any:
    return client.post(reverse(f"admin:scrm_{row._meta.model_name}_act", args=(row.pk, act_name)), values)


def everything_shown(client: Any, *rows: Any) -> str:
    """Lists, details and histories of the rows."""
    pages = []
    for row in rows:
        label = f"scrm_{row._meta.model_name}"
        pages.append(client.get(reverse(f"admin:{label}_changelist"), follow=True))
        pages += [client.get(reverse(f"admin:{label}_{page}", args=(row.pk,))) for page in ("change", "history")]
    pages.append(client.get(reverse("admin:scrm_act_changelist")))
    return "".join(page.content.decode() for page in pages)


def test_a_corp_its_app_and_its_callback_are_set_up(company: Console) -> None:
    client = company.client("hq")
    assert add(client, "corp", corp_id="wwTEST00000001", name="示例公司").status_code == 302
    corp = Corp.objects.get()
    values = {"corp": corp.pk, "kind": "SELF_BUILT", "name": "私域助手", "agent_id": "1000014", "secret": SECRET}
    assert add(client, "wecomapp", **values).status_code == 302
    app = WecomApp.objects.get()
    assert crypto.open_text(SECRET_PURPOSE, bytes(app.secret_sealed)) == SECRET
    form = client.get(reverse("admin:scrm_callbackendpoint_add")).context["form"]
    keys = {name: form[name].value() for name in ("token", "aes_key")}  # drawn for the person to copy
    assert add(client, "callbackendpoint", corp=corp.pk, name="customers", **keys).status_code == 302
    endpoint = CallbackEndpoint.objects.get()
    assert inbox._opened(endpoint).token == keys["token"]
    shown = everything_shown(client, corp, app, endpoint)
    assert "http://testserver/wecom/callback/customers" in shown
    assert not [secret for secret in (SECRET, *keys.values()) if secret in shown]
    verbs = set(Act.objects.filter(actor=company.staff["hq"]).values_list("verb", flat=True))
    assert {"wecom.add_corp", "wecom.add_app", "wecom.save_endpoint"} <= verbs


def test_two_forms_never_draw_the_same_keys(company: Console, corp: Corp) -> None:
    client, address = company.client("hq"), reverse("admin:scrm_callbackendpoint_add")
    drawn = [client.get(address).context["form"]["aes_key"].value() for _ in range(2)]
    assert len(set(drawn)) == 2


def test_secrets_and_keys_are_replaced_with_a_record(company: Console, corp: Corp) -> None:
    client = company.client("hq")
    values = {"corp": corp.pk, "kind": "SELF_BUILT", "name": "私域助手", "agent_id": "1000014", "secret": SECRET}
    add(client, "wecomapp", **values)
    app = WecomApp.objects.get()
    WecomToken.objects.create(app=app, refused_code=40001)
    assert act(client, app, "replace_secret", secret="another-" + SECRET).status_code == 200  # a reason is asked
    assert act(client, app, "replace_secret", secret="another-" + SECRET, reason="轮换").status_code == 302
    app.refresh_from_db()
    assert crypto.open_text(SECRET_PURPOSE, bytes(app.secret_sealed)) == "another-" + SECRET
    assert not WecomToken.objects.exists()
    assert Act.objects.get(verb="wecom.replace_secret").reason == "轮换"
    endpoint = inbox.save_endpoint(name="customers", corp_id=corp.corp_id, token="abc", aes_key=AES_KEY, actor=None)
    act(client, endpoint, "replace_keys", token="changed", aes_key=AES_KEY)
    endpoint.refresh_from_db()
    assert inbox._opened(endpoint).token == "changed"
    act(client, endpoint, "switch_off", reason="停用")
    endpoint.refresh_from_db()
    assert not endpoint.is_active
    act(client, endpoint, "switch_on", reason="恢复")
    endpoint.refresh_from_db()
    assert endpoint.is_active


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("corp", {"corp_id": "有空格 "}),
        ("corp", {"corp_id": "wwTEST00000001"}),  # there already
        ("wecomapp", {"agent_id": ""}),
        ("wecomapp", {"kind": "CONTACT_SYNC"}),  # has no agent id
        ("wecomapp", {"secret": "short"}),
        ("wecomapp", {"secret": "with a blank in it"}),
        ("callbackendpoint", {"name": "Customers"}),
        ("callbackendpoint", {"name": "taken"}),
        ("callbackendpoint", {"aes_key": "short"}),
        ("callbackendpoint", {"token": "!"}),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_in_words(
    company: Console, corp: Corp, model: str, wrong: dict[str, str]
) -> None:
    inbox.save_endpoint(name="taken", corp_id=corp.corp_id, token="abc", aes_key=AES_KEY, actor=None)
    right: dict[str, dict[str, Any]] = {
        "corp": {"corp_id": "wwOTHER", "name": "另一家"},
        "wecomapp": {"corp": corp.pk, "kind": "SELF_BUILT", "name": "助手", "agent_id": 7, "secret": SECRET},
        "callbackendpoint": {"corp": corp.pk, "name": "customers", "token": "abc", "aes_key": AES_KEY},
    }
    before = (Corp.objects.count(), WecomApp.objects.count(), CallbackEndpoint.objects.count())
    answer = add(company.client("hq"), model, **{**right[model], **wrong})
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert SECRET not in answer.content.decode()
    assert before == (Corp.objects.count(), WecomApp.objects.count(), CallbackEndpoint.objects.count())


@pytest.mark.parametrize("name", ["auditor", "region", "manager", "franchisee"])
def test_who_may_not_change_sets_nothing_up(company: Console, corp: Corp, name: str) -> None:
    client = company.client(name)
    for model in ("corp", "wecomapp", "callbackendpoint"):
        assert add(client, model, corp_id="wwOTHER", name="x").status_code == 403
    assert act(client, corp, "rename", name="x").status_code in (403, 404)
    assert Corp.objects.get().name == "示例公司"


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How the sends of the one topic go: an error each, or done."""
    waiting: list[Any] = []

    def send(intent: Intent) -> dict[str, Any]:
        if waiting:
            raise waiting.pop(0)
        return {}

    monkeypatch.setitem(
        topics.TOPICS, "test", topics.Topic("test", send, lambda *_: None, None, is_repeatable=False, lane="NORMAL")
    )
    return waiting


def put(corp: Corp, key: str) -> OutboxMessage:
    with transaction.atomic():
        return outbox.enqueue(
            topic="test", corp=corp, key=key, payload={"text": "SECRET"}, record=f"r {key}", now=timezone.now()
        )


def test_messages_that_are_left_are_seen_and_decided(company: Console, corp: Corp, answers: list[Any]) -> None:
    client = company.client("operator")
    message = put(corp, "k")
    answers += [errors.NoPermission("e", 48002), errors.Unreachable("e")]
    outbox.send_due(now=timezone.now())
    page = client.get(reverse("admin:scrm_outboxmessage_changelist"))
    assert str(errors.NoPermission.what) in page.content.decode()
    assert "SECRET" not in everything_shown(company.client("hq"), message)
    act(client, message, "retry")
    assert OutboxMessage.objects.get().status == "WAITING"
    outbox.send_due(now=timezone.now())
    outbox.sweep(now=timezone.now() + outbox.SETTLING)
    assert act(client, message, "ask_again").status_code == 302
    assert OutboxMessage.objects.get().not_before is not None
    outbox.sweep(now=timezone.now())
    act(client, message, "cancel")
    assert OutboxMessage.objects.get().status == "CANCELLED"
    verbs = Act.objects.filter(actor=company.staff["operator"]).order_by("pk").values_list("verb", flat=True)
    assert [verb for verb in verbs if verb.startswith("outbox.")] == [
        "outbox.retry", "outbox.ask_again", "outbox.cancel",
    ]  # fmt: skip


def test_refused_ones_are_sent_again_together(company: Console, corp: Corp, answers: list[Any]) -> None:
    for number in range(3):
        put(corp, f"k{number}")
    answers += [errors.Misconfigured("e", 60020), errors.Misconfigured("e", 60020)]
    outbox.send_due(now=timezone.now())
    every = list(OutboxMessage.objects.values_list("pk", flat=True))
    for name, waiting in (("auditor", 0), ("operator", 2)):
        company.client(name).post(
            reverse("admin:scrm_outboxmessage_changelist"), {"action": "retry_chosen", "_selected_action": every}
        )
        assert OutboxMessage.objects.filter(status="WAITING").count() == waiting


def test_no_list_of_wecom_asks_row_by_row(company: Console, corp: Corp, answers: list[Any]) -> None:
    client = company.client("hq")
    client.get(reverse("admin:index"))

    def make(number: int) -> None:
        other = Corp.objects.create(corp_id=f"ww{number}", name=f"公司{number}")
        app = WecomApp.objects.create(
            corp=other, kind="SELF_BUILT", name="助手", agent_id=number + 1, secret_sealed=b"x"
        )
        if number % 2:
            WecomToken.objects.create(app=app, refused_code=40001)
        put(other, f"k{number}")

    def counts() -> list[int]:
        found = []
        for label in ("corp", "wecomapp", "callbackendpoint", "outboxmessage"):
            with CaptureQueriesContext(connection) as caught:
                assert client.get(reverse(f"admin:scrm_{label}_changelist"), follow=True).status_code == 200
            found.append(len(caught))
        return found

    make(0)
    before = counts()
    for number in range(1, 4):
        make(number)
    assert counts() == before
