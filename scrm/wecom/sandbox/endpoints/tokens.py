"""gettoken, and WeCom's own addresses."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.registry import ANY, endpoint


@endpoint("GET", "gettoken")
def gettoken(call: Call) -> dict[str, Any]:
    raise AssertionError("the server gives tokens before there is a call")


@endpoint("GET", "getcallbackip", ANY)
def callback_ip(call: Call) -> dict[str, Any]:
    return {"ip_list": ["127.0.0.1"]}


@endpoint("GET", "get_api_domain_ip", ANY)
def api_domain_ip(call: Call) -> dict[str, Any]:
    return {"ip_list": ["127.0.0.1"]}
