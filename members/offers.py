"""What a member likes and what to offer her next (推荐), and what is like a product, each with its reason.

1. What is said of her follows from the purchases that the asker may see (S1), the newest 200 of them; one is a product on a day.
2. From REASON_PURCHASES purchases of products with attributes on, her taste is told: the attributes that she likes clearly more,
   or less, than others do. With fewer nothing is told, and products come in the order of best-sellers.
3. A product is offered with each reason that holds: she likes what it has much of; it is like one that she has bought; how many
   have bought it in a year. A product that nobody bought and that has no such reason is not offered.
4. Two products are alike by ``taste.alike``: at least three attributes in common, few points apart. What they share is named: the
   attributes whose values differ by a point at most.
5. Whether a store has a product today is not known here, and nothing is said about it.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from members import taste
from members.models import OrderLine, Product, ProductPopularity, TasteAttribute
from scrm import org

OFFERED = 5
ALIKE = 10


@dataclass(frozen=True, slots=True)
class Share:
    """An attribute that two products have alike."""

    name: str
    value: int
    other: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    product_id: int
    sku: str
    name: str
    apart: float  # points, on the average
    shared: tuple[Share, ...]
    words: str
    buyer_count: int


@dataclass(frozen=True, slots=True)
class Near:
    """What is like a product. ``attribute_count``: of its own; fewer than ``taste.ALIKE_ATTRIBUTES`` are too few."""

    attribute_count: int
    found: tuple[Neighbour, ...]

    @property
    def is_known(self) -> bool:
        return self.attribute_count >= taste.ALIKE_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Lean:
    """An attribute that she likes more, or less, than others do. Values from 0 to 10."""

    name: str
    word: str
    hers: float
    everybodys: float


@dataclass(frozen=True, slots=True)
class Offer:
    """``sentence`` may be sent to her; ``like``: the product she bought that it is like; both may be empty."""

    sku: str
    name: str
    words: tuple[str, ...]
    sentence: str
    like: str
    like_shares: tuple[Share, ...]
    buyer_count: int
    bought_count: int
    last_on: dt.date | None


@dataclass(frozen=True, slots=True)
class Advice:
    """``purchase_count``: those that say something of her taste. ``has_attributes``: HQ has given products any."""

    purchase_count: int
    has_attributes: bool
    leans: tuple[Lean, ...]
    offers: tuple[Offer, ...]

    @property
    def is_known(self) -> bool:
        return self.purchase_count >= taste.REASON_PURCHASES

    @property
    def needed_count(self) -> int:
        return taste.REASON_PURCHASES


Bought = Sequence[tuple[str, dt.date]]


def bought_of(*, member_id: int, scope: org.Scope) -> list[tuple[str, dt.date]]:
    """SKU and day of her purchases inside the scope, the newest first."""
    real = OrderLine.objects.filter(
        member_id=member_id, is_test=False, is_voided=False, is_gift_card=False, is_wholesale=False
    )
    lines = org.visible(real, scope)
    rows = lines.order_by("-paid_at", "-pk").values_list("product__sku", "booked_on", "paid_fen", "refunded_fen")
    return [(sku, day) for sku, day, paid, refunded in rows[: taste.LIKINGS_BOUGHT] if refunded < paid or paid == 0]


def advise(*, bought: Bought, most: int = OFFERED) -> Advice:
    """What she likes and what to offer her, out of what she bought (SKU and day, the newest first); nine queries."""
    days = list(dict.fromkeys(bought))[: taste.LIKINGS_BOUGHT]
    keys = dict(Product.objects.filter(sku__in={sku for sku, _day in days}).values_list("sku", "pk"))
    mine, names, words = taste.values_of(keys.values()), _names(), taste.words_of()
    purchases = [mine[keys[sku]] for sku, _day in days if keys.get(sku) in mine]
    is_known = len(purchases) >= taste.REASON_PURCHASES
    known = taste.preferences(purchases) if is_known else []
    sums = _sums(purchases) if is_known else {}
    chosen = [key for key, _score in taste.ranked_by(sums=sums, most=most)]
    values = mine | taste.values_of(chosen)
    buyers = dict(ProductPopularity.objects.filter(product__in=chosen).values_list("product_id", "buyer_count"))
    products = Product.objects.in_bulk({*chosen, *keys.values()})
    times, last = Counter(sku for sku, _day in days), dict(reversed(days))
    offers = []
    for key in chosen:
        own, sku = values.get(key, {}), products[key].sku
        liked = taste.strongest(own, known, words)
        near = taste.closest(own, {one: mine.get(one, {}) for one in keys.values() if one != key}) if is_known else None
        if not (liked or near or buyers.get(key)):
            continue
        offers.append(
            Offer(
                sku, products[key].name, tuple(liked), taste.reason(liked), products[near].name if near else "",
                _shares(mine[near], own, names) if near else (), buyers.get(key, 0), times[sku], last.get(sku),
            )
        )  # fmt: skip
    return Advice(len(purchases), bool(names), _leans(known, words, names), tuple(offers))


def near_to(*, product_id: int, most: int = ALIKE) -> Near:
    """What whoever likes a product also likes, by attributes; five queries."""
    found = taste.alike(product_id=product_id, most=most)
    keys = [key for key, _apart in found]
    values, names, words = taste.values_of([product_id, *keys]), _names(), taste.words_of()
    products = Product.objects.in_bulk(keys)
    buyers = dict(ProductPopularity.objects.filter(product__in=keys).values_list("product_id", "buyer_count"))
    own = values.get(product_id, {})
    return Near(
        len(own),
        tuple(
            Neighbour(
                key, products[key].sku, products[key].name, apart, _shares(own, values[key], names),
                taste.described(values[key], words, taste.ALIKE_ATTRIBUTES), buyers.get(key, 0),
            )
            for key, apart in found
        ),
    )  # fmt: skip


def _leans(
    known: Iterable[taste.Liking], words: Mapping[int, taste.Words], names: Mapping[int, str]
) -> tuple[Lean, ...]:
    """The clearest first."""
    found = []
    for one in known:
        said = words.get(one.attribute_id)
        word = "" if said is None else said.high if one.leaning > 0 else said.low
        if word and one.weight >= taste.REASON_PURCHASES and abs(one.leaning) >= taste.CLEARLY:
            found.append(Lean(names[one.attribute_id], word, one.preference, one.mean))
    return tuple(found)


def _shares(own: Mapping[int, int], other: Mapping[int, int], names: Mapping[int, str]) -> tuple[Share, ...]:
    return tuple(
        Share(name, own[key], other[key])
        for key, name in names.items()
        if key in own and key in other and abs(own[key] - other[key]) <= taste.NEAR
    )


def _sums(purchases: Sequence[Mapping[int, int]]) -> dict[int, tuple[int, int]]:
    weight, total = Counter[int](), Counter[int]()
    for values in purchases:
        weight.update(values.keys())
        total.update(values)
    return {key: (weight[key], total[key]) for key in weight}


def _names() -> dict[int, str]:
    rows = TasteAttribute.objects.filter(is_active=True).order_by("position", "pk")
    return dict(rows.values_list("pk", "name"))
