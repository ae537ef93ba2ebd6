"""The shops of the guide API, and what campaigns need beside them."""

from tests.guides.conftest import Api, api, fresh_limits, shops

__all__ = ["Api", "api", "fresh_limits", "shops"]
