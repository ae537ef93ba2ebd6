"""The self-check against the sandbox over real HTTP: what goes wrong on WeCom becomes the finding that names the setting."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django.utils.translation import override
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pytest_django import Settings

from guides.models import Contact, Guide
from scrm import crypto as seals
from scrm import jobs, schedule
from scrm.models import CallbackEndpoint, InboxEvent, Job, OutboxMessage, WecomApp, WecomCheck, WecomPace, WecomToken
from scrm.wecom import corps, crypto, diagnosis, inbox, tokens
from scrm.wecom.diagnosis import areas, asking, backlog, findings, reach, rules, runs
from scrm.wecom.diagnosis.asking import Outcome
from scrm.wecom.sandbox import MINI, SELF, SYNC
from tests.factories.shops import shops
from tests.factories.wecom import AES_KEY, TOKEN, Wired

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 10, 4, tzinfo=dt.UTC)


def check(wired: Wired) -> dict[str, findings.Finding]:
    """Findings by key of a run now."""
    return {found.key: found for found in runs.findings_of(diagnosis.run(wired.corp))}


def grave(found: dict[str, findings.Finding]) -> set[str]:
    return {one.code for one in found.values() if one.level != diagnosis.OK}


def tick() -> None:
    """What beat leaves behind."""
    interval = IntervalSchedule.objects.get_or_create(every=60, period="seconds")[0]
    entry = schedule.ENTRIES[backlog.BEAT_ENTRY]
    PeriodicTask.objects.update_or_create(
        name=backlog.BEAT_ENTRY,
        defaults={"task": entry["task"], "interval": interval, "last_run_at": timezone.now()},
    )


@pytest.fixture
def healthy(sandbox: Wired) -> Wired:
    """A company in which everything works but the public address, which a test without a server has none of."""
    world = sandbox.world
    world.add_member("wangfang", "王芳")
    world.add_contact("晚风", unionid="oXiaoman", external_userid="wmXiaoman")
    world.befriend("wangfang", "wmXiaoman")
    world.emit("change_external_contact", "edit_external_contact", UserID="wangfang", ExternalUserID="wmXiaoman")
    world.emit("change_contact", "update_user", UserID="wangfang", Department="1")
    sandbox.tell()
    company = shops()
    for name, guide in company.guides.items():
        userid = "wangfang" if name == "A" else f"guide-{name.lower()}"
        if name != "A":
            world.add_member(userid, name)
        Guide.objects.filter(pk=guide.pk).update(wecom_userid=userid)
    tick()
    return sandbox


# --- everything in order ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_all_is_well_on_a_healthy_wecom(live_server: Any, healthy: Wired, settings: Settings) -> None:
    settings.PUBLIC_URL = live_server.url
    kept = diagnosis.run(healthy.corp)
    found = {one.key: one for one in runs.findings_of(kept)}
    assert not grave(found), [one.seen for one in found.values() if one.level != diagnosis.OK]
    assert (kept.error_count, kept.warning_count, kept.is_news) == (0, 0, False)
    assert set(found["permission.ok 私域助手"].areas) == set(areas.OF_KIND["SELF_BUILT"])
    assert "permission.ok 通讯录同步" in found and "permission.ok 导购小程序" in found
    assert found["callback.ok customers"].facts["url"] == f"{live_server.url}/wecom/callback/customers"
    assert found["unionid.ok 私域助手"].facts == {"known": 1, "asked": 1}
    out = StringIO()
    call_command("wecom_check", stdout=out, stderr=StringIO())
    assert "0 项错误，0 项提醒" in out.getvalue() and "✗" not in out.getvalue()


def test_nothing_is_written_on_wecom(healthy: Wired) -> None:
    before = healthy.world.changes
    tokens_given = dict(healthy.world.tokens)
    check(healthy)
    assert healthy.world.changes - before == len(healthy.world.tokens) - len(tokens_given)
    assert not healthy.world.app_messages


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "key", "words"),
    [
        (40001, "credentials.wrong_secret", ("Secret", "应用管理 → 应用 → 自建 → 私域助手 → Secret")),
        (40013, "credentials.wrong_corp", ("企业ID", "我的企业 → 企业信息", "wwSANDBOX0000001")),
        (40091, "credentials.foreign_secret", ("别的企业", "Secret")),
        (50003, "credentials.disabled", ("停用", "启用该应用")),
        (45031, "credentials.weak_secret", ("重置",)),
        (45009, "credentials.banned", ("一小时",)),
        (49999, "credentials.refused", ("49999", "devtool/query?e=49999")),
    ],
)
def test_each_refusal_of_a_token(healthy: Wired, code: int, key: str, words: tuple[str, ...]) -> None:
    healthy.faults.add("code", "gettoken", code=code, times=1)
    one = check(healthy)[f"{key} 私域助手"]
    assert one.level == diagnosis.ERROR
    assert all(word in one.seen + one.remedy for word in words), one.seen + one.remedy


def test_a_wrong_secret_and_the_right_one_after_it(healthy: Wired) -> None:
    wrong = "wrong-secret-0123456789"
    corps.replace_secret(actor=None, app=healthy.app, secret=wrong, reason="试")
    found = check(healthy)
    assert "credentials.wrong_secret 私域助手" in found and "permission.ok 私域助手" not in found
    assert wrong not in json.dumps([one.as_json() for one in found.values()])
    asked = healthy.box.faults  # the same wrong secret is not tried again within its pause: WeCom would block the IP
    asked.add("code", "gettoken", code=45009, times=None)
    assert "credentials.wrong_secret 私域助手" in check(healthy)
    asked.clear()
    right = healthy.world.app(SELF).secret
    corps.replace_secret(actor=None, app=healthy.app, secret=right, reason="改正")
    assert "credentials.ok 私域助手" in check(healthy)


def test_a_corp_id_that_wecom_does_not_know(healthy: Wired) -> None:
    healthy.world.corp_id = "wwANOTHER"
    codes = {one.code for one in check(healthy).values()}
    assert "credentials.wrong_corp" in codes and "credentials.wrong_secret" not in codes


def test_what_was_put_right_on_wecom_is_asked_again_at_once(healthy: Wired) -> None:
    healthy.world.app(SELF).trusted_ips = ("10.9.9.9",)
    WecomToken.objects.all().delete()
    assert "ip.untrusted 私域助手" in check(healthy)
    assert WecomToken.objects.get(app=healthy.app).paused_until is not None
    healthy.world.app(SELF).trusted_ips = ()
    assert "ip.ok 私域助手" in check(healthy)
    assert tokens.current(healthy.app)  # the pause is over for everybody


def test_the_untrusted_ip_is_named(healthy: Wired) -> None:
    healthy.world.app(SYNC).trusted_ips = ("10.9.9.9",)
    one = check(healthy)["ip.untrusted 通讯录同步"]
    assert "127.0.0.1" in one.seen and "127.0.0.1" in one.remedy
    assert "管理工具 → 通讯录同步 → 企业可信IP" in one.remedy


def test_an_ip_refused_later_ends_the_questions(healthy: Wired) -> None:
    healthy.faults.add("code", "department/simplelist", code=60020)
    found = check(healthy)
    assert found["ip.untrusted 私域助手"].facts["ip"] == "127.0.0.1"
    assert found["permission.ok 私域助手"].areas == ("messages",)
    assert "ip.ok 私域助手" not in found


def test_an_agent_id_of_another_app(healthy: Wired) -> None:
    WecomApp.objects.filter(pk=healthy.app.pk).update(agent_id=4711)
    one = check(healthy)["credentials.agent 私域助手"]
    assert "4711" in one.seen and "AgentId" in one.remedy


def test_missing_apps(healthy: Wired) -> None:
    WecomToken.objects.all().delete()
    WecomApp.objects.all().delete()
    found = check(healthy)
    assert found["app.no_self_built 沙箱企业"].level == diagnosis.ERROR
    assert found["app.no_contact_sync 沙箱企业"].level == diagnosis.WARNING
    assert "创建应用" in found["app.no_self_built 沙箱企业"].remedy


# --- permissions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in areas.AREAS if name not in ("accounts", "mini")])
def test_48002_names_the_permission_and_what_stops(healthy: Wired, name: str) -> None:
    area = areas.AREAS[name]
    healthy.faults.add("code", area.endpoint.path, code=48002)
    one = check(healthy)[f"permission.missing_{area.permission} 私域助手"]
    assert one.areas == (name,)
    assert str(area.label) in one.seen and "48002" in one.seen and str(area.features) in one.remedy
    ticked = {"customers": "客户联系 → 客户 → API → 可调用接口的应用", "links": "获客助手 → API", "app": "可见范围"}
    assert ticked[area.permission] in one.remedy
    assert one.level == (diagnosis.WARNING if area.permission == "links" else diagnosis.ERROR)


def test_an_app_not_listed_for_customer_contact(healthy: Wired) -> None:
    healthy.world.app(SELF).is_callable = False
    found = check(healthy)
    one = found["permission.missing_customers 私域助手"]
    assert {"customers", "tags", "ways", "mass", "moments", "transfers"} <= set(one.areas)
    assert set(found["permission.ok 私域助手"].areas) == {"messages", "directory", "login"}
    assert not [key for key in found if key.startswith("guides.")]  # nobody knows who may have customers


def test_secrets_of_the_wrong_kind(healthy: Wired) -> None:
    for app, secret in ((healthy.sync_app, healthy.world.app(SELF)), (healthy.mini_app, healthy.world.app(SELF))):
        corps.replace_secret(actor=None, app=app, secret=secret.secret, reason="填错")
    found = check(healthy)
    assert "管理工具 → 通讯录同步" in found["permission.missing_sync 通讯录同步"].remedy
    assert "关联小程序" in found["permission.missing_mini 导购小程序"].remedy


@pytest.mark.parametrize(
    ("code", "key", "words"),
    [
        (48009, "permission.ids_only", ("读不到姓名", "自建应用")),
        (60011, "permission.outside", ("可见范围",)),
        (45009, "quota.blocked", ("自动恢复",)),
        (49999, "permission.refused", ("49999",)),
    ],
)
def test_other_refusals(healthy: Wired, code: int, key: str, words: tuple[str, ...]) -> None:
    healthy.faults.add("code", "department/simplelist", code=code)
    one = check(healthy)[f"{key} 私域助手"]
    assert one.areas == ("directory",) and all(word in one.seen + one.remedy for word in words)


@pytest.mark.parametrize(("name", "code", "key"), [("moments", 41211, "moments.off"), ("links", 41200, "links.off")])
def test_features_that_are_not_open(healthy: Wired, name: str, code: int, key: str) -> None:
    healthy.faults.add("code", areas.AREAS[name].endpoint.path, code=code)
    assert check(healthy)[f"{key} 私域助手"].level == diagnosis.WARNING


def test_an_endpoint_that_is_stopped_is_left_alone(healthy: Wired) -> None:
    path = areas.AREAS["tags"].endpoint.path
    WecomPace.objects.create(
        corp=healthy.corp, path=path, allowance=1, counted_at=timezone.now(), parallel_limit=4,
        parallel_set_at=timezone.now(), blocked_until=timezone.now() + dt.timedelta(hours=1), block_count=2,
    )  # fmt: skip
    found = check(healthy)
    assert found["quota.blocked 私域助手"].areas == ("tags",)
    assert f"quota.shut {path}" in found


def test_busy_is_asked_once_more(healthy: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BUSY_PAUSE", 0.01)
    healthy.faults.add("code", areas.AREAS["tags"].endpoint.path, code=-1, times=1)
    assert "tags" in check(healthy)["permission.ok 私域助手"].areas


# --- WeCom that does not answer ---------------------------------------------------------------------------------------


def test_nobody_at_the_address(healthy: Wired, settings: Settings) -> None:
    settings.WECOM_API_BASE = "http://127.0.0.1:9/cgi-bin/"
    one = check(healthy)["wecom.unreachable"]
    assert one.level == diagnosis.ERROR and "qyapi.weixin.qq.com:443" in one.remedy and "WECOM_API_BASE" in one.remedy


def test_a_page_instead_of_wecom(healthy: Wired) -> None:
    healthy.faults.add("page", "department/simplelist")
    assert "wecom.unreachable" in check(healthy)


def test_a_silent_wecom_costs_a_bounded_time(healthy: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(asking.Budget.of_call, "__defaults__", (0.3,))
    healthy.faults.add("hang", "*", seconds=3)
    began = time.monotonic()
    found = check(healthy)
    assert time.monotonic() - began < 3
    assert "wecom.unreachable" in found


def test_a_run_without_time_left_says_so(healthy: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.Budget.__init__, "__defaults__", (0.0,))
    assert {"wecom.late 私域助手", "wecom.late 通讯录同步"} <= set(check(healthy))


# --- unionid, followers, guides ---------------------------------------------------------------------------------------


def test_no_unionid_at_all(healthy: Wired) -> None:
    healthy.world.is_developer_bound = False
    one = check(healthy)["unionid.none 私域助手"]
    assert one.level == diagnosis.ERROR and "微信开发者ID" in one.remedy and "开放平台" in one.remedy
    healthy.faults.add("code", areas.OPENID.path, code=41057)
    assert "41057" in check(healthy)["unionid.unbound 私域助手"].seen


def test_few_unionids_and_nobody_to_ask(healthy: Wired) -> None:
    answered = rules.unionids(healthy.app, [{"type": 1, "unionid": "o"}, {"type": 1}, {"type": 2}], None)
    assert (answered.code, answered.facts) == ("unionid.few", {"known": 1, "asked": 2})
    assert rules.unionids(healthy.app, [{"type": 2}], None).code == "unionid.unknown"


def test_nobody_with_the_feature(healthy: Wired) -> None:
    for member in healthy.world.members.values():
        member.has_feature = False
    found = check(healthy)
    assert "权限配置 → 使用范围" in found["followers.none 私域助手"].remedy
    assert found["guides.unlisted"].level == diagnosis.WARNING


def test_guides_without_the_feature_and_without_an_account(healthy: Wired) -> None:
    guides = list(Guide.objects.filter(employments__ended_at=None).order_by("code").distinct())
    member = healthy.world.member(guides[0].wecom_userid or "")
    assert member is not None
    member.has_feature = False
    Guide.objects.filter(pk=guides[1].pk).update(wecom_userid=None)
    found = check(healthy)
    assert found["guides.unlisted"].facts == {"count": 1, "names": [str(guides[0])]}
    assert found["guides.no_account"].facts == {"count": 1, "names": [str(guides[1])]}
    assert "wecom_userid" in found["guides.no_account"].remedy


def test_the_share_of_contacts_with_a_unionid(healthy: Wired) -> None:
    Contact.objects.all().delete()
    Contact.objects.bulk_create(
        Contact(corp=healthy.corp, external_userid=f"wm{number}", unionid="o" if number % 2 else "", read_at=NOW)
        for number in range(40)
    )
    assert check(healthy)["contacts.unionid_few"].facts == {"known": 20, "asked": 40}
    Contact.objects.update(unionid="o")
    assert check(healthy)["contacts.unionid_ok"].facts == {"known": 40, "asked": 40}


# --- callbacks --------------------------------------------------------------------------------------------------------


@contextmanager
def somebody(answer: Callable[[str], tuple[int, bytes]], *, tls: bool = False, wait: float = 0) -> Iterator[str]:
    """A server at the public address that is not ours."""

    class Http(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(wait)
            status, body = answer(self.path)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "https://elsewhere.example.com/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that gave up
            return

    server = Server(("127.0.0.1", 0), Http)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def opened(path: str, token: str = TOKEN, key: str = AES_KEY, corp_id: str = "wwSANDBOX0000001") -> bytes:
    """The echo as a system with these keys gives it."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    keys = crypto.Keys(token, crypto.decode_key(key), corp_id)
    signed = query["msg_signature"]
    return crypto.open_envelope(
        keys, signed=signed, timestamp=query["timestamp"], nonce=query["nonce"], encrypted=query["echostr"]
    )


@pytest.mark.parametrize(
    ("answer", "key", "words"),
    [
        (lambda path: (200, opened(path)), "callback.ok", ("通过了验证",)),
        (lambda path: (200, b"<html>welcome</html>"), "callback.wrong_body", ("明文", "原样转发")),
        (lambda path: (200, b'"' + opened(path) + b'"'), "callback.wrong_body", ("明文",)),
        (lambda path: (403, b""), "callback.wrong_token", ("签名", "Token", "接收消息")),
        (lambda path: (400, b""), "callback.wrong_key", ("EncodingAESKey",)),
        (lambda path: (404, b"no such page"), "callback.wrong_answer", ("HTTP 404", "/wecom/callback/")),
        (lambda path: (502, b"bad gateway"), "callback.wrong_answer", ("HTTP 502",)),
        (lambda path: (301, b""), "callback.redirected", ("跳转", "PUBLIC_URL")),
    ],
)
def test_what_answers_at_the_public_address(
    healthy: Wired, settings: Settings, answer: Any, key: str, words: tuple[str, ...]
) -> None:
    with somebody(answer) as url:
        settings.PUBLIC_URL = url
        one = check(healthy)[f"{key} customers"]
    assert all(word in one.seen + one.remedy for word in words), one.seen + one.remedy
    assert TOKEN not in one.seen + one.remedy and AES_KEY not in one.seen + one.remedy


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("what", "key"), [("token", "callback.wrong_token"), ("aes_key", "callback.wrong_key")])
def test_our_own_view_with_other_keys(
    live_server: Any, healthy: Wired, settings: Settings, what: str, key: str
) -> None:
    """A second system, or processes that still hold the keys of before."""
    settings.PUBLIC_URL = live_server.url
    other = {"token": TOKEN, "aes_key": AES_KEY, what: {"token": "another", "aes_key": AES_KEY[::-1]}[what]}
    endpoint = CallbackEndpoint.objects.get(name="customers")
    assert inbox._keys_of("customers") is not None
    held = inbox._known["customers"]
    try:
        CallbackEndpoint.objects.filter(pk=endpoint.pk).update(
            **{f"{name}_sealed": seals.seal_text(inbox.PURPOSE_KEYS, text) for name, text in other.items()}
        )
        inbox._known["customers"] = (time.monotonic() + 60, held[1])
        assert f"{key} customers" in check(healthy)
    finally:
        inbox._known.clear()


def test_no_answer_at_the_public_address(healthy: Wired, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    assert "callback.failed_refused customers" in check(healthy)
    settings.PUBLIC_URL = "http://no-such-name.invalid"
    assert "域名解析不了" in check(healthy)["callback.failed_name customers"].seen
    with somebody(lambda path: (200, b""), tls=True) as url:
        settings.PUBLIC_URL = url  # speaks no TLS at all
        assert "callback.failed_tls customers" in check(healthy)
    monkeypatch.setattr(reach, "KNOCK_SECONDS", 0.2)
    with somebody(lambda path: (200, opened(path)), wait=1) as url:
        settings.PUBLIC_URL = url
        assert "callback.failed_timeout customers" in check(healthy)


def test_a_slow_answer_is_a_warning(healthy: Wired) -> None:
    knocked = reach.Knock(status=200, seconds=1.4, is_echo=True)
    one = reach.judged("customers", "https://scrm.example.com/x", knocked)
    assert (one.code, one.level) == ("callback.slow", diagnosis.WARNING)
    assert "1400" in one.seen


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "callback.no_address"),
        ("http://scrm.example.com", "callback.not_https"),
        ("https://localhost:8000", "callback.only_here"),
        ("https://192.168.1.20", "callback.only_here"),
        ("https://scrm.example.com", ""),
    ],
)
def test_the_public_address_itself(settings: Settings, url: str, code: str) -> None:
    settings.WECOM_API_BASE = "https://qyapi.weixin.qq.com/cgi-bin/"
    assert [one.code for one in reach.address_findings(url)] == ([code] if code else [])


def test_callbacks_that_are_missing_off_or_never_called(sandbox: Wired) -> None:
    found = check(sandbox)
    assert found["callback.never customers"].level == diagnosis.WARNING
    assert "接收消息" in found["callback.never customers"].remedy
    CallbackEndpoint.objects.filter(name="customers").update(is_active=False)
    assert "callback.off customers" in check(sandbox)
    CallbackEndpoint.objects.all().delete()
    assert check(sandbox)["callback.none 沙箱企业"].level == diagnosis.ERROR


def test_how_long_ago_wecom_called(healthy: Wired) -> None:
    assert "callback.heard customers" in check(healthy)
    InboxEvent.objects.update(received_at=timezone.now() - dt.timedelta(days=5))
    assert "5 天前" in check(healthy)["callback.quiet customers"].seen


# --- quotas and backlog -----------------------------------------------------------------------------------------------


def test_quotas_that_are_nearly_used(healthy: Wired, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "TAGS_PER_CORP", 0)
    healthy.world.acquisition_balance = 3
    settings.WECOM_WAY_QUOTA = 0
    found = check(healthy)
    for key in ("quota.tags_near 私域助手", "quota.balance_low 私域助手", "quota.ways_near 沙箱企业"):
        assert found[key].level == diagnosis.WARNING, key
    assert "WECOM_WAY_QUOTA" in found["quota.ways_near 沙箱企业"].remedy


def test_mass_sends_against_the_days_of_the_month(healthy: Wired) -> None:
    for count, code in ((27, "quota.mass_ok"), (28, "quota.mass_near")):
        one = rules.mass_sends(healthy.app, {"group_msg_list": [{}] * count}, NOW)
        assert (one.code, one.facts) == (code, {"used": count, "most": 31})


def test_calls_of_the_day_are_counted_with_the_pace(healthy: Wired) -> None:
    from scrm.wecom import tags

    for _ in range(3):
        list(tags.groups(healthy.app))
    path = areas.AREAS["tags"].endpoint.path
    pace = WecomPace.objects.get(path=path)
    assert (pace.day, pace.day_calls) == (timezone.localdate(), 3)
    assert f"{path} 3" in check(healthy)["quota.calls"].seen
    WecomPace.objects.update(day=timezone.localdate() - dt.timedelta(days=1))
    list(tags.groups(healthy.app))
    assert WecomPace.objects.get(path=path).day_calls == 1
    WecomPace.objects.update(path="media/uploadimg", day_calls=950)
    assert check(healthy)["quota.day_near media/uploadimg"].facts == {"used": 950, "most": 1_000}


def test_what_waits_here(healthy: Wired) -> None:
    event = InboxEvent.objects.first()
    assert event is not None
    late = timezone.now() - dt.timedelta(hours=3)
    InboxEvent.objects.filter(pk=event.pk).update(status="RECEIVED", received_at=late, event_at=late)
    for number, status in enumerate(("WAITING", "UNKNOWN", "REFUSED")):
        OutboxMessage.objects.create(
            topic="test", corp=healthy.corp, key=f"k{number}", payload_sealed=b"", payload_hash="", status=status,
            not_before=late, created_at=late, queued_at=late,
        )  # fmt: skip
    found = check(healthy)
    assert "3 小时" in found["inbox.late"].seen and found["inbox.late"].level == diagnosis.ERROR
    assert found["outbox.late"].facts["count"] == 1
    assert {"outbox.unknown", "outbox.refused"} <= set(found)
    InboxEvent.objects.filter(pk=event.pk).update(status="PARKED")
    found = check(healthy)
    assert found["inbox.parked"].facts == {"count": 1} and "inbox.ok" in found


def test_the_beat_and_the_clock(healthy: Wired) -> None:
    PeriodicTask.objects.update(last_run_at=timezone.now() - dt.timedelta(hours=5))
    assert "5 小时" in check(healthy)["beat.stopped"].seen
    PeriodicTask.objects.update(last_run_at=None, date_changed=timezone.now())
    assert check(healthy)["beat.new"].level == diagnosis.OK  # the first minutes after a first start
    PeriodicTask.objects.update(last_run_at=None, date_changed=timezone.now() - dt.timedelta(hours=1))
    assert check(healthy)["beat.never"].level == diagnosis.ERROR
    PeriodicTask.objects.all().delete()
    assert check(healthy)["beat.never"].level == diagnosis.ERROR
    InboxEvent.objects.update(event_at=timezone.now() + dt.timedelta(minutes=5))
    assert "NTP" in check(healthy)["clock.behind"].remedy


# --- rows, news, jobs, the command ------------------------------------------------------------------------------------


def test_every_code_has_its_sentence_in_chinese() -> None:
    facts: dict[str, Any] = dict.fromkeys(
        "corp_id agent_id errcode ip detail url milliseconds status count seconds error top most used left known asked"
        " until names".split(), 1,
    )  # fmt: skip
    facts |= {"kind": "SELF_BUILT"}
    with override("zh-hans"):
        for code, sentence in findings.codes().items():
            one = findings.Finding(code, "应用", facts, ("tags",))
            assert any("\u4e00" <= letter <= "\u9fff" for letter in one.seen), code
            assert "%(" not in one.seen + one.remedy
            assert bool(one.remedy) is (sentence.level != diagnosis.OK), code


def test_an_error_is_news_until_somebody_looks(healthy: Wired) -> None:
    diagnosis.run(healthy.corp)
    assert diagnosis.news() == 0
    healthy.world.app(SELF).is_callable = False
    first = diagnosis.run(healthy.corp)
    assert (first.is_news, diagnosis.news()) == (True, 1)
    diagnosis.run(healthy.corp)
    assert diagnosis.news() == 1  # still there and still unseen
    diagnosis.look_at(diagnosis.latest(healthy.corp) or first)
    assert diagnosis.news() == 0
    assert not diagnosis.run(healthy.corp).is_news  # known by now
    healthy.world.app(MINI).is_disabled = True
    assert diagnosis.run(healthy.corp).is_news


def test_the_newest_runs_are_kept(healthy: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT", 2)
    kept = [diagnosis.run(healthy.corp).pk for _ in range(3)]
    assert list(WecomCheck.objects.order_by("pk").values_list("pk", flat=True)) == kept[1:]


def test_a_job_runs_it_once_at_a_time_and_once_a_day(healthy: Wired) -> None:
    job = diagnosis.start(corp=healthy.corp, actor=None)
    assert diagnosis.start(corp=healthy.corp, actor=None).pk == job.pk
    done = jobs.run(job.pk)
    assert done.status == "DONE" and done.summary["check"] == WecomCheck.objects.get().pk
    assert done.total_count
    for _ in range(2):
        assert diagnosis.start_daily(now=timezone.now()) == 1
    assert Job.objects.filter(kind=diagnosis.KIND).count() == 2


def test_a_check_that_fails_does_not_hide_the_others(healthy: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seen: runs.Seen) -> list[findings.Finding]:
        raise ZeroDivisionError

    monkeypatch.setitem(runs._checks, "broken", broken)
    found = check(healthy)
    assert found["check.failed broken"].facts == {"error": "ZeroDivisionError"}
    assert "credentials.ok 私域助手" in found


def test_the_command_ends_with_one_for_errors_alone(healthy: Wired) -> None:
    out = StringIO()
    call_command("wecom_check", stdout=out, stderr=StringIO())  # no public address: a warning
    assert "PUBLIC_URL" in out.getvalue() and "0 项错误，1 项提醒" in out.getvalue()
    healthy.world.app(SELF).is_callable = False
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("wecom_check", "--corp", healthy.corp.corp_id, "--json", stdout=out, stderr=StringIO())
    assert ended.value.code == 1
    (said,) = json.loads(out.getvalue())
    assert said["corp"] == healthy.corp.corp_id and said["errors"] == 1
    assert said["findings"][0]["key"] == "permission.missing_customers 私域助手"
    assert healthy.world.app(SELF).secret not in out.getvalue()
    with pytest.raises(CommandError):
        call_command("wecom_check", "--corp", "wwNOBODY")


def test_final_outcomes() -> None:
    assert rules.is_final(Outcome(asking.UNREACHABLE)) and rules.is_final(Outcome(asking.REFUSED, errcode=60020))
    assert not rules.is_final(Outcome(asking.REFUSED, errcode=48002))
