"""The texts of steps: who is addressed, by whom, from which store, and which coupon she got. Pure."""

from __future__ import annotations

import re

CUSTOMER, GUIDE, STORE = "{客户称呼}", "{导购姓名}", "{门店名称}"
COUPON, UNTIL = "{优惠券}", "{有效期}"
GROUP = "{群名称}"
PLACEHOLDERS = (CUSTOMER, GUIDE, STORE)
OF_COUPONS = (COUPON, UNTIL)
NAMELESS = "您"
# what is said of a coupon where the step says nothing of its own, or does not name it
GIVEN = f"{CUSTOMER}，送您一张{COUPON}，有效期至{UNTIL}"
ALSO_GIVEN = f"（已送您：{COUPON}，有效期至{UNTIL}）"
_BRACES = re.compile(r"[{｛][^{}｛｝]*[}｝]")


def render(text: str, *, customer: str, guide: str, store: str, group: str = "") -> str:
    """A customer without a name is addressed as “您”."""
    for name, value in ((CUSTOMER, customer or NAMELESS), (GUIDE, guide), (STORE, store), (GROUP, group)):
        text = text.replace(name, value)
    return text


def with_coupon(text: str, *, coupon: str, until: str) -> str:
    """The text with the coupon in it; one that does not name it gets a line that does."""
    if not text.strip():
        text = GIVEN
    elif COUPON not in text:
        text = f"{text}\n{ALSO_GIVEN}"
    return text.replace(COUPON, coupon).replace(UNTIL, until)


def possible(kind: str) -> tuple[str, ...]:
    """The placeholders that a step of this kind fills."""
    of_group = (GROUP, GUIDE, STORE)
    more = {
        "COUPON": (*PLACEHOLDERS, *OF_COUPONS), "GROUP_POST": of_group, "GROUP_NOTICE": of_group,
        "GROUP_SEND": (),  # WeCom sends one text to all groups
    }  # fmt: skip
    return more.get(kind, PLACEHOLDERS)


def unknown(text: str, kind: str = "") -> list[str]:
    """Placeholders that nobody fills."""
    return [found for found in _BRACES.findall(text) if found not in possible(kind)]
