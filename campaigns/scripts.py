"""Scripts (话术): one thing to say, in levels from generic to personal, said as personally as the facts allow.

1. A script has a text for some of six levels: product, small talk, occasion, last bought and back in stock, the reason she
   likes it, her buying day and hour. The first two levels can always be written, so a script has at least one of them.
2. For a member the deepest level is taken for which every slot is filled from a real fact (``slots``); nothing is made up.
   Where not even the most generic text can be filled, there is no script for her.
3. Why this level was taken is shown: which facts filled it, and what the deeper levels lack.
4. Changing a text makes a new version; a use names the version, the level and the member.
5. A guide gets the scripts of her store that are usable now, the most personal first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from campaigns import slots
from campaigns.models import Level, Script, ScriptText, ScriptUse
from campaigns.models.content import usable
from campaigns.models.reach import part_q
from campaigns.slots import About, Bought, Facts, Who
from members import taste
from members.models import Member, Product
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.wecom import attachments

SCRIPTS_READ = 200  # of a store at a time
FEATURES = 3  # words that a product is described with
GENERIC = (Level.PRODUCT, Level.SMALL_TALK)


class BadScript(RuleViolation):
    """``extra["fields"]`` names each level with its sentence."""

    code = "bad_script"


class NotUsable(RuleViolation):
    code = "script_not_usable"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A deeper level that could not be used, and the slots that nothing fills."""

    level: Level
    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A script for one member, ready to send."""

    text: str
    level: Level
    used: tuple[tuple[str, str], ...]  # slot and what filled it
    skipped: tuple[Skipped, ...]

    @property
    def why(self) -> str:
        """One sentence: the level, the facts behind it, and what the next deeper one lacks."""
        sentence = _("Level “%(level)s”") % {"level": self.level.label}
        own = [(name, words) for name, words in self.used if slots.REGISTRY[name].level == self.level]
        if own:
            sentence += "：" + "，".join(f"{name}＝{words}" for name, words in own)
        if self.skipped:
            nearest = self.skipped[-1]
            sentence += "；" + _("“%(level)s” lacks %(slots)s") % {
                "level": nearest.level.label, "slots": "、".join(nearest.lacking),
            }  # fmt: skip
        return sentence


# --- pure rules -------------------------------------------------------------------------------------------------------


def problems(texts: Mapping[int, str]) -> dict[int, str]:
    """``{level: sentence}`` of what is wrong with the texts."""
    found: dict[int, str] = {}
    for level, text in texts.items():
        if not text.strip():
            continue
        size = len(text.encode())
        if size > attachments.TEXT_BYTES:
            found[level] = _("%(size)s bytes; WeCom takes %(most)s (a Chinese character counts three).") % {
                "size": f"{size:,}", "most": f"{attachments.TEXT_BYTES:,}",
            }  # fmt: skip
        elif fault := slots.fault(text, Level(level)):
            found[level] = fault
    if not any(texts.get(level, "").strip() for level in GENERIC):
        found.setdefault(
            Level.PRODUCT,
            _("Write a text for “product” or “small talk”: what is said when nothing is known of a member."),
        )
    return found


def say(texts: Mapping[int, str], facts: Facts) -> Said | None:
    """The deepest text that the facts fill; None when not even the most generic one is."""
    skipped: list[Skipped] = []
    for level in sorted((Level(number) for number, text in texts.items() if text.strip()), reverse=True):
        text, lacking = slots.filled(texts[level], facts)
        if lacking:
            skipped.append(Skipped(level, tuple(lacking)))
            continue
        if len(text.encode()) > attachments.TEXT_BYTES:  # a long name would cost its end
            skipped.append(Skipped(level, ()))
            continue
        used = tuple((name, slots.REGISTRY[name].fill(facts)) for name in slots.names_in(texts[level]))
        return Said(text, level, used, tuple(skipped))
    return None


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def write(*, script: Script, texts: Mapping[int, str], actor: Any, now: dt.datetime) -> Script:
    """Save the script and, where a text changed, its next version. Raises BadScript."""
    kept = {int(level): text.strip() for level, text in texts.items() if text.strip()}
    found = problems(texts)
    if found:
        raise BadScript(
            next(iter(found.values())), extra={"fields": {str(level): text for level, text in found.items()}}
        )
    if script.pk:
        (locked,) = db.lock(Script.objects.filter(pk=script.pk))
        script.version_no, script.use_count = locked.version_no, locked.use_count
    is_changed = script.pk is None or texts_of([script]).get(script.pk, {}) != kept
    if is_changed:
        script.version_no += 1
    script.save()
    if is_changed:
        ScriptText.objects.bulk_create(
            ScriptText(script=script, version_no=script.version_no, level=level, text=text, made_by=actor, made_at=now)
            for level, text in sorted(kept.items())
        )
        audit.record(actor=actor, verb="script.version", target=script, number=script.version_no)
    return script


@transaction.atomic
def record_use(
    *, script: Script, level: int, member: Member, guide_id: int, store_id: int, now: dt.datetime
) -> ScriptUse:
    """A guide sent it. Raises NotUsable."""
    if not usable_in(store_id, now).filter(pk=script.pk).exists() or level not in texts_of([script]).get(script.pk, {}):
        raise NotUsable(_("This script is not in use any more."))
    Script.objects.filter(pk=script.pk).update(use_count=F("use_count") + 1)
    return ScriptUse.objects.create(
        script=script, version_no=script.version_no, level=level, member=member, guide_id=guide_id, store_id=store_id,
        used_at=now,
    )  # fmt: skip


# --- reads ------------------------------------------------------------------------------------------------------------


def usable_in(store_id: int, now: dt.datetime) -> QuerySet[Script]:
    """What a guide of the store may use now."""
    return Script.objects.filter(usable(now), part_q([store_id]))


def for_guide(*, store_id: int, now: dt.datetime, sku: str | None = None) -> list[Script]:
    """The newest scripts of a store, ready for ``said_to``."""
    rows = usable_in(store_id, now).select_related("product__category", "category")
    if sku:
        rows = rows.filter(product__sku=sku)
    return list(rows.order_by("-pk")[:SCRIPTS_READ])


def texts_of(scripts: Iterable[Script]) -> dict[int, dict[int, str]]:
    """``{script: {level: text}}`` of their newest versions; one query."""
    found: dict[int, dict[int, str]] = {}
    rows = ScriptText.objects.filter(script__in=[script.pk for script in scripts], version_no=F("script__version_no"))
    for script_id, level, text in rows.order_by("script_id", "level").values_list("script_id", "level", "text"):
        found.setdefault(script_id, {})[level] = text
    return found


def kept_lines(lines: Iterable[Mapping[str, Any]]) -> list[Bought]:
    """Her purchases out of the lines that the asker may see, the newest first; wholly refunded ones are left out.

    A line has sku, product_name, paid_at, order_no, paid_fen and refunded_fen. One query for the categories.
    """
    rows = [line for line in lines if line["refunded_fen"] < line["paid_fen"] or line["paid_fen"] == 0]
    categories = dict(Product.objects.filter(sku__in={row["sku"] for row in rows}).values_list("sku", "category_id"))
    return [
        Bought(row["sku"], row["product_name"], categories.get(row["sku"]), _moment(row["paid_at"]), row["order_no"])
        for row in rows
    ]


def said_to(
    *, member: Member, scripts: Sequence[Script], bought: Sequence[Bought], guide: str, store: str, today: dt.date
) -> list[tuple[Script, Said]]:
    """The scripts that can be said to her, the most personal first; the same number of queries for any number of scripts."""
    texts = texts_of(scripts)
    made = facts_for(member=member, scripts=scripts, bought=bought, guide=guide, store=store, today=today)
    found = []
    for script in scripts:
        said = say(texts.get(script.pk, {}), made[script.pk])
        if said is not None:
            found.append((script, said))
    return sorted(found, key=lambda pair: (-pair[1].level, -pair[0].pk))


def facts_for(
    *,
    member: Member | None,
    scripts: Sequence[Script],
    bought: Sequence[Bought],
    guide: str,
    store: str,
    today: dt.date,
) -> dict[Any, Facts]:
    """``{script: what is known for it}``. ``scripts`` come with product, category and the product's category."""
    products = [script.product_id for script in scripts if script.product_id]
    features = taste.features(product_ids=products, most=FEATURES)
    liked = taste.likings(
        product_ids=products, bought=[(one.sku, one.at.astimezone(taste.SHANGHAI).date()) for one in bought]
    )
    names = {one.sku: one.name for one in bought}
    who = Who(member.name, member.gender, member.tier.name if member.tier else "", member.birthday) if member else Who()
    found = {}
    for script in scripts:
        product = script.product
        category = script.category or (product.category if product else None)
        about = About(
            sku=product.sku if product else "", product=product.name if product else "",
            category_id=category.pk if category else None, category=category.name if category else "",
            features=features.get(product.pk, "") if product else "", occasion=script.occasion, arrived_on=script.arrived_on,
        )  # fmt: skip
        reason, alike = liked.reasons.get(script.product_id or 0, ""), liked.alike.get(script.product_id or 0, "")
        found[script.pk] = Facts(
            today=today, guide=guide, store=store, about=about, who=who, bought=bought, reason=reason,
            alike=names.get(alike, ""), taste=liked.words,
        )  # fmt: skip
    return found


def _moment(value: Any) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
