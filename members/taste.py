"""Taste (口味): what a member likes, by the attributes of what she bought.

1. HQ gives products values from 0 to 10 for attributes of its own choosing (sweet, crisp, sour). A product without values
   takes part by its popularity alone.
2. One purchase is a product on a day, kept at least in part; test, voided, wholesale and gift-card lines are none.
3. Her preference for an attribute is the mean of its value over her purchases, shrunk towards the mean over everybody's:
   ``(Σ values + K·mean) / (purchases + K)`` with K = 10. Nobody's taste is known by one purchase.
4. How well a product matches: the product of her preference and its value, both in standard deviations from everybody's mean,
   averaged over the attributes. Products are ordered by ``popularity + LAMBDA · n/(n+K) · place of the match``, where popularity
   is ``ln(1+buyers)/ln(1+most buyers)``, place runs from 0 to 1, n is the number of her purchases and LAMBDA = 0.5: a stranger
   gets the best-sellers. K and LAMBDA were chosen on half of a company's year and measured on the other (docs/content.md).
5. A reason names the attributes that she likes clearly more (or less) than others do and of which the product has much (or
   little), at most two, from three purchases on. Without such an attribute there is no reason.
6. Sums are kept by member and follow her purchases; the scale and the popularity are counted each night, and everything anew
   when a product's attributes have changed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from members.models import Member, Product, ProductAttribute, TasteAttribute, TasteScale
from scrm import db

SHANGHAI = ZoneInfo("Asia/Shanghai")
K = 10.0
LAMBDA = 0.5
POPULAR_DAYS = 365
CHUNK = 20_000  # members in one transaction
HIGH, LOW = 7, 3  # of a product, from and up to which a word is said
CLEARLY = 0.35  # standard deviations between her preference and everybody's mean
REASON_PURCHASES, REASON_WORDS = 3, 2
NEAR = 1  # points: two products have an attribute in common
ALIKE_ATTRIBUTES, ALIKE_DISTANCE = 3, 2.5  # in common, and points apart on the average
LIKINGS_BOUGHT = 200  # products of hers that are looked at


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the statements read and write; the measurement runs the same ones on tables of its own."""

    lines: str = "members_orderline"
    attributes: str = "members_productattribute"
    active: str = "members_tasteattribute"
    tastes: str = "members_membertaste"
    popularity: str = "members_productpopularity"
    scale: str = "members_tastescale"

    def sql(self, statement: str) -> str:
        return statement.format(**{name: getattr(self, name) for name in self.__slots__})


OURS = Tables()
GIVEN = Tables(
    tastes="(SELECT 0::bigint AS member_id, g.* FROM unnest(%(attributes)s::bigint[], %(weights)s::int[], %(totals)s::int[])"
    " g(attribute_id, weight, total))"
)
KEPT = (
    "l.member_id IS NOT NULL AND NOT l.is_test AND NOT l.is_voided AND NOT l.is_gift_card AND NOT l.is_wholesale"
    " AND (l.refunded_fen < l.paid_fen OR l.paid_fen = 0)"
)
SUM_UP = f"""
    WITH counted AS (
        SELECT b.member_id, a.attribute_id, count(*)::int AS weight, sum(a.value)::int AS total
        FROM (SELECT DISTINCT l.member_id, l.product_id, l.booked_on FROM {{lines}} l
              WHERE {KEPT} AND {{{{whose}}}}) b
        JOIN {{attributes}} a ON a.product_id = b.product_id
        GROUP BY b.member_id, a.attribute_id
    ), gone AS (
        DELETE FROM {{tastes}} t WHERE {{{{whose_taste}}}} AND NOT EXISTS (
            SELECT 1 FROM counted c WHERE c.member_id = t.member_id AND c.attribute_id = t.attribute_id)
    )
    INSERT INTO {{tastes}} AS t (member_id, attribute_id, weight, total)
    SELECT member_id, attribute_id, weight, total FROM counted ORDER BY member_id, attribute_id
    ON CONFLICT (member_id, attribute_id) DO UPDATE SET weight = EXCLUDED.weight, total = EXCLUDED.total
    WHERE (t.weight, t.total) IS DISTINCT FROM (EXCLUDED.weight, EXCLUDED.total)
"""
POPULAR = f"""
    INSERT INTO {{popularity}} AS p (product_id, buyer_count, repeat_count)
    SELECT product_id, count(*)::int, count(*) FILTER (WHERE days > 1)::int FROM (
        SELECT l.product_id, l.member_id, count(DISTINCT l.booked_on) AS days FROM {{lines}} l
        WHERE {KEPT} AND l.booked_on > %(since)s GROUP BY l.product_id, l.member_id
    ) b GROUP BY product_id ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET buyer_count = EXCLUDED.buyer_count, repeat_count = EXCLUDED.repeat_count
    WHERE (p.buyer_count, p.repeat_count) IS DISTINCT FROM (EXCLUDED.buyer_count, EXCLUDED.repeat_count)
"""
UNPOPULAR = f"""
    DELETE FROM {{popularity}} p WHERE NOT EXISTS (
        SELECT 1 FROM {{lines}} l WHERE l.product_id = p.product_id AND {KEPT} AND l.booked_on > %(since)s)
"""
# everybody's mean and spread, by buyers; a product that nobody bought counts as half a buyer, so that a new shop has a scale
MEASURE = """
    INSERT INTO {scale} (attribute_id, mean, spread, attributes_digest, counted_at)
    SELECT a.attribute_id, sum(w * a.value) / sum(w),
           sqrt(greatest(sum(w * a.value * a.value) / sum(w) - (sum(w * a.value) / sum(w)) ^ 2, 0)), %(digest)s, %(now)s
    FROM {attributes} a JOIN {active} t ON t.id = a.attribute_id AND t.is_active
    LEFT JOIN {popularity} p ON p.product_id = a.product_id
    CROSS JOIN LATERAL (SELECT coalesce(p.buyer_count, 0) + 0.5::float8 AS w) weighed
    GROUP BY a.attribute_id ORDER BY a.attribute_id
    ON CONFLICT (attribute_id) DO UPDATE SET mean = EXCLUDED.mean, spread = EXCLUDED.spread,
        attributes_digest = EXCLUDED.attributes_digest, counted_at = EXCLUDED.counted_at
"""
RANK = f"""
    WITH s AS MATERIALIZED (
        SELECT c.attribute_id, c.mean, c.spread, count(*) OVER () AS attribute_count FROM {{scale}} c
        JOIN {{active}} t ON t.id = c.attribute_id AND t.is_active WHERE c.spread > 0
    ), mine AS MATERIALIZED (
        SELECT t.member_id, t.attribute_id, t.weight, (t.total - t.weight * s.mean) / s.spread / (t.weight + {K}) AS liking
        FROM {{tastes}} t JOIN s ON s.attribute_id = t.attribute_id WHERE t.member_id = ANY(%(members)s::bigint[])
    ), n AS (SELECT member_id, max(weight)::float8 AS n FROM mine GROUP BY member_id),
    matched AS (
        SELECT m.member_id, a.product_id,
               percent_rank() OVER (PARTITION BY m.member_id
                                    ORDER BY sum(m.liking * (a.value - s.mean) / s.spread)) AS place
        FROM {{attributes}} a JOIN s ON s.attribute_id = a.attribute_id JOIN mine m ON m.attribute_id = a.attribute_id
        GROUP BY m.member_id, a.product_id
    ), top AS (SELECT ln(1 + greatest(max(buyer_count), 1)) AS most FROM {{popularity}}),
    goods AS (
        SELECT product_id FROM {{popularity}} UNION SELECT product_id FROM {{attributes}}
    ), scored AS (
        SELECT w.member_id, g.product_id,
               ln(1 + coalesce(p.buyer_count, 0)) / top.most
                   + {LAMBDA} * coalesce(n.n / (n.n + {K}) * m.place, 0) AS score
        FROM unnest(%(members)s::bigint[]) w(member_id) CROSS JOIN goods g CROSS JOIN top
        LEFT JOIN {{popularity}} p ON p.product_id = g.product_id
        LEFT JOIN n ON n.member_id = w.member_id
        LEFT JOIN matched m ON m.member_id = w.member_id AND m.product_id = g.product_id
        WHERE %(products)s::bigint[] IS NULL OR g.product_id = ANY(%(products)s::bigint[])
    )
    SELECT member_id, product_id, score FROM (
        SELECT *, row_number() OVER (PARTITION BY member_id ORDER BY score DESC, product_id) AS place FROM scored
    ) ranked WHERE place <= %(most)s ORDER BY member_id, place
"""
ALIKE = f"""
    SELECT o.product_id, avg(abs(o.value - a.value))::float8 AS apart
    FROM members_productattribute a
    JOIN members_tasteattribute t ON t.id = a.attribute_id AND t.is_active
    JOIN members_productattribute o ON o.attribute_id = a.attribute_id AND o.product_id <> a.product_id
    LEFT JOIN members_productpopularity p ON p.product_id = o.product_id
    WHERE a.product_id = %(product)s
    GROUP BY o.product_id, p.buyer_count
    HAVING count(*) >= {ALIKE_ATTRIBUTES} AND avg(abs(o.value - a.value)) <= {ALIKE_DISTANCE}
    ORDER BY apart, p.buyer_count DESC NULLS LAST, o.product_id LIMIT %(most)s
"""
DIGEST = """
    SELECT md5(coalesce(string_agg(format('%s/%s/%s', a.product_id, a.attribute_id, a.value), ',' ORDER BY a.product_id, a.attribute_id), ''))
    FROM members_productattribute a JOIN members_tasteattribute t ON t.id = a.attribute_id AND t.is_active
"""


# --- pure rules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Liking:
    """Her preference for one attribute, against everybody's mean and spread."""

    attribute_id: int
    preference: float
    mean: float
    spread: float
    weight: int

    @property
    def leaning(self) -> float:
        """Standard deviations above (or below) everybody's mean."""
        return (self.preference - self.mean) / self.spread if self.spread else 0.0


@dataclass(frozen=True, slots=True)
class Words:
    high: str
    low: str = ""


def preference(total: int, weight: int, mean: float, k: float = K) -> float:
    return (total + k * mean) / (weight + k)


def described(values: Mapping[int, int], words: Mapping[int, Words], most: int) -> str:
    """The strongest attributes of a product in words; high values before low ones."""
    said = [
        (abs(value - (HIGH + LOW) / 2), value >= HIGH, _word(value, words[key]), key)
        for key, value in values.items()
        if key in words
    ]
    known = sorted((one for one in said if one[2]), key=lambda one: (not one[1], -one[0], one[3]))
    return "、".join(word for _far, _is_high, word, _key in known[:most])


def strongest(
    values: Mapping[int, int], likings: Iterable[Liking], words: Mapping[int, Words], most: int = REASON_WORDS
) -> list[str]:
    """The words of the attributes that she likes and the product has, the strongest first."""
    found = []
    for liking in likings:
        value, said = values.get(liking.attribute_id), words.get(liking.attribute_id)
        if value is None or said is None or liking.weight < REASON_PURCHASES:
            continue
        is_high, is_low = liking.leaning >= CLEARLY and value >= HIGH, liking.leaning <= -CLEARLY and value <= LOW
        if is_high or (is_low and said.low):
            found.append((abs(liking.leaning), said.high if is_high else said.low))
    return [word for _leaning, word in sorted(found, key=lambda one: (-one[0], one[1]))[:most]]


def leanings(likings: Iterable[Liking], words: Mapping[int, Words], most: int = REASON_WORDS) -> list[str]:
    """What she likes clearly more, or less, than others do."""
    found = []
    for liking in likings:
        said = words.get(liking.attribute_id)
        if said is None or liking.weight < REASON_PURCHASES or abs(liking.leaning) < CLEARLY:
            continue
        word = said.high if liking.leaning > 0 else said.low
        if word:
            found.append((abs(liking.leaning), word))
    return [word for _leaning, word in sorted(found, key=lambda one: (-one[0], one[1]))[:most]]


def reason(words: Sequence[str]) -> str:
    """The sentence a guide may send; empty without words. Customers read it, so it is Chinese whatever the console speaks."""
    return f"您常买的多是{'、'.join(words)}的，这款也是" if words else ""


def _word(value: int, words: Words) -> str:
    return words.high if value >= HIGH else words.low if value <= LOW else ""


# --- operations -------------------------------------------------------------------------------------------------------


def sum_asked(cursor: Any) -> None:
    """The members in the temporary table ``facts_asked``, within the transaction that takes them off the queue."""
    _one_at_a_time(cursor)
    among = "IN (SELECT member_id FROM facts_asked)"
    cursor.execute(OURS.sql(SUM_UP).format(whose=f"l.member_id {among}", whose_taste=f"t.member_id {among}"))


def sum_everybody(cursor: Any) -> None:
    """All members in one pass, within the caller's transaction."""
    _one_at_a_time(cursor)
    cursor.execute(OURS.sql(SUM_UP).format(whose="true", whose_taste="true"))


def count_popularity(*, now: dt.datetime) -> None:
    """Popularity and scale as of now: one scan of a year's purchases."""
    with transaction.atomic(), connection.cursor() as cursor:
        _one_at_a_time(cursor)
        cursor.execute(DIGEST)
        values = {"since": _since(now), "now": now, "digest": cursor.fetchone()[0]}
        for statement in (POPULAR, UNPOPULAR, MEASURE):
            cursor.execute(OURS.sql(statement), values)
        TasteScale.objects.exclude(
            attribute__in=ProductAttribute.objects.filter(attribute__is_active=True).values("attribute")
        ).delete()


def rebuild(*, now: dt.datetime) -> int:
    """Everything anew, in chunks of members, each its own transaction; the number of sums that changed."""
    changed, after = 0, 0
    last = Member.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    while after < last:
        until = after + CHUNK
        whose = {
            "whose": "l.member_id > %(after)s AND l.member_id <= %(until)s",
            "whose_taste": "t.member_id > %(after)s AND t.member_id <= %(until)s",
        }
        with transaction.atomic(), connection.cursor() as cursor:
            _one_at_a_time(cursor)
            cursor.execute(OURS.sql(SUM_UP).format(**whose), {"after": after, "until": until})
            changed += cursor.rowcount
        after = until
    count_popularity(now=now)
    return changed


def nightly(*, now: dt.datetime) -> None:
    """Popularity and scale; tastes too where a product's attributes have changed since they were summed."""
    with connection.cursor() as cursor:
        cursor.execute(DIGEST)
        digest = cursor.fetchone()[0]
    if TasteScale.objects.filter(attributes_digest=digest).exists() or not ProductAttribute.objects.exists():
        count_popularity(now=now)
    else:
        rebuild(now=now)


# --- reads ------------------------------------------------------------------------------------------------------------


def ranked(*, member_id: int, most: int = 20, product_ids: Sequence[int] | None = None) -> list[tuple[int, float]]:
    """``[(product, score)]`` for a member, the best first; best-sellers for one whose taste nobody knows."""
    products = None if product_ids is None else list(product_ids)
    rows = db.fetch(OURS.sql(RANK), {"members": [member_id], "products": products, "most": most})
    return [(product_id, score) for _member_id, product_id, score in rows]


def ranked_by(
    *, sums: Mapping[int, tuple[int, int]], most: int = 20, product_ids: Sequence[int] | None = None
) -> list[tuple[int, float]]:
    """Like ``ranked``, for a taste that is summed already: ``{attribute: (purchases, sum of the values)}``."""
    values = {
        "members": [0], "products": None if product_ids is None else list(product_ids), "most": most, "attributes": list(sums),
        "weights": [weight for weight, _total in sums.values()], "totals": [total for _weight, total in sums.values()],
    }  # fmt: skip
    return [(product_id, score) for _nobody, product_id, score in db.fetch(GIVEN.sql(RANK), values)]


def alike(*, product_id: int, most: int = 10) -> list[tuple[int, float]]:
    """``[(product, points apart)]``: whoever likes this also likes those, by their attributes."""
    return [(key, apart) for key, apart in db.fetch(ALIKE, {"product": product_id, "most": most})]


def features(*, product_ids: Iterable[int], most: int) -> dict[int, str]:
    """``{product: its strongest attributes in words}``; two queries."""
    words, values = words_of(), values_of(product_ids)
    return {product_id: described(one, words, most) for product_id, one in values.items()}


@dataclass(frozen=True, slots=True)
class Likings:
    """``words``: what she likes; ``reasons``: product → sentence; ``alike``: product → the SKU she bought that is most like it."""

    words: str = ""
    reasons: dict[int, str] = field(default_factory=dict)
    alike: dict[int, str] = field(default_factory=dict)


NOTHING_KNOWN = Likings()


def likings(*, product_ids: Sequence[int], bought: Iterable[tuple[str, dt.date]]) -> Likings:
    """What is known of her taste for some products, out of the purchases that the asker may see (S1), the newest first; four
    queries at most. ``bought``: SKU and day of each."""
    days = list(dict.fromkeys(bought))[:LIKINGS_BOUGHT]
    if not days:
        return NOTHING_KNOWN
    keys = dict(Product.objects.filter(sku__in={sku for sku, _day in days}).values_list("sku", "pk"))
    mine = {key: sku for sku, key in keys.items()}
    values, words = values_of({*product_ids, *mine}), words_of()
    known = preferences([values.get(keys[sku], {}) for sku, _day in days if sku in keys])
    reasons, near = {}, {}
    for product_id in product_ids:
        own = values.get(product_id, {})
        sentence = reason(strongest(own, known, words))
        if sentence:
            reasons[product_id] = sentence
        nearest = closest(own, {key: values.get(key, {}) for key in mine if key != product_id})
        if nearest is not None:
            near[product_id] = mine[nearest]
    return Likings("、".join(leanings(known, words)), reasons, near)


def preferences(purchases: Sequence[Mapping[int, int]]) -> list[Liking]:
    """Preferences out of the attributes of each purchase, the clearest first."""
    total, weight = Counter[int](), Counter[int]()
    for values in purchases:
        total.update(values)
        weight.update(values.keys())
    scales = TasteScale.objects.filter(attribute__in=list(weight), attribute__is_active=True)
    found = [
        Liking(key, preference(total[key], weight[key], mean), mean, spread, weight[key])
        for key, mean, spread in scales.values_list("attribute_id", "mean", "spread")
    ]
    return sorted(found, key=lambda one: (-abs(one.leaning), one.attribute_id))


def closest(own: Mapping[int, int], others: Mapping[int, Mapping[int, int]]) -> int | None:
    best: tuple[float, int] | None = None
    for key, values in others.items():
        common = own.keys() & values.keys()
        if len(common) < ALIKE_ATTRIBUTES:
            continue
        apart = sum(abs(own[name] - values[name]) for name in common) / len(common)
        if apart <= ALIKE_DISTANCE and (best is None or (apart, key) < best):
            best = (apart, key)
    return best[1] if best else None


def words_of() -> dict[int, Words]:
    rows = TasteAttribute.objects.filter(is_active=True).values_list("pk", "words", "low_words")
    return {key: Words(high, low) for key, high, low in rows}


def values_of(product_ids: Iterable[int]) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    rows = ProductAttribute.objects.filter(product__in=list(product_ids), attribute__is_active=True)
    for product_id, attribute_id, value in rows.values_list("product_id", "attribute_id", "value"):
        found.setdefault(product_id, {})[attribute_id] = value
    return found


def _since(now: dt.datetime) -> dt.date:
    return now.astimezone(SHANGHAI).date() - dt.timedelta(days=POPULAR_DAYS)


def _one_at_a_time(cursor: Any) -> None:
    """Two that sum the same member at once would meet at the unique key in different orders."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('taste', 0))")
