"""A corp whose WeCom is played on this machine, one guide of it, and listeners that only note what they are told."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pytest

from guides import contacts
from guides.contacts import listeners, pairs
from guides.models import Contact, Friendship, Guide
from members.models import Identity, Member
from scrm.models import Brand, Corp, User, WecomApp
from scrm.wecom import inbox
from tests.scrm.wecom.conftest import Wecom, app, in_threads, no_long_pauses, wecom

__all__ = ["app", "in_threads", "no_long_pauses", "wecom"]

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


@pytest.fixture
def corp(app: WecomApp) -> Corp:
    return app.corp


@pytest.fixture
def guide(db: None) -> Guide:
    user = User.objects.create(username="G1", name="林晓")
    return Guide.objects.create(user=user, code="G1", name="林晓", wecom_userid="guide_0001")


@dataclass
class Heard:
    """What the listeners were told, in that order."""

    added: list[tuple[str, str]] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    codes: list[tuple[str, bool]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    said = Heard()
    for name in ("friend_added", "member_linked", "welcome_code", "transfer_failed"):
        monkeypatch.setattr(listeners, name, [])
    contacts.on_friend_added(lambda f: said.added.append((f.userid, f.contact.external_userid)))
    contacts.on_member_linked(lambda c: said.linked.append(c.external_userid))
    contacts.on_welcome_code(lambda f, code, delivery: said.codes.append((code, delivery.is_overtaken)))
    contacts.on_transfer_failed(lambda corp, userid, ext, why, when: said.failed.append((userid, ext, why)))
    return said


@pytest.fixture
def handlers(_nothing_of_another_test: None) -> None:
    """The inbox with the handlers of the mirror and no others."""
    contacts.register()


@pytest.fixture(autouse=True)
def _nothing_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox._known.clear()
    monkeypatch.setattr(inbox, "_handlers", {})


def hear(
    corp: Corp, kind: str, seconds: float, *, userid: str = "guide_0001", ext: str = "wmA1", **more: Any
) -> Friendship:
    change = pairs.Change(kind, at(seconds), **more)
    return contacts.hear(corp=corp, userid=userid, external_userid=ext, change=change)


def person(ext: str = "wmA1", name: str = "晚风", unionid: str = "oU1", **more: Any) -> dict[str, Any]:
    return {
        "external_userid": ext,
        "name": name,
        "type": 1,
        "gender": 2,
        **({"unionid": unionid} if unionid else {}),
        **more,
    }


def followed(userid: str = "guide_0001", seconds: float = 0, tags: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    rows = [{"group_name": "g", "tag_name": tag, "tag_id": tag, "type": 1} for tag in tags]
    return {"userid": userid, "remark": "别名13800000001", "remark_mobiles": ["13800000001"], "description": "",
            "createtime": int(at(seconds).timestamp()), "tags": rows, "add_way": 1, "oper_userid": "wmA1", **more}  # fmt: skip


def shown(wecom: Wecom, customer: dict[str, Any], *follows: dict[str, Any]) -> None:
    wecom.on("externalcontact/get", {"external_contact": customer, "follow_user": list(follows), "next_cursor": ""})


def member(**identities: str) -> Member:
    """``member(UNIONID="oU1")``; a number is verified when it is named VERIFIED."""
    brand = Brand.objects.get(code="MAIN")
    row = Member.objects.create(brand=brand, name="安琪")
    for kind, value in identities.items():
        is_mobile = kind in ("MOBILE", "VERIFIED")
        Identity.objects.create(
            member=row, kind="MOBILE" if is_mobile else kind, value=value, is_verified=kind == "VERIFIED",
            namespace="wwTEST00000001" if kind == "EXTERNAL_USERID" else "MAIN", sealed=b"x" if is_mobile else None,
        )  # fmt: skip
    return row


def contact(ext: str = "wmA1") -> Contact:
    return Contact.objects.select_related("member", "corp").get(external_userid=ext)


def friendship(ext: str = "wmA1", userid: str = "guide_0001") -> Friendship:
    return Friendship.objects.get(contact__external_userid=ext, userid=userid)
