"""What all screens of the guide API share."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from guides.api.authentication import GuideTokenAuthentication, IsGuide
from guides.queries import Caller
from scrm.api.views import ApiView

SHANGHAI = ZoneInfo("Asia/Shanghai")


class GuideView(ApiView):
    authentication_classes: Any = (GuideTokenAuthentication,)
    permission_classes: Any = (IsGuide,)

    @property
    def caller(self) -> Caller:
        return self.request.auth  # type: ignore[return-value]  # IsGuide has looked


def now() -> dt.datetime:
    """Read once per request and passed down."""
    return timezone.now()


def business_day(at: dt.datetime) -> dt.date:
    return at.astimezone(SHANGHAI).date()
