"""Transfers (继承): customers and groups of one member given to another, who works on or has left.

1. WeCom accepts the customers one by one: the answer has a code for each, 0 when its transfer has begun. Customers move by
   themselves after 24 hours, unless they refuse or the taker is full; groups move at once.
2. What became of it is told by ``results`` only: the event does not come for a customer whom the taker knew already.
3. A customer of a member who works on may be transferred twice in 90 days, a group too; 300 groups of one owner a day.
4. Transfers of one member's customers wait for each other (45035). They are never repeated after a lost answer: ``results``
   shows what has begun.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client

CUSTOMERS_PER_CALL, GROUPS_PER_CALL, UNASSIGNED_PER_PAGE = 100, 100, 1000
MESSAGE_CHARS = 200
BEGUN = 0  # the code of one customer
DONE, WAITING, REFUSED, AT_LIMIT, NO_RECORD = 1, 2, 3, 4, 5

_START = client.create("externalcontact/transfer_customer")
_START_RESIGNED = client.create("externalcontact/resigned/transfer_customer")
_RESULTS = client.query("externalcontact/transfer_result")
_RESULTS_RESIGNED = client.query("externalcontact/resigned/transfer_result")
_GROUPS = client.create("externalcontact/groupchat/onjob_transfer")
_GROUPS_RESIGNED = client.create("externalcontact/groupchat/transfer")
_UNASSIGNED = client.query("externalcontact/get_unassigned_list")


@dataclass(frozen=True)
class Result:
    """``status``: DONE, WAITING, REFUSED, AT_LIMIT, NO_RECORD. ``takeover_at`` lies ahead while it waits."""

    external_userid: str
    status: int
    takeover_at: dt.datetime | None


@dataclass(frozen=True)
class Unassigned:
    """A customer of a member who has left, and whom nobody has taken over."""

    handover_userid: str
    external_userid: str
    left_at: dt.datetime | None


def start(
    app: WecomApp,
    *,
    handover: str,
    takeover: str,
    external_userids: Sequence[str],
    is_resigned: bool,
    message: str = "",
) -> dict[str, int]:
    """WeCom's code for each of up to 100 customers, BEGUN or what ``errors.of`` names.

    ``message`` (200 characters) is what the customer reads; WeCom has none for members who left.
    """
    endpoint = _START_RESIGNED if is_resigned else _START
    _require_pair(endpoint.path, handover, takeover)
    bounds.items(endpoint.path, "external_userid", external_userids, CUSTOMERS_PER_CALL, least=1)
    bounds.chars(endpoint.path, "transfer_success_msg", message, MESSAGE_CHARS)
    values = {"handover_userid": handover, "takeover_userid": takeover, "external_userid": list(external_userids)}
    if message and not is_resigned:
        values["transfer_success_msg"] = message
    answer = client.call(app, endpoint, values, record=f"transfer {handover.lower()}")
    return {row["external_userid"]: row["errcode"] for row in answer.get("customer", [])}


def results(app: WecomApp, *, handover: str, takeover: str, is_resigned: bool) -> Iterator[Result]:
    """What became of the transfers from one member to another, page by page."""
    endpoint = _RESULTS_RESIGNED if is_resigned else _RESULTS
    _require_pair(endpoint.path, handover, takeover)
    for answer in client.pages(app, endpoint, {"handover_userid": handover, "takeover_userid": takeover}):
        for row in answer.get("customer", []):
            yield Result(row["external_userid"], row["status"], answers.at(row.get("takeover_time")))


def unassigned(app: WecomApp) -> Iterator[Unassigned]:
    """The customers of members who have left, page by page."""
    for answer in client.pages(app, _UNASSIGNED, {"page_size": UNASSIGNED_PER_PAGE}):
        for row in answer.get("info", []):
            yield Unassigned(row["handover_userid"], row["external_userid"], answers.at(row.get("dimission_time")))
        if answer.get("is_last"):
            return


def start_groups(app: WecomApp, *, chat_ids: Sequence[str], new_owner: str, is_resigned: bool) -> dict[str, int]:
    """Give up to 100 groups a new owner; the code of each that stays where it is, an empty dict when all moved."""
    endpoint = _GROUPS_RESIGNED if is_resigned else _GROUPS
    bounds.userid(endpoint.path, "new_owner", new_owner)
    bounds.items(endpoint.path, "chat_id_list", chat_ids, GROUPS_PER_CALL, least=1)
    answer = client.call(app, endpoint, {"chat_id_list": list(chat_ids), "new_owner": new_owner})
    return {row["chat_id"]: row["errcode"] for row in answer.get("failed_chat_list") or ()}


def _require_pair(path: str, handover: str, takeover: str) -> None:
    bounds.userid(path, "handover_userid", handover)
    bounds.userid(path, "takeover_userid", takeover)
