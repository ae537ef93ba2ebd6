"""Files up to WeCom and down again."""

from __future__ import annotations

import datetime as dt
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from scrm.models import WecomApp, WecomToken
from scrm.wecom import errors, media, tokens, transport
from tests.scrm.wecom.conftest import Raw, Request, Wecom, refusal

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
UPLOADED = {"type": "image", "media_id": "MEDIA001", "created_at": "1767225600"}
ATTACHMENT = "媒体".encode()


def test_a_file_goes_up_as_one_part_of_a_form(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("media/upload", UPLOADED)
    uploaded = media.upload(app, media.IMAGE, "南山店.png", PICTURE)
    assert uploaded == media.Media("MEDIA001", "image", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert uploaded.expires_at == dt.datetime(2026, 1, 4, tzinfo=dt.UTC)
    (request,) = wecom.calls("media/upload")
    assert request.method == "POST" and request.query["type"] == "image"
    head, _, rest = request.form.partition(b"\r\n\r\n")
    assert 'name="media"; filename="南山店.png"'.encode() in head and b"Content-Type: image/png" in head
    assert rest.startswith(PICTURE + b"\r\n--") and rest.count(b"\r\n--") == 1


def test_after_a_refused_token_the_whole_file_goes_up_again(wecom: Wecom, app: WecomApp) -> None:
    tokens.current(app)
    WecomToken.objects.update(fetched_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    wecom.valid.clear()
    wecom.on("media/upload", UPLOADED)
    assert media.upload(app, media.FILE, "a.pdf", PICTURE).media_id == "MEDIA001"
    first, second = wecom.calls("media/upload")
    assert PICTURE in first.form and PICTURE in second.form


def test_pictures_by_address_and_attachments_go_their_own_ways(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("media/uploadimg", {"url": "https://p/1"})
    wecom.on("media/upload_attachment", {**UPLOADED, "created_at": 1767225600})
    assert media.upload_image(app, "a.png", PICTURE) == "https://p/1"
    media.upload_attachment(app, media.VIDEO, "a.mp4", PICTURE, use=media.FOR_MOMENT)
    query = wecom.calls("media/upload_attachment")[0].query
    assert (query["media_type"], query["attachment_type"]) == ("video", "1")


def test_a_picture_by_address_is_not_counted_twice(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("media/uploadimg", Raw(502))
    with pytest.raises(errors.Unreachable):
        media.upload_image(app, "a.png", PICTURE)
    assert len(wecom.calls("media/uploadimg")) == 1


def test_a_file_comes_down(wecom: Wecom, app: WecomApp) -> None:
    headers = {"Content-Type": "image/png", "Content-Disposition": 'attachment; filename="a.png"'}
    wecom.on("media/get", Raw(200, PICTURE, headers=headers))
    assert media.get(app, "MEDIA001") == transport.File("a.png", PICTURE, "image/png")
    assert wecom.calls("media/get")[0].query["media_id"] == "MEDIA001"


def test_a_json_file_that_is_no_refusal_comes_down(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("media/get", Raw(200, b'{"menu": 1}', headers={"Content-Type": "application/json"}))
    assert media.get(app, "MEDIA001").content == b'{"menu": 1}'


def _json(code: int) -> Raw:
    content = f'{{"errcode": {code}, "errmsg": "invalid media_id"}}'.encode()
    return Raw(200, content, headers={"Content-Type": "application/json; charset=UTF-8"})


def test_a_refusal_in_the_place_of_a_file(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("media/get", _json(40007))
    with pytest.raises(errors.MediaExpired) as caught:
        media.get(app, "MEDIA001")
    assert caught.value.errcode == 40007


def test_a_refused_token_in_the_place_of_a_file(wecom: Wecom, app: WecomApp) -> None:
    tokens.current(app)
    WecomToken.objects.update(fetched_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    wecom.on("media/get", _json(42001), Raw(200, PICTURE, headers={"Content-Type": "image/png"}))
    assert media.get(app, "MEDIA001").content == PICTURE
    assert len(wecom.calls("gettoken")) == 2


@pytest.mark.parametrize(
    "answer", [Raw(502), Raw(302, location="/cgi-bin/elsewhere"), Raw(200, headers={"Content-Type": "text/html"})]
)
def test_what_is_no_file_of_wecom(wecom: Wecom, app: WecomApp, answer: Raw) -> None:
    wecom.on("media/get", answer)
    with pytest.raises(errors.Unreachable):
        media.get(app, "MEDIA001")
    assert wecom.calls("elsewhere") == []


def test_a_file_without_end_is_cut(wecom: Wecom, app: WecomApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DOWNLOAD_BYTES", 1000)
    wecom.on("media/get", Raw(200, bytes(1001), headers={"Content-Type": "image/png"}))
    with pytest.raises(errors.TooLarge):
        media.get(app, "MEDIA001")


def test_a_file_that_takes_too_long_is_given_up(wecom: Wecom, app: WecomApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DOWNLOAD_SECONDS", -1)
    wecom.on("media/get", Raw(200, PICTURE, headers={"Content-Type": "image/png"}))
    with pytest.raises(errors.Unreachable, match="ReadTimeout"):
        media.get(app, "MEDIA001")


@pytest.mark.parametrize("answer", [refusal(60011), Raw(500), _json(40007)])
def test_no_token_and_no_content_in_errors_and_logs(
    wecom: Wecom, app: WecomApp, caplog: pytest.LogCaptureFixture, answer: dict[str, Any] | Raw
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    shown = ""
    calls: dict[str, Callable[[], Any]] = {
        "media/get": lambda: media.get(app, "MEDIA001"),
        "media/upload": lambda: media.upload(app, media.FILE, "a.bin", ATTACHMENT),
    }
    for path, call in calls.items():
        wecom.on(path, answer)
        with pytest.raises(errors.WecomError) as caught:
            call()
        shown += "".join((*traceback.format_exception(caught.value), str(vars(caught.value))))
        assert caught.value.__context__ is None or isinstance(caught.value.__context__, errors.WecomError)
    shown += caplog.text
    assert "media/get?***" in shown  # urllib3 did speak
    for request in wecom.requests:
        assert request.query.get("access_token", "none") not in shown
    assert repr(ATTACHMENT) not in shown and repr(transport.File("a", ATTACHMENT)) == "File(content_type='')"


BROKEN: list[Callable[[WecomApp], Any]] = [
    lambda app: media.upload(app, "hologram", "a", PICTURE),
    lambda app: media.upload(app, media.IMAGE, "", PICTURE),
    lambda app: media.upload(app, media.IMAGE, "a.png", b"12345"),
    lambda app: media.upload(app, media.VOICE, "a.amr", bytes((2 << 20) + 1)),
    lambda app: media.upload(app, media.IMAGE, "a.png", bytes((10 << 20) + 1)),
    lambda app: media.upload_image(app, "a.png", bytes((2 << 20) + 1)),
    lambda app: media.upload_attachment(app, media.VIDEO, "a.mp4", PICTURE, use=media.FOR_ALBUM),
    lambda app: media.upload_attachment(app, media.IMAGE, "a.png", PICTURE, use=3),
    lambda app: media.get(app, ""),
]


@pytest.mark.parametrize("call", BROKEN)
def test_what_breaks_a_documented_limit_is_never_sent(
    wecom: Wecom, app: WecomApp, call: Callable[[WecomApp], Any]
) -> None:
    with pytest.raises(errors.BadParameter) as caught:
        call(app)
    assert caught.value.errcode is None
    assert wecom.requests == []


def test_the_largest_file_goes_up(wecom: Wecom, app: WecomApp) -> None:
    def answer(request: Request) -> dict[str, Any]:
        return {"media_id": str(len(request.form) >= 20 << 20), "type": "file"}

    wecom.on("media/upload", answer)
    assert media.upload(app, media.FILE, "a.zip", bytes(20 << 20)).media_id == "True"
