"""A company whose guides have friends both here and in a WeCom on this machine, and an audience of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from campaigns import sends
from campaigns.models import Send
from guides.models import Contact, Friendship, Guide
from members.models import Audience, AudienceSnapshot, AudienceVersion, Member, SnapshotMember
from scrm import jobs
from scrm.models import User
from scrm.wecom import outbox
from tests.factories import shops as factory
from tests.factories.wecom import Wired

DAY = dt.timedelta(days=1)


@dataclass
class Mailing:
    """Guides A (S1), B (S2) and F (F1), each with an account; members by name, their WeCom ids by member."""

    shops: factory.Shops
    wired: Wired
    outside: dict[str, str] = field(default_factory=dict)
    hq: User | None = None
    second: User | None = None

    def member(self, name: str, *guides: str, bound: str | None = None, store: str = "S1", **values: Any) -> Member:
        """A member who is a friend of ``guides``; the last one was added last."""
        member = self.shops.member(name, store=store, guide=bound, **values)
        if not guides:
            return member
        person = self.wired.world.add_contact(name, unionid=f"o{name}")
        self.outside[name] = person.external_userid
        contact = Contact.objects.create(
            corp=self.wired.corp,
            external_userid=person.external_userid,
            member=member,
            linked_by="UNIONID",
            linked_at=timezone.now(),
        )
        for number, code in enumerate(guides):
            guide = self.shops.guides[code]
            self.wired.world.befriend(guide.code, person.external_userid)
            at = timezone.now() - 30 * DAY + number * DAY
            Friendship.objects.create(
                contact=contact, corp=self.wired.corp, userid=guide.code.lower(), guide=guide, added_at=at
            )
        return member

    def snapshot(self, *members: Member) -> AudienceSnapshot:
        number = Audience.objects.count() + 1
        audience = Audience.objects.create(brand=self.shops.brand, name=f"人群{number}", rule={})
        version = AudienceVersion.objects.create(audience=audience, version_no=1, rule={}, digest="0" * 64)
        found = AudienceSnapshot.objects.create(
            version=version, status="READY", as_of=timezone.now(), member_count=len(members)
        )
        SnapshotMember.objects.bulk_create(SnapshotMember(snapshot=found, member=member) for member in members)
        return found

    def planned(self, *members: Member, now: dt.datetime | None = None, **values: Any) -> Send:
        now = now or timezone.now()
        send = sends.draft(
            **{
                "corp": self.wired.corp, "name": "周三会员日", "text": "周三会员日，全场八折", "due_at": now, "actor": self.hq,
                "snapshot": self.snapshot(*members), **values,
            }
        )  # fmt: skip
        return sends.plan(send_id=send.pk, now=now)

    def out(self, *members: Member, now: dt.datetime | None = None, **values: Any) -> Send:
        """Planned, agreed to, handed over and taken by WeCom."""
        send = self.planned(*members, now=now, **values)
        sends.submit(send=send, actor=self.hq, now=timezone.now())
        return self.go(send, now)

    def go(self, send: Send, now: dt.datetime | None = None) -> Send:
        sends.hand_over(send_id=send.pk, now=now or timezone.now())
        outbox.send_due(now=timezone.now())
        send.refresh_from_db()
        return send

    def read(self, send: Send, after: dt.timedelta = dt.timedelta(hours=2)) -> Send:
        """What WeCom says by then."""
        self.wired.later(10)
        sends.poll_due(now=timezone.now() + after)
        outbox.send_due(now=timezone.now() + after)
        send.refresh_from_db()
        return send


def mailing(wired: Wired) -> Mailing:
    found = factory.shops()
    for code in ("A", "B", "F"):
        guide: Guide = found.guides[code]
        wired.world.add_member(guide.code, guide.name)
        Guide.objects.filter(pk=guide.pk).update(wecom_userid=guide.code.lower())
    second = User.objects.create_user("second")
    return Mailing(found, wired, hq=found.staff["hq"], second=second)


def run_job(send: Send) -> None:
    assert send.job is not None
    jobs.run(send.job.pk)
