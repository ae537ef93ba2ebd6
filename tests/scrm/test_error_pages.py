"""Who may not, or goes astray, or meets a fault of ours is told so in her language, with the way back."""

from __future__ import annotations

import pytest
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse

from tests.factories.console import console


@pytest.mark.django_db
def test_the_pages_of_errors_are_ours() -> None:
    company = console()
    astray = company.client("hq").get("/no-such-page/")
    assert (astray.status_code, "没有这个页面" in astray.content.decode()) == (404, True)
    refused = company.client("hq").get(reverse("admin:members_audience_add"))
    assert (refused.status_code, "您不能打开这个页面" in refused.content.decode()) == (403, True)
    stale = Client(enforce_csrf_checks=True).post(reverse("admin:login"), {"username": "hq", "password": "x"})
    assert (stale.status_code, "没有保存任何东西" in stale.content.decode()) == (403, True)
    assert reverse("admin:index") in get_template("500.html").render()  # shown when even the context is gone
