"""Welcome messages: which one, what it says, and what became of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guides import welcomes
from guides.models import Material, Welcome, WelcomePart
from guides.welcomes import BadWelcome, Candidate
from scrm.models import WecomApp
from tests.guides.contacts.conftest import app, wecom
from tests.scrm.wecom.conftest import Wecom, refusal

__all__ = ["app", "wecom"]

NOON = dt.datetime(2026, 11, 2, 4, tzinfo=dt.UTC)  # 12:00 in Shanghai
NINE, SIX = dt.time(9), dt.time(18)


@pytest.mark.parametrize(
    ("way_id", "store_id", "expected"),
    [(1, 5, 10), (2, 5, 20), (2, 6, 30), (None, 5, 20), (None, None, 30)],
)
def test_the_code_before_the_store_before_everybody(way_id: int | None, store_id: int | None, expected: int) -> None:
    candidates = [Candidate(30), Candidate(20, store_id=5), Candidate(10, way_id=1)]
    found = welcomes.choose(candidates, way_id=way_id, store_id=store_id, at=NOON)
    assert found is not None and found.id == expected


def test_hours_before_none_and_the_newer_of_two_equals() -> None:
    day, always, newer = Candidate(1, starts_at=NINE, ends_at=SIX), Candidate(2), Candidate(3)

    def chosen(at: dt.datetime) -> int:
        found = welcomes.choose([day, always, newer], way_id=None, store_id=None, at=at)
        assert found is not None
        return found.id

    assert chosen(NOON) == 1
    assert chosen(NOON + dt.timedelta(hours=6) - dt.timedelta(seconds=1)) == 1
    assert chosen(NOON + dt.timedelta(hours=6)) == 3  # 18:00 is no longer in it


@pytest.mark.parametrize(("hour", "expected"), [(21, None), (22, 1), (23, 1), (1, 1), (2, None)])
def test_hours_over_midnight(hour: int, expected: int | None) -> None:
    night = Candidate(1, starts_at=dt.time(22), ends_at=dt.time(2))
    at = dt.datetime(2026, 11, 2, hour, tzinfo=welcomes.SHANGHAI)
    found = welcomes.choose([night], way_id=None, store_id=None, at=at)
    assert (found.id if found else None) == expected


def test_names_are_put_in_and_missing_ones_get_a_neutral_word() -> None:
    text = "{客户昵称}您好，我是{门店名称}的{导购姓名}"
    assert welcomes.render(text, customer="晚风", guide="王芳", store="南山店") == "晚风您好，我是南山店的王芳"
    assert welcomes.render(text, customer="", guide="", store="") == "朋友您好，我是本店的您的专属导购"


@given(st.text(max_size=60), st.text(max_size=1_400))
def test_a_rendered_text_is_never_too_long_for_wecom(name: str, rest: str) -> None:
    text = welcomes.render("{客户昵称}" + rest, customer=name, guide="", store="")
    assert len(text.encode("utf-8", "surrogatepass")) <= 4_000


@pytest.mark.parametrize(
    ("text", "said"),
    [("你" * 1_334, "4002"), ("  ", "."), ("{昵称}您好", "{昵称}"), ("｛客户昵称｝", "｛客户昵称｝")],
)
def test_a_text_that_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadWelcome, match=said):
        welcomes.require_text(text, has_parts=False)


def test_a_text_of_just_the_limit_is_taken() -> None:
    welcomes.require_text("你" * 1_333, has_parts=False)
    welcomes.require_text("", has_parts=True)


def part(kind: str, **values: Any) -> WelcomePart:
    return WelcomePart(kind=kind, **values)


PICTURE = Material(kind="image", name="a.png")


@pytest.mark.parametrize(
    "parts",
    [
        [part("link", title="标题")],  # no address
        [part("link", title="标" * 43, url="https://a")],  # 129 bytes
        [part("image")],
        [part("image", material=Material(kind="file", name="a.pdf"))],
        [part("miniprogram", material=PICTURE, title="标题", app_id="wx1")],  # no page
        [part("link", title="标题", url="https://a")] * 10,
    ],
)
def test_attachments_that_cannot_be_are_refused(parts: list[WelcomePart]) -> None:
    with pytest.raises(BadWelcome):
        welcomes.require_parts(parts)


def test_attachments_that_can_be() -> None:
    mini = part("miniprogram", material=PICTURE, title="领券", app_id="wx1", page="pages/index")
    welcomes.require_parts([part("image", material=PICTURE), mini, part("link", title="标题", url="https://a")])


def test_files_of_active_messages_go_up_again_a_day_before_their_end(app: WecomApp, wecom: Wecom) -> None:
    wecom.on("media/upload", {"type": "image", "media_id": "M1", "created_at": str(int(NOON.timestamp()))})
    picture = Material.objects.create(corp=app.corp, kind="image", name="a.png", content=b"\x89PNG\r\n\x1a\n", size=8)
    Material.objects.create(corp=app.corp, kind="image", name="unused.png", content=b"\x89PNG\r\n\x1a\n", size=8)
    own = Welcome.objects.create(corp=app.corp, name="通用", text="您好")
    WelcomePart.objects.create(welcome=own, kind="image", material=picture)
    assert welcomes.upload_materials(now=NOON) == 1
    picture.refresh_from_db()
    assert (picture.media_id, picture.expires_at) == ("M1", NOON + dt.timedelta(days=3))
    assert welcomes.upload_materials(now=NOON + dt.timedelta(days=2, seconds=-1)) == 0
    assert welcomes.upload_materials(now=NOON + dt.timedelta(days=2, seconds=1)) == 1


def test_an_upload_that_wecom_refuses_says_why(app: WecomApp, wecom: Wecom) -> None:
    wecom.on("media/upload", refusal(48002))
    picture = Material.objects.create(corp=app.corp, kind="image", name="a.png", content=b"\x89PNG\r\n\x1a\n", size=8)
    assert not welcomes.upload(picture, now=NOON)
    picture.refresh_from_db()
    assert "48002" in picture.error_text
