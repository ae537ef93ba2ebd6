"""Posters: the guide's own code in HQ's picture, kept until something changes."""

from __future__ import annotations

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from campaigns import content_files, posters
from campaigns.models import LinkHost, Poster, PosterPicture, ShortLink
from guides.models import ContactWay, Share
from scrm.models import Corp
from tests.factories import content as factory
from tests.factories.console import console

pytestmark = pytest.mark.django_db
ADDRESS = "https://scrm.example.com"


@pytest.fixture
def poster(shops, settings) -> Poster:
    settings.PUBLIC_URL = ADDRESS
    LinkHost.objects.create(host=factory.HOST)
    picture = content_files.checked("image", "a.png", factory.picture(size=(900, 1_200)))
    return posters.write(poster=Poster(name="端午", target=f"https://{factory.HOST}/dw"), picture=picture)


def drawn(poster, shops, name="A", store="S1") -> PosterPicture:
    return posters.drawn_for(poster=poster, guide=shops.guides[name], store=shops.stores[store], now=timezone.now())


def test_her_poster_has_her_link_as_its_code_and_is_kept(poster, shops):
    first, again, other = drawn(poster, shops), drawn(poster, shops), drawn(poster, shops, "B", "S2")
    assert (first.pk, first.made_at) == (again.pk, again.made_at) and other.pk != first.pk
    link = ShortLink.objects.get(guide=shops.guides["A"])
    assert Share.objects.get(pk=link.share_id).kind == "POSTER" and first.link_id == link.pk
    image = Image.open(io.BytesIO(bytes(first.content)))
    assert image.format == "JPEG" and image.size == (900, 1_200)
    code = image.crop((612, 936, 612 + 216, 936 + 216)).convert("L")
    assert {value < 90 for value in code.getdata()} == {True, False}  # dark and light modules
    assert image.getpixel((20, 20))[0] > 180  # the picture itself
    assert bytes(other.content) != bytes(first.content)


def test_a_change_is_drawn_again(poster, shops):
    first = drawn(poster, shops)
    poster.code_left = 100
    posters.write(poster=poster, picture=None)
    assert drawn(poster, shops).digest != first.digest and PosterPicture.objects.count() == 1


def test_a_wecom_code_needs_one_of_her_own(poster, shops):
    poster.code = Poster.Code.WAY
    posters.write(poster=poster, picture=None)
    with pytest.raises(posters.NoCode):
        drawn(poster, shops)
    corp = Corp.objects.create(corp_id="ww1", name="示例公司")
    ContactWay.objects.create(
        corp=corp,
        purpose="GUIDE",
        guide=shops.guides["A"],
        name="王芳",
        state="wa",
        config_id="c1",
        status="LIVE",
        qr_code="https://work.weixin.qq.com/ca/x",
    )
    assert drawn(poster, shops).link_id is None and not ShortLink.objects.exists()


def test_an_address_off_the_list_and_no_picture_are_refused(shops):
    with pytest.raises(posters.BadPoster) as refused:
        posters.write(poster=Poster(name="坏", target="https://evil.example.org/"), picture=None)
    assert set(refused.value.extra["fields"]) == {"file", "target"}


def test_the_guide_api_gives_hers_and_none_of_another_store(api, poster, shops):
    assert [item["name"] for item in api("A").get("posters").json()["items"]] == ["端午"]
    answer = api("A").get(f"posters/{poster.pk}/picture")
    assert answer["Content-Type"] == "image/jpeg" and answer.content[:2] == b"\xff\xd8"
    Poster.objects.update(store=shops.stores["S2"])
    assert api("A").get(f"posters/{poster.pk}/picture").status_code == 404


def test_in_the_console_with_an_example(settings):
    LinkHost.objects.create(host=factory.HOST)
    client = console().client("hq")
    said = {
        "name": "端午",
        "code": "LINK",
        "target": f"https://{factory.HOST}/",
        "code_left": 600,
        "code_top": 700,
        "code_width": 300,
        "is_active": "on",
    }
    wrong = client.post(reverse("admin:campaigns_poster_add"), said | {"code_left": 900, "target": "http://x"})
    assert {"target", "file"} <= set(wrong.context["adminform"].form.errors)
    file = SimpleUploadedFile("a.png", factory.picture(size=(400, 600)))
    assert client.post(reverse("admin:campaigns_poster_add"), said | {"file": file}).status_code == 302
    row = Poster.objects.get()
    assert client.get(reverse("admin:campaigns_poster_change", args=(row.pk,))).status_code == 200
    shown = client.get(reverse("admin:campaigns_poster_example", args=(row.pk,)))
    assert Image.open(io.BytesIO(shown.content)).size == (400, 600)
