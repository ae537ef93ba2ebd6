"""The rule book (规则版本库): which rule holds when, and how a new one comes into force.

1. At any instant at most one published version holds per brand; the database refuses overlapping intervals.
2. A version is written by one person and published by another; from then on only its end may be set, once.
3. Publishing ends the version in force where the new one begins; the begin is never in the past.
4. Nothing is published that contradicts itself (``rule_checks``).
5. The digest of a version is SHA-256 over its content; decisions carry it, so that a line can be replayed years later.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import rule_checks, rules
from attribution.models import RuleBudget, RuleLayer, RuleRate, RuleTier, RuleVersion
from guides import snatching
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.models import LegalEntity, Store

CONTENT = (
    "name", "mode", "seller_bp", "service_bp", "share_window_hours", "late_link_days", "binding_validity_days",
    "gap_pool_bp", "home_pool_bp", "entity_share_bp", "fulfil_fee_bp", "vest_days", "snatch", "protected_days",
    "live_window_hours", "base", "cap_fen", "month_cap_fen", "budget", "fulfil_budget", "fulfil_store_bp", "fulfil_keeps",
    "ip_bp", "is_self_purchase_paid", "netting_cap_bp", "settle_day", "dispute_days",
)  # fmt: skip
# what came after the first versions were published counts in a digest only where it says something else than before
LATER: dict[str, Any] = {
    "snatch": snatching.Snatch.AFTER_PROTECTION, "protected_days": 30, "live_window_hours": 24, "base": "NET",
    "cap_fen": None, "month_cap_fen": None, "budget": "brand", "fulfil_budget": "ecom", "fulfil_store_bp": 10_000,
    "fulfil_keeps": True, "ip_bp": 4_000, "is_self_purchase_paid": False, "netting_cap_bp": 2_000, "settle_day": 10,
    "dispute_days": 30, "layers": [], "tiers": [], "budgets": [],
}  # fmt: skip
PARTS = (
    "rates__category",
    "layers__product",
    "layers__category",
    "layers__store",
    "layers__entity",
    "tiers",
    "budgets",
)


class NoRule(RuleViolation):
    """No published rule covers the moment of payment."""

    code = "no_rule"


class CannotPublish(RuleViolation):
    code = "rule_cannot_publish"


@dataclass(frozen=True, slots=True)
class Version:
    """A version in its pure form. ``rule_for`` gives the rule of one line, with everything inherited resolved."""

    id: int
    number: int
    name: str
    layers: rules.Layers
    binding_validity_days: int | None
    effective_from: dt.datetime | None
    effective_until: dt.datetime | None
    tiers: tuple[
        tuple[int | None, int], ...
    ] = ()  # marginal steps of a guide's month, as ``commissions.tiered`` takes them
    month_cap_fen: int | None = None  # per guide and month; None: no cap
    budgets: tuple[tuple[str, int], ...] = ()  # what a month may cost each budget
    netting_cap_bp: int | None = 2_000  # None: no cap
    settle_day: int = 10
    dispute_days: int = 30

    def holds_at(self, at: dt.datetime) -> bool:
        return (self.effective_from is None or self.effective_from <= at) and (
            self.effective_until is None or at < self.effective_until
        )

    def rule_for(self, line: rules.Placed) -> rules.Rule:
        return self.layers.rule_for(line)


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
        """The same book under another mode, whatever its layers say of it, for a replay that posts nothing."""
        return Book(tuple(replace(v, layers=v.layers.with_mode(rules.Mode(mode))) for v in self.versions))


_BOOKS: dict[tuple[str, str], tuple[str, int, Book]] = {}
BOOK_LIFE = 60  # seconds: what a version names (a category's code) may have been renamed

STATE = """
    SELECT coalesce(string_agg(concat_ws(':', v.id, v.digest, v.effective_from, v.effective_until), ',' ORDER BY v.number), '')
    FROM attribution_ruleversion v JOIN scrm_brand b ON b.id = v.brand_id
    WHERE b.code = %s AND v.status = 'PUBLISHED'
"""


def load(*, brand_code: str = "MAIN") -> Book:
    """The published versions as they stand; kept in the process, since an order that comes alone needs them at once."""
    key = (str(connection.settings_dict["NAME"]), brand_code)
    [(state,)] = db.read(STATE, [brand_code])
    known, now = _BOOKS.get(key), int(time.monotonic())
    if known is not None and known[0] == state and now < known[1]:
        return known[2]
    published = RuleVersion.objects.filter(brand__code=brand_code, status=RuleVersion.Status.PUBLISHED)
    rows = published.prefetch_related(*PARTS).order_by("-number")
    book = Book(tuple(version_of(row) for row in rows))
    _BOOKS[key] = (state, now + BOOK_LIFE, book)
    return book


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
    """The pure form of a row; a draft is possible too, for a simulation. A draft's digest is what it would be now."""
    layers = rules.Layers(
        layers_of(row), code=row.name, version=row.number, digest=row.digest or digest_of(row),
        late_link=dt.timedelta(days=row.late_link_days),
    )  # fmt: skip
    steps = sorted(((t.upto_fen, t.rate_bp) for t in row.tiers.all()), key=lambda step: (step[0] is None, step[0] or 0))
    return Version(
        id=row.pk,
        number=row.number,
        name=row.name,
        layers=layers,
        binding_validity_days=row.binding_validity_days,
        effective_from=row.effective_from,
        effective_until=row.effective_until,
        tiers=tuple(steps),
        month_cap_fen=row.month_cap_fen,
        budgets=tuple(sorted((b.budget, b.month_fen) for b in row.budgets.all())),
        netting_cap_bp=row.netting_cap_bp,
        settle_day=row.settle_day,
        dispute_days=row.dispute_days,
    )


def layers_of(row: RuleVersion) -> list[rules.Layer]:
    """The brand's layer, the rates (each a layer of its own) and the layers, as the pure rules take them."""
    brand = {name: getattr(row, name) for name in rules.FIELDS if name != "rate_bp"}
    found = [rules.Layer(rules.Scope(), brand)]
    for rate in row.rates.all():
        scope = rules.Scope(category=rate.category.code if rate.category else None, channel=rate.channel)
        found.append(rules.Layer(scope, {"rate_bp": rate.rate_bp}))
    for layer in row.layers.all():
        values = {name: getattr(layer, name) for name in rules.FIELDS}
        values["cap_fen"] = rules.NO_CAP if layer.is_uncapped else layer.cap_fen
        found.append(rules.Layer(scope_of(layer), {n: value for n, value in values.items() if value is not None}))
    return found


def scope_of(layer: RuleLayer) -> rules.Scope:
    return rules.Scope(
        campaign=layer.campaign,
        sku=layer.product.sku if layer.product else None,
        category=layer.category.code if layer.category else None,
        channel=layer.channel,
        store=layer.store.code if layer.store else None,
        entity=_entity_code(layer.entity) if layer.entity else None,
    )


def company_of(store: Store) -> str:
    """The company of a store, as orders name it."""
    return _entity_code(store.entity)


def _entity_code(entity: LegalEntity) -> str:
    return rules.HQ_ENTITY if entity.kind == LegalEntity.Kind.HQ else entity.code


def digest_of(row: RuleVersion) -> str:
    """SHA-256 over the canonical JSON of what the version says."""
    rates = [[r.channel, r.category.code if r.category else None, r.rate_bp] for r in row.rates.all()]
    layers = [[list(scope_of(layer)), _said(layer)] for layer in row.layers.all()]
    said: dict[str, Any] = {name: getattr(row, name) for name in CONTENT}
    said["layers"] = sorted(layers, key=str)
    said["tiers"] = sorted(([t.upto_fen, t.rate_bp] for t in row.tiers.all()), key=str)
    said["budgets"] = sorted([b.budget, b.month_fen] for b in row.budgets.all())
    content: dict[str, Any] = {name: value for name, value in said.items() if LATER.get(name, ...) != value}
    content |= {"brand": row.brand.code, "number": row.number, "rates": sorted(rates, key=str)}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _said(layer: RuleLayer) -> dict[str, Any]:
    values = {name: getattr(layer, name) for name in rules.FIELDS} | {"is_uncapped": layer.is_uncapped or None}
    return {name: value for name, value in values.items() if value is not None}


@transaction.atomic
def publish(*, version_id: int, actor: Any, now: dt.datetime, effective_from: dt.datetime | None = None) -> RuleVersion:
    """Bring a draft into force from ``effective_from``, else its own, else now. Raises CannotPublish."""
    row = db.lock(RuleVersion.objects.filter(pk=version_id))[0]
    if row.status != RuleVersion.Status.DRAFT:
        raise CannotPublish(_("This version is already published."))
    if row.author_id == actor.pk:
        raise CannotPublish(_("A rule is published by somebody else than its author."))
    problems = rule_checks.problems(row)
    if problems:
        raise CannotPublish(problems[0])
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
    for part in (RuleRate, RuleLayer, RuleTier, RuleBudget):
        _copy_part(part, source, draft)
    audit.record(actor=actor, verb="rule.draft", target=draft, copied_from=source.number)
    return draft


def _copy_part(part: type[Any], source: RuleVersion, draft: RuleVersion) -> None:
    names = [field.attname for field in part._meta.concrete_fields if field.name not in ("id", "rule")]
    rows = part.objects.filter(rule=source).order_by("pk").values(*names)
    part.objects.bulk_create(part(rule=draft, **row) for row in rows)


def _end_before(row: RuleVersion) -> None:
    """End the version that is in force when the new one begins; one that begins later must be dealt with first."""
    published = RuleVersion.objects.filter(brand=row.brand, status=RuleVersion.Status.PUBLISHED)
    clashing = published.filter(Q(effective_until=None) | Q(effective_until__gt=row.effective_from))
    for other in db.lock(clashing):
        starts_later = other.effective_from is not None and other.effective_from >= row.effective_from
        if starts_later or other.effective_until is not None:
            raise CannotPublish(
                _("The period overlaps version %(number)s “%(name)s” (%(first)s – %(last)s); choose another begin.")
                % {"number": other.number, "name": other.name, **_interval(other)}
            )
        other.effective_until = row.effective_from
        other.save(update_fields=["effective_until"])


def _interval(row: RuleVersion) -> dict[str, str]:
    first, last = row.effective_from, row.effective_until
    return {
        "first": f"{timezone.localtime(first):%Y-%m-%d %H:%M}" if first else _("since ever"),
        "last": f"{timezone.localtime(last):%Y-%m-%d %H:%M}" if last else _("open"),
    }
