"""The rule book (规则版本库): which rule holds when, and how a new one comes into force.

1. At any instant at most one published version holds per brand; the database refuses overlapping intervals.
2. A version is written by one person and published by another; from then on only its end may be set, once.
3. Publishing ends the version in force where the new one begins; the begin is never in the past.
4. The digest of a version is SHA-256 over its content; decisions carry it, so that a line can be replayed years later.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from attribution import rules
from attribution.models import RuleRate, RuleVersion
from guides import snatching, touches
from scrm import audit, db
from scrm.errors import RuleViolation

CONTENT = (
    "name", "mode", "seller_bp", "service_bp", "share_window_hours", "late_link_days", "binding_validity_days",
    "gap_pool_bp", "home_pool_bp", "entity_share_bp", "fulfil_fee_bp", "vest_days", "snatch", "protected_days",
)  # fmt: skip
# what came after the first versions were published counts in a digest only where it says something else than before
LATER = {"snatch": snatching.Snatch.AFTER_PROTECTION, "protected_days": 30}


class NoRule(RuleViolation):
    """No published rule covers the moment of payment."""

    code = "no_rule"


class CannotPublish(RuleViolation):
    code = "rule_cannot_publish"


@dataclass(frozen=True, slots=True)
class Version:
    """A published version with the pure rule that ``rules.decide`` takes."""

    id: int
    number: int
    name: str
    rule: rules.Rule
    vest_days: int
    binding_validity_days: int | None
    effective_from: dt.datetime | None
    effective_until: dt.datetime | None

    def holds_at(self, at: dt.datetime) -> bool:
        return (self.effective_from is None or self.effective_from <= at) and (
            self.effective_until is None or at < self.effective_until
        )


@dataclass(frozen=True, slots=True)
class Book:
    """The published versions of a brand, newest first."""

    versions: tuple[Version, ...]

    def at(self, paid_at: dt.datetime) -> Version:
        for version in self.versions:
            if version.holds_at(paid_at):
                return version
        raise NoRule(_("No published rule covers %(at)s; publish one first.") % {"at": paid_at.isoformat()})

    def with_mode(self, mode: str) -> Book:
        """The same book under another mode, for a replay that posts nothing."""
        return Book(tuple(replace(v, rule=replace(v.rule, mode=rules.Mode(mode))) for v in self.versions))


def load(*, brand_code: str = "MAIN") -> Book:
    published = RuleVersion.objects.filter(brand__code=brand_code, status=RuleVersion.Status.PUBLISHED)
    rows = published.prefetch_related("rates__category").order_by("-number")
    return Book(tuple(version_of(row) for row in rows))


def binding_policy(brand_id: int, at: dt.datetime) -> snatching.Policy:
    """How long a binding of that moment is valid and protected; the default policy where no published rule covers it."""
    published = RuleVersion.objects.filter(brand=brand_id, status=RuleVersion.Status.PUBLISHED).filter(
        Q(effective_from=None) | Q(effective_from__lte=at), Q(effective_until=None) | Q(effective_until__gt=at)
    )
    row = published.order_by("-number").first()
    if row is None:
        return snatching.Policy()
    policy = snatching.Policy(snatch=snatching.Snatch(row.snatch), protected_days=row.protected_days)
    if row.binding_validity_days is None:
        return policy
    limited = snatching.Validity.DAYS_SINCE_ACTIVITY
    return replace(policy, validity=limited, validity_days=row.binding_validity_days)


def version_of(row: RuleVersion) -> Version:
    """The pure form of a row; a draft is possible too, for a simulation."""
    rates = {(rate.channel, rate.category.code if rate.category else None): rate.rate_bp for rate in row.rates.all()}
    rule = rules.Rule(
        code=row.name,
        version=row.number,
        mode=rules.Mode(row.mode),
        rates=rates,
        seller_bp=row.seller_bp,
        service_bp=row.service_bp,
        windows=touches.Windows(share=dt.timedelta(hours=row.share_window_hours)),
        late_link=dt.timedelta(days=row.late_link_days),
        home_pool_bp=row.home_pool_bp,
        gap_pool_bp=row.gap_pool_bp,
        entity_share_bp=row.entity_share_bp,
    )
    if row.digest:  # the digest at publication stands, whatever fields later releases add
        object.__setattr__(rule, "digest", row.digest)
    return Version(
        row.pk, row.number, row.name, rule, row.vest_days, row.binding_validity_days, row.effective_from,
        row.effective_until,
    )  # fmt: skip


def digest_of(row: RuleVersion) -> str:
    """SHA-256 over the canonical JSON of what the version says."""
    rates = [[r.channel, r.category.code if r.category else None, r.rate_bp] for r in row.rates.all()]
    said = {name: getattr(row, name) for name in CONTENT}
    content: dict[str, Any] = {name: value for name, value in said.items() if LATER.get(name, ...) != value}
    content |= {"brand": row.brand.code, "number": row.number, "rates": sorted(rates, key=str)}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@transaction.atomic
def publish(*, version_id: int, actor: Any, now: dt.datetime, effective_from: dt.datetime | None = None) -> RuleVersion:
    """Bring a draft into force from ``effective_from``, else its own, else now. Raises CannotPublish."""
    row = db.lock(RuleVersion.objects.filter(pk=version_id))[0]
    if row.status != RuleVersion.Status.DRAFT:
        raise CannotPublish(_("This version is already published."))
    if row.author_id == actor.pk:
        raise CannotPublish(_("A rule is published by somebody else than its author."))
    if not any(rate.channel is None and rate.category_id is None for rate in row.rates.all()):
        raise CannotPublish(_("The version needs a rate for every channel and category together."))
    row.effective_from = effective_from or row.effective_from or now
    if row.effective_from < now:
        raise CannotPublish(_("The version cannot begin in the past."))
    _end_before(row)
    row.status, row.approver, row.published_at = RuleVersion.Status.PUBLISHED, actor, now
    row.digest = digest_of(row)
    row.save()
    audit.record(actor=actor, verb="rule.publish", target=row, digest=row.digest)
    return row


@transaction.atomic
def draft_from(*, version_id: int, name: str, actor: Any) -> RuleVersion:
    """A new draft of ``actor`` that says what another version says, with the next number of its brand."""
    source = RuleVersion.objects.select_related("brand").get(pk=version_id)
    db.lock(type(source.brand).objects.filter(pk=source.brand_id))  # two drafts at once may not take one number
    last = RuleVersion.objects.filter(brand=source.brand).order_by("-number").values_list("number", flat=True)[0]
    content = {field: getattr(source, field) for field in CONTENT} | {"name": name}
    draft = RuleVersion.objects.create(brand=source.brand, number=last + 1, author=actor, **content)
    rates = source.rates.order_by("pk")
    RuleRate.objects.bulk_create(
        RuleRate(rule=draft, channel=r.channel, category_id=r.category_id, rate_bp=r.rate_bp) for r in rates
    )
    audit.record(actor=actor, verb="rule.draft", target=draft, copied_from=source.number)
    return draft


def _end_before(row: RuleVersion) -> None:
    """End the version that is in force when the new one begins; one that begins later must be dealt with first."""
    published = RuleVersion.objects.filter(brand=row.brand, status=RuleVersion.Status.PUBLISHED)
    clashing = published.filter(Q(effective_until=None) | Q(effective_until__gt=row.effective_from))
    for other in db.lock(clashing):
        starts_later = other.effective_from is not None and other.effective_from >= row.effective_from
        if starts_later or other.effective_until is not None:
            raise CannotPublish(_("Version %(number)s is already planned for that period.") % {"number": other.number})
        other.effective_until = row.effective_from
        other.save(update_fields=["effective_until"])
