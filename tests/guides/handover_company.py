"""A shop whose guide leaves, with her customers on our side and on a WeCom that a test plays."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from guides.handover import cases, plan
from guides.models import Contact, Friendship, Guide, HandoverCase
from members.models import Member
from scrm import jobs
from scrm.models import Corp, User
from scrm.wecom import corps, outbox
from tests.factories import shops as factory
from tests.scrm.wecom.conftest import CORP_ID, SECRET, Request, Wecom

ACCOUNTS = {"A": "wangfang", "M": "zhangmin", "C": "chenxi", "B": "lina"}
_numbers = itertools.count(1)


@dataclass
class Company:
    shops: factory.Shops
    corp: Corp
    hq: User
    second: User
    friends: dict[str, Contact] = field(default_factory=dict)

    def guide(self, name: str) -> Guide:
        return self.shops.guides[name]

    def customer(self, name: str, *, guide: str | None = "A", friend_of: str | None = "A") -> Member | None:
        """A member bound to ``guide`` (None: only a contact) who is a WeCom friend of ``friend_of``."""
        member = self.shops.member(name, store="S1", guide=guide) if guide else None
        if friend_of:
            self.befriend(name, friend_of, member)
        return member

    def befriend(self, name: str, guide: str, member: Member | None = None) -> Friendship:
        linked: dict[str, Any] = {}
        if member is not None:
            linked = {"member": member, "linked_by": "UNIONID", "linked_at": timezone.now()}
        contact, _is_new = Contact.objects.get_or_create(
            corp=self.corp, external_userid=f"wm{name}", defaults={"name": name, **linked}
        )
        self.friends[name] = contact
        return Friendship.objects.create(
            contact=contact, corp=self.corp, userid=ACCOUNTS[guide], guide=self.guide(guide),
            added_at=timezone.now() - dt.timedelta(days=next(_numbers)),
        )  # fmt: skip

    def case(self) -> HandoverCase:
        return cases.open_by_hand(guide=self.guide("A"), reason="离职", actor=self.hq, now=timezone.now())

    def planned(self, *codes: str, **options: Any) -> HandoverCase:
        """A planned case; the takers by their names here, M without one."""
        case = HandoverCase.objects.filter(guide=self.guide("A"), status__in=cases.OPEN).first() or self.case()
        named = " ".join(self.guide(name).code for name in codes or ("M",))
        job = plan.request(case=case, chosen="NAMED", codes=named, actor=self.hq, now=timezone.now(), **options)
        jobs.run(job.pk)
        case.refresh_from_db()
        return case

    def run(self, case: HandoverCase) -> HandoverCase:
        """Confirm and move; WeCom is not asked yet."""
        plan.confirm(case=case, actor=self.second, now=timezone.now())
        case.refresh_from_db()
        assert case.job is not None
        jobs.run(case.job.pk)
        case.refresh_from_db()
        return case

    def states(self, case: HandoverCase) -> dict[str, str]:
        """``{name: state}``"""
        items = case.items.select_related("member", "contact")
        return {(item.member or item.contact).name: item.state for item in items}  # type: ignore[union-attr]

    def bound_to(self, name: str) -> str:
        """The name here of the guide whom the member is bound to."""
        binding = self.shops.members[name].bindings.get(ended_at=None)
        return next(key for key, guide in self.shops.guides.items() if guide.pk == binding.guide_id)


def company() -> Company:
    shops = factory.shops()
    shops.guides["C"] = factory.hire("G00005", "陈曦", shops.stores["S1"])
    for name, userid in ACCOUNTS.items():
        Guide.objects.filter(pk=shops.guides[name].pk).update(wecom_userid=userid)
        shops.guides[name].refresh_from_db()
    corp = Corp.objects.create(corp_id=CORP_ID, name="示例公司")
    corps.add_app(actor=None, corp=corp, kind="SELF_BUILT", name="私域", agent_id=1000014, secret=SECRET)
    return Company(shops, corp, shops.staff["hq"], User.objects.create_user("second"))


class Transfers:
    """WeCom's side of transfers: ``codes`` by external id (0 where nothing is said), ``results`` by (giver, taker)."""

    def __init__(self, fake: Wecom) -> None:
        self.codes: dict[str, int] = {}
        self.results: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.chats: list[str] = []
        self.owners: dict[str, str] = {}
        self.failed_chats: dict[str, int] = {}
        self.unassigned: list[tuple[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        for prefix in ("", "resigned/"):
            fake.on(f"externalcontact/{prefix}transfer_customer", self._start)
            fake.on(f"externalcontact/{prefix}transfer_result", self._results)
        for path in ("onjob_transfer", "transfer"):
            fake.on(f"externalcontact/groupchat/{path}", self._start_groups)
        fake.on("externalcontact/groupchat/list", lambda request: {
            "group_chat_list": [{"chat_id": chat, "status": 0} for chat in self.chats], "next_cursor": "",
        })  # fmt: skip
        fake.on("externalcontact/groupchat/get", self._group)
        fake.on("externalcontact/get_unassigned_list", lambda request: {"is_last": True, "info": [
            {"handover_userid": userid, "external_userid": external, "dimission_time": 1767225600}
            for userid, external in self.unassigned
        ]})  # fmt: skip

    def _start(self, request: Request) -> dict[str, Any]:
        said = request.body or {}
        self.asked.append(said)
        begun = self.results.setdefault((said["handover_userid"], said["takeover_userid"]), [])
        later = int(timezone.now().timestamp()) + 24 * 3600
        for external in said["external_userid"]:
            if not self.codes.get(external):
                begun.append({"external_userid": external, "status": 2, "takeover_time": later})
        return {"customer": [
            {"external_userid": external, "errcode": self.codes.get(external, 0)} for external in said["external_userid"]
        ]}  # fmt: skip

    def _results(self, request: Request) -> dict[str, Any]:
        said = request.body or {}
        rows = self.results.get((said["handover_userid"], said["takeover_userid"]), [])
        return {"customer": rows, "next_cursor": ""}

    def _start_groups(self, request: Request) -> dict[str, Any]:
        said = request.body or {}
        self.asked.append(said)
        for chat in said["chat_id_list"]:
            if chat not in self.failed_chats:
                self.owners[chat] = said["new_owner"]
        failed = [
            {"chat_id": chat, "errcode": self.failed_chats[chat], "errmsg": ""}
            for chat in said["chat_id_list"]
            if chat in self.failed_chats
        ]
        return {"failed_chat_list": failed}

    def _group(self, request: Request) -> dict[str, Any]:
        chat = (request.body or {})["chat_id"]
        return {"group_chat": {"chat_id": chat, "owner": self.owners.get(chat, "wangfang"), "create_time": 1767225600}}

    def decide(self, giver: str, taker: str, status: int, at: dt.datetime) -> None:
        """Everything of the pair that waits ends so."""
        for row in self.results[giver, taker]:
            if row["status"] == 2:
                row |= {"status": status, "takeover_time": int(at.timestamp())}


def send(now: dt.datetime | None = None) -> Any:
    return outbox.send_due(now=now or timezone.now())
