"""Eight sales platforms on this machine, over real HTTP: pages, tokens, refusals, orders that change while they are read.

``with Sales() as sales: sales.put("TMALL", order, updated=…)``. The lists are in the order of each platform's documents; a
shop's ``base_url`` is ``sales.url(code)``. ``on_list`` is called before a page is answered: what it changes, the next page sees.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
TOKEN, REFRESH = "token-1", "refresh-1"
TOKEN_METHODS = {
    "auth/token", "cgi-bin/stable_token", "oauth2/refresh_token", "token.refresh", "token.create", "oauth.refreshToken",
    "pdd.pop.auth.token.refresh",
}  # fmt: skip


@dataclass
class Row:
    no: str
    raw: Any
    updated: dt.datetime
    order_no: str = ""  # of a refund


@dataclass
class Shelf:
    orders: dict[str, Row] = field(default_factory=dict)
    refunds: dict[str, Row] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks, as a test wants it."""


class Sales:
    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}
        self.tokens: dict[str, str] = {}
        self.refreshes: dict[str, str] = {}  # each buys one token
        self.calls: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.refusals: list[Any] = []  # of the next calls: "pace", "token", "html", "hang", an HTTP status
        self.on_list: Callable[[str, Any], None] = lambda method, page: None
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self) -> Sales:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, code: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{code}"

    def shelf(self, code: str) -> Shelf:
        return self.shelves.setdefault(code, Shelf())

    def put(self, code: str, no: str, raw: Any, updated: dt.datetime) -> None:
        self.shelf(code).orders[no] = Row(no, raw, updated)

    def refund(self, code: str, no: str, order_no: str, raw: Any, updated: dt.datetime) -> None:
        self.shelf(code).refunds[no] = Row(no, raw, updated, order_no)

    # --- the answers ---

    def answer(self, code: str, path: str, said: dict[str, Any]) -> Any:
        method = _method(code, path, said)
        self.calls.append((code, method))
        self.counts[method] += 1
        refusal = self.refusals.pop(0) if self.refusals else None
        if isinstance(refusal, int):
            return refusal
        if refusal == "html":
            return b"<html>502 Bad Gateway</html>"
        if refusal == "hang":
            time.sleep(3)
            return 504
        if method in TOKEN_METHODS:
            return self._granted(code, method, said)
        if refusal == "token" or _token(said) != self.tokens.get(code, TOKEN):
            return REFUSED[code][0]
        if refusal == "pace":
            return REFUSED[code][1]
        return FORMS[code](self, self.shelf(code), method, said)

    def _granted(self, code: str, method: str, said: dict[str, Any]) -> Any:
        assert not any(name in said for name in ("access_token", "accessToken", "session"))
        if method not in ("auth/token", "cgi-bin/stable_token", "token.create"):
            assert code in ("DOUYIN", "XIAOHONGSHU", "PINDUODUO") or said["app_secret"] == "sec"
            bought = next(said[name] for name in ("refresh_token", "refreshToken") if name in said)
            if bought != self.refreshes.get(code, REFRESH):
                return REFUSED[code][0]
        number = self.counts[method] + 1
        self.tokens[code], self.refreshes[code] = f"token-{number}", f"refresh-{number}"
        token: Any = {"access_token": self.tokens[code], "expires_in": 7200}
        full = {**token, "refresh_token": self.refreshes[code]}
        until = int((time.time() + 7200) * 1000)
        return {
            "YOUZAN": {"success": True, "code": 200, "data": token}, "WECHAT_SHOP": {"errcode": 0, **token},
            "JD": full, "KUAISHOU": {"result": 1, **full}, "DOUYIN": {"code": 10000, "data": full},
            "PINDUODUO": {"pop_auth_token_refresh_response": full},
            "XIAOHONGSHU": {"success": True, "error_code": 0, "data": {
                "accessToken": self.tokens[code], "refreshToken": self.refreshes[code], "accessTokenExpiresAt": until,
            }},
        }[code]  # fmt: skip

    def page(self, rows: dict[str, Row], since: Any, until: Any, method: str, number: int, size: int, *, newest: bool = False,
             first: int = 1) -> tuple[list[Row], int]:  # fmt: skip
        self.on_list(method, number)
        found = sorted(
            (row for row in rows.values() if _at(since) <= row.updated <= _at(until)), key=lambda r: (r.updated, r.no)
        )
        if newest:
            found.reverse()
        start = (number - first) * size
        return found[start : start + size], len(found)


def _at(value: Any) -> dt.datetime:
    if isinstance(value, str) and "-" in value:
        return dt.datetime.fromisoformat(value).replace(tzinfo=ZONE)
    number = int(value)
    return dt.datetime.fromtimestamp(number / 1000 if number > 10**11 else number, ZONE)


def _token(said: dict[str, Any]) -> Any:
    return next((said[name] for name in ("access_token", "session", "accessToken") if name in said), None)


def _method(code: str, path: str, said: dict[str, Any]) -> str:
    if code in ("YOUZAN", "WECHAT_SHOP") or path in TOKEN_METHODS:
        return path.removeprefix("api/").removeprefix("channels/ec/")
    return str(said.get("type") if code == "PINDUODUO" else said["method"])


def _youzan(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    if method.startswith("youzan.trades.sold.get"):
        rows, total = sales.page(
            shelf.orders, said["start_update"], said["end_update"], method, said["page_no"], said["page_size"]
        )
        brief = [{"full_order_info": {"order_info": {"tid": row.no}}} for row in rows]
        data: Any = {"full_order_info_list": brief, "total_results": total}
    elif method.startswith("youzan.trade.refund.search"):
        times = said["update_time_start"], said["update_time_end"]
        rows, total = sales.page(shelf.refunds, *times, method, said["page_no"], said["page_size"])
        data = {"refunds": [{"tid": row.order_no, "refund_id": row.no} for row in rows], "total": total}
    elif method.startswith("youzan.trade.refund.get"):
        data = shelf.refunds[said["refund_id"]].raw
    else:
        row = shelf.orders.get(said["tid"])
        data = row.raw if row else {}
    return {"success": True, "code": 200, "data": data, "trace_id": str(sales.counts.total())}


def _tmall(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    root = method.removeprefix("taobao.").replace(".", "_") + "_response"
    if method == "taobao.trade.fullinfo.get":
        return {root: {"trade": shelf.orders[said["tid"]].raw}}
    rows = shelf.refunds if "refunds" in method else shelf.orders
    page = int(said["page_no"]), int(said["page_size"])
    found, total = sales.page(rows, said["start_modified"], said["end_modified"], method, *page, newest=True)
    if rows is shelf.refunds:
        return {
            root: {"refunds": {"refund": [{**row.raw, "tid": row.order_no} for row in found]}, "total_results": total}
        }
    return {root: {"trades": {"trade": [{"tid": row.no} for row in found]}, "total_results": total}}


def _jd(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    inner = json.loads(said["360buy_param_json"])
    root = method.replace(".", "_") + "_responce"
    fine = {"success": True}
    if method == "jingdong.pop.order.get":
        return {
            root: {
                "code": "0",
                "orderDetailInfo": {"apiResult": fine, "orderInfo": shelf.orders[inner["order_id"]].raw},
            }
        }
    if method == "jingdong.pop.order.search":
        page = int(inner["page"]), int(inner["page_size"])
        rows, total = sales.page(shelf.orders, inner["start_date"], inner["end_date"], method, *page)
        return {
            root: {
                "searchorderinfo_result": {
                    "apiResult": fine,
                    "orderTotal": total,
                    "orderInfoList": [r.raw for r in rows],
                }
            }
        }
    times = inner["approve_time_begin"], inner["approve_time_end"]
    rows, total = sales.page(shelf.refunds, *times, method, int(inner["page_number"]), int(inner["page_size"]))
    bills = [{**row.raw, "sameOrderServiceBill": {"orderId": row.order_no}} for row in rows]
    return {root: {"result": {"totalCount": total, "data": bills}}}


def _doudian(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    if method == "order.searchList":
        times = said["update_time_start"], said["update_time_end"]
        rows, total = sales.page(shelf.orders, *times, method, said["page"], said["size"], first=0)
        data: Any = {"shop_order_list": [row.raw for row in rows], "total": total}
    elif method == "afterSale.List":
        times = said["update_start_time"], said["update_end_time"]
        rows, total = sales.page(shelf.refunds, *times, method, said["page"], said["size"], first=0)
        items = [
            {"order_info": {"shop_order_id": row.order_no}, "aftersale_info": {"aftersale_id": row.no}} for row in rows
        ]
        data = {"items": items, "total": total}
    elif method == "afterSale.Detail":
        data = shelf.refunds[said["after_sale_id"]].raw
    else:
        data = {"shop_order_detail": shelf.orders[said["shop_order_id"]].raw}
    return {"code": 10000, "data": data}


def _kuaishou(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    inner = json.loads(said["param"])
    if method == "open.order.detail":
        return {"result": 1, "data": shelf.orders[str(inner["oid"])].raw}
    if method.endswith("refund.detail"):
        return {"result": 1, "data": shelf.refunds[str(inner["refundId"])].raw}
    rows, name = (shelf.refunds, "pcursor") if "refund" in method else (shelf.orders, "cursor")
    number = int(inner[name] or 1)
    found, total = sales.page(rows, inner["beginTime"], inner["endTime"], method, number, inner["pageSize"])
    following = str(number + 1) if number * inner["pageSize"] < total else "nomore"
    if rows is shelf.refunds:
        listed = [{**row.raw, "oid": int(row.order_no)} for row in found]
        return {"result": 1, "data": {"refundOrderInfoList": listed, "pcursor": following}}
    return {"result": 1, "data": {"orderList": [row.raw for row in found], "cursor": following}}


def _pinduoduo(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    if method == "pdd.order.information.get":
        return {"order_info_get_response": {"order_info": shelf.orders[said["order_sn"]].raw}}
    rows = shelf.refunds if "refund" in method else shelf.orders
    page = int(said["page"]), int(said["page_size"])
    found, total = sales.page(rows, said["start_updated_at"], said["end_updated_at"], method, *page, newest=True)
    if rows is shelf.refunds:
        listed = [{**row.raw, "order_sn": row.order_no} for row in found]
        return {"refund_increment_get_response": {"refund_list": listed, "total_count": total}}
    return {"order_sn_increment_get_response": {"order_sn_list": [row.raw for row in found], "total_count": total}}


def _xiaohongshu(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    if method == "order.getOrderDetail":
        return {"success": True, "error_code": 0, "data": shelf.orders[said["orderId"]].raw}
    if method == "afterSale.getAfterSaleInfo":
        inner = {"code": 0, "success": True, "data": {"afterSaleInfo": shelf.refunds[said["returnsId"]].raw}}
        return {"success": True, "error_code": 0, "data": inner}
    rows = shelf.refunds if "afterSale" in method else shelf.orders
    size = said["pageSize"]
    found, total = sales.page(rows, said["startTime"], said["endTime"], method, said["pageNo"], size, newest=True)
    if rows is shelf.refunds:
        basics = [{"orderId": row.order_no, "returnsId": row.no} for row in found]
        inner = {"code": 0, "success": True, "data": {"afterSaleBasicInfos": basics, "totalCount": total}}
        return {"success": True, "error_code": 0, "data": inner}
    last = max(1, -(-total // size))
    return {
        "success": True,
        "error_code": 0,
        "data": {"orderList": [{"orderId": r.no} for r in found], "maxPageNo": last, "total": total},
    }


def _wechat_shop(sales: Sales, shelf: Shelf, method: str, said: dict[str, Any]) -> Any:
    if method == "order/get":
        row = shelf.orders.get(str(said["order_id"]))
        return {"errcode": 0, "order": row.raw} if row else {"errcode": 0}
    if method == "aftersale/getaftersaleorder":
        return {"errcode": 0, "after_sale_order": shelf.refunds[said["after_sale_order_id"]].raw}
    number = int(said["next_key"] or 1)
    if method == "order/list/get":
        times = said["update_time_range"]["start_time"], said["update_time_range"]["end_time"]
        rows, name, size = shelf.orders, "order_id_list", said["page_size"]
    else:
        times = said["begin_update_time"], said["end_update_time"]
        rows, name, size = shelf.refunds, "after_sale_order_id_list", 50
    found, total = sales.page(rows, *times, method, number, size)
    has_more = number * size < total
    return {
        "errcode": 0,
        name: [row.no for row in found],
        "has_more": has_more,
        "next_key": str(number + 1) if has_more else "",
    }


FORMS = {
    "YOUZAN": _youzan, "TMALL": _tmall, "JD": _jd, "DOUYIN": _doudian, "KUAISHOU": _kuaishou, "PINDUODUO": _pinduoduo,
    "XIAOHONGSHU": _xiaohongshu, "WECHAT_SHOP": _wechat_shop,
}  # fmt: skip
REFUSED: dict[str, tuple[Any, Any]] = {  # what each says to a wrong token, and when it is asked too fast
    "YOUZAN": ({"gw_err_resp": {"err_code": 4203}}, {"gw_err_resp": {"err_code": 4301}}),
    "TMALL": ({"error_response": {"code": 27, "sub_code": "invalid-sessionkey"}}, {"error_response": {"code": 7, "sub_code": "accesscontrol.limited-by-app-access-count"}}),
    "JD": ({"error_response": {"code": "19"}}, {"error_response": {"code": "43"}}),
    "DOUYIN": ({"code": 30001, "sub_code": "isv.access-token-expired"}, {"code": 60000, "sub_code": "isp.limit"}),
    "KUAISHOU": ({"result": 24}, {"result": 15}),
    "PINDUODUO": ({"error_response": {"error_code": 10019}}, {"error_response": {"error_code": 70031}}),
    "XIAOHONGSHU": ({"success": False, "error_code": 401}, {"success": False, "error_code": 429}),
    "WECHAT_SHOP": ({"errcode": 40001}, {"errcode": 45011}),
}  # fmt: skip


def _handler(sales: Sales) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            code, _, path = parts.path.strip("/").partition("/")
            said: dict[str, Any] = dict(parse_qsl(parts.query))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if body.startswith(b"{"):
                said |= json.loads(body)
            elif body:
                said |= dict(parse_qsl(body.decode()))
            answer = sales.answer(code, path, said)
            status = answer if isinstance(answer, int) else 200
            content = (
                b"" if isinstance(answer, int) else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
