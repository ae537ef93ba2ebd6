"""What the self-check of WeCom says of guides and their customers; our own rows against what WeCom told in the run."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from guides.contact_ways.bulk import quota_used
from guides.models import Contact, Guide
from scrm.wecom import diagnosis
from scrm.wecom.diagnosis import OK, WARNING, Finding, Seen, Sentence, findings, rules

NAMED = 5
LOOKED_AT = 10_000  # the newest contacts
FEW = 20  # too few to speak of a share

SENTENCES = {
    "guides.listed": Sentence(OK, _("All %(count)s guides with a WeCom account may have customers.")),
    "guides.unlisted": Sentence(
        WARNING, _("%(count)s guides have a WeCom account without the customer contact feature, or outside the app's visible range: %(names)s."),
        _("In WeCom's console add them under Customers and partners → Customer contact → Permissions → Range of use, and to the app's visible range (App management → Apps → Self-built → the app → Visible range)."),
    ),
    "guides.no_account": Sentence(
        WARNING, _("%(count)s guides who work in a store have no WeCom account here: %(names)s. No code can be made for them and their customers are not theirs."),
        _("Enter the account in the list of guides (column wecom_userid) and import it, or on the guide's page; it is the Account in WeCom's console under Contacts."),
    ),
    "contacts.unionid_ok": Sentence(OK, _("%(known)s of the newest %(asked)s WeChat contacts here carry a unionid.")),
    "contacts.unionid_few": Sentence(
        WARNING, _("Only %(known)s of the newest %(asked)s WeChat contacts here carry a unionid; the others are recognised by a verified number only."),
        _("Bind the mini-program or Official Account of your members in WeCom's console (Customers and partners → Customer contact → Customers → API → WeChat developer ID), then compare the contacts with WeCom again."),
    ),
}  # fmt: skip


def register() -> None:
    findings.say(SENTENCES)
    diagnosis.register("guides", check)


def check(seen: Seen) -> Iterator[Finding]:
    yield from _accounts(seen)
    yield from _unionids(seen)
    yield rules.ways(seen.corp.name, quota_used(seen.corp), settings.WECOM_WAY_QUOTA)


def _accounts(seen: Seen) -> Iterator[Finding]:
    at_work = Guide.objects.filter(employments__ended_at=None).distinct().order_by("code")
    without = [str(guide) for guide in at_work.filter(wecom_userid=None)[: NAMED + 1]]
    if without:
        yield _named("guides.no_account", at_work.filter(wecom_userid=None).count(), without)
    if seen.followers is None:
        return  # WeCom could not be asked, and says why
    accounts = list(at_work.exclude(wecom_userid=None))
    unlisted = [guide for guide in accounts if (guide.wecom_userid or "").lower() not in seen.followers]
    if unlisted:
        yield _named("guides.unlisted", len(unlisted), [str(guide) for guide in unlisted[: NAMED + 1]])
    elif accounts:
        yield Finding("guides.listed", "", {"count": len(accounts)})


def _named(code: str, count: int, names: list[str]) -> Finding:
    more = ["…"] if len(names) > NAMED else []
    return Finding(code, "", {"count": count, "names": names[:NAMED] + more})


def _unionids(seen: Seen) -> Iterator[Finding]:
    newest = Contact.objects.filter(corp=seen.corp, read_at__isnull=False).order_by("-pk")
    people = [row for row in newest.values_list("kind", "unionid")[:LOOKED_AT] if row[0] == Contact.Kind.WECHAT]
    if len(people) < FEW:
        return
    known = sum(bool(unionid) for _kind, unionid in people)
    code = "contacts.unionid_few" if known < rules.FEW_UNIONIDS * len(people) else "contacts.unionid_ok"
    yield Finding(code, "", {"known": known, "asked": len(people)})
