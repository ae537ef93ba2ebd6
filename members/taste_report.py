"""How good the ranking by taste is (口味排序评测): measured on purchases that it has not seen.

1. The last order of each member with at least two is held out; everything is summed from the orders before it, by the same
   statements that run every day (``members.taste``), in tables of the measurement's own.
2. Three rankings propose ten products each: by taste, the best-sellers, and the best by mean rating. Nobody rates here, so the
   rating is the share of a product's buyers who bought it again, shrunk by twenty buyers.
3. A proposal hits when it is in the held-out order. Counted are the share of members with a hit (HR@10) and the normalised
   discounted gain (NDCG@10), once for all products and once for those she had never bought.
4. Each figure comes with its 95 % interval over members, and each gain of the taste with the interval of the paired difference.
5. Where HQ has entered no attributes they may be read from the names of the products: the most frequent words, 10 or 0, and
   the place of the price. This measures the method, not anybody's taste.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from members import taste
from members.models import Product, ProductAttribute

TOP = 10
MOST_MEMBERS = 1_000
SHRINK_BUYERS = 20
LEAST_BUYERS = 20  # of a product whose name lends attributes
NAME_WORDS = 60
Z95 = 1.959964
WORD = re.compile(r"[A-Za-z]{3,}|[\u4e00-\u9fff]{2}")
Says = Callable[[str], None]
MEASURED = taste.Tables(
    lines="taste_lines", attributes="taste_attributes", active="taste_active", tastes="taste_tastes",
    popularity="taste_popularity", scale="taste_scale",
)  # fmt: skip

# the orders of members with at least two, the last one apart; then empty tables for what is summed from the rest
PREPARE = f"""
    CREATE TEMP TABLE taste_orders ON COMMIT DROP AS
    SELECT member_id, order_id, max(paid_at) AS at,
           row_number() OVER (PARTITION BY member_id ORDER BY max(paid_at) DESC, order_id DESC) AS back,
           count(*) OVER (PARTITION BY member_id) AS orders
    FROM members_orderline l WHERE {taste.KEPT} GROUP BY member_id, order_id;
    CREATE TEMP TABLE taste_lines ON COMMIT DROP AS
    SELECT l.* FROM members_orderline l JOIN taste_orders o ON o.member_id = l.member_id AND o.order_id = l.order_id
    WHERE {taste.KEPT} AND (o.back > 1 OR o.orders = 1);
    CREATE TEMP TABLE taste_held ON COMMIT DROP AS
    SELECT DISTINCT l.member_id, l.product_id FROM members_orderline l
    JOIN taste_orders o ON o.member_id = l.member_id AND o.order_id = l.order_id
    WHERE {taste.KEPT} AND o.back = 1 AND o.orders > 1;
    CREATE TEMP TABLE taste_attributes (product_id bigint, attribute_id bigint, value int) ON COMMIT DROP;
    CREATE TEMP TABLE taste_active (id bigint, is_active boolean) ON COMMIT DROP;
    CREATE TEMP TABLE taste_tastes (member_id bigint, attribute_id bigint, weight int, total int,
        UNIQUE (member_id, attribute_id)) ON COMMIT DROP;
    CREATE TEMP TABLE taste_popularity (product_id bigint PRIMARY KEY, buyer_count int, repeat_count int) ON COMMIT DROP;
    CREATE TEMP TABLE taste_scale (attribute_id bigint PRIMARY KEY, mean float8, spread float8, attributes_digest text,
        counted_at timestamptz) ON COMMIT DROP;
"""
OWN_ATTRIBUTES = """
    INSERT INTO taste_attributes SELECT product_id, attribute_id, value FROM members_productattribute;
    INSERT INTO taste_active SELECT id, is_active FROM members_tasteattribute;
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over members with the half width of its 95 % interval."""

    mean: float
    half: float

    @property
    def text(self) -> str:
        return f"{self.mean:.4f} ± {self.half:.4f}"


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one ranking among one set of products: its figures, and what the taste gains over it (None: it is the taste)."""

    ranking: str
    hits: Figure
    gain: Figure
    more_hits: Figure | None
    more_gain: Figure | None


@dataclass(frozen=True, slots=True)
class Report:
    member_count: int
    product_count: int
    attribute_count: int
    all_products: list[Measured]
    new_products: list[Measured]
    new_member_count: int


# --- pure -------------------------------------------------------------------------------------------------------------


def ndcg(proposed: Sequence[int], bought: frozenset[int]) -> float:
    """Discounted gain of the first TOP proposals against the best possible order."""
    found = sum(1 / math.log2(place + 2) for place, key in enumerate(proposed[:TOP]) if key in bought)
    best = sum(1 / math.log2(place + 2) for place in range(min(TOP, len(bought))))
    return found / best if best else 0.0


def figure(values: Sequence[float]) -> Figure:
    count = len(values)
    if count < 2:
        return Figure(sum(values) / count if count else 0.0, math.inf)
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return Figure(mean, Z95 * spread / math.sqrt(count))


def compare(
    proposals: Mapping[str, Mapping[int, Sequence[int]]], bought: Mapping[int, frozenset[int]]
) -> list[Measured]:
    """``proposals``: ranking → member → products, the taste first."""
    first = next(iter(proposals))
    scores: dict[str, tuple[list[float], list[float]]] = {}
    for name, lists in proposals.items():
        hits = [float(any(key in bought[who] for key in lists[who][:TOP])) for who in bought]
        scores[name] = hits, [ndcg(lists[who], bought[who]) for who in bought]
    found = []
    for name, (hits, gains) in scores.items():
        more = (
            None
            if name == first
            else [[a - b for a, b in zip(scores[first][n], scores[name][n], strict=True)] for n in (0, 1)]
        )
        found.append(
            Measured(
                name, figure(hits), figure(gains), figure(more[0]) if more else None, figure(more[1]) if more else None
            )
        )
    return found


# --- measuring --------------------------------------------------------------------------------------------------------


def measure(*, now: Any, most: int = MOST_MEMBERS, from_names: bool = False, says: Says = lambda text: None) -> Report:
    """The figures for up to ``most`` members, drawn by a hash of their ids; nothing of ours is changed."""
    with transaction.atomic(), connection.cursor() as cursor:
        says("orders apart")
        cursor.execute(PREPARE)
        cursor.execute("CREATE INDEX ON taste_lines (member_id); ANALYZE taste_lines")
        cursor.execute(OWN_ATTRIBUTES) if not from_names else _attributes_of_names(cursor)
        says("tastes")
        whose = {"whose": "true", "whose_taste": "true"}
        cursor.execute(MEASURED.sql(taste.SUM_UP).format(**whose))
        values = {"since": "1900-01-01", "now": now, "digest": ""}
        for statement in (taste.POPULAR, taste.MEASURE):
            cursor.execute(MEASURED.sql(statement), values)
        cursor.execute("ANALYZE taste_tastes; ANALYZE taste_attributes; ANALYZE taste_popularity")
        says("rankings")
        return _report(cursor, most)


def _report(cursor: Any, most: int) -> Report:
    cursor.execute(
        "SELECT member_id, array_agg(product_id) FROM taste_held GROUP BY member_id ORDER BY md5(member_id::text) LIMIT %s",
        [most],
    )
    held = {member: frozenset(products) for member, products in cursor.fetchall()}
    cursor.execute("SELECT DISTINCT member_id, product_id FROM taste_lines WHERE member_id = ANY(%s)", [list(held)])
    known: dict[int, set[int]] = {member: set() for member in held}
    for member, product in cursor.fetchall():
        known[member].add(product)
    longest = max((len(products) for products in known.values()), default=0) + TOP
    cursor.execute(MEASURED.sql(taste.RANK), {"members": list(held), "products": None, "most": longest})
    by_taste: dict[int, list[int]] = {member: [] for member in held}
    for member, product, _score in cursor.fetchall():
        by_taste[member].append(product)
    best = _ordered(cursor, "buyer_count DESC, product_id")
    rated = _ordered(
        cursor,
        "(repeat_count + %(k)s * (SELECT sum(repeat_count)::float8 / sum(buyer_count) FROM taste_popularity)) / (buyer_count + %(k)s)"
        " DESC, buyer_count DESC, product_id",
    )
    everything = {
        "taste": by_taste,
        "best-sellers": dict.fromkeys(held, best),
        "mean rating": dict.fromkeys(held, rated),
    }
    fresh = {member: products - known[member] for member, products in held.items() if products - known[member]}
    unknown = {
        name: {member: [key for key in lists[member] if key not in known[member]][:TOP] for member in fresh}
        for name, lists in everything.items()
    }
    cursor.execute("SELECT count(DISTINCT product_id), count(DISTINCT attribute_id) FROM taste_attributes")
    products, attributes = cursor.fetchone()
    return Report(len(held), products, attributes, compare(everything, held), compare(unknown, fresh), len(fresh))


def _ordered(cursor: Any, order: str) -> list[int]:
    cursor.execute(f"SELECT product_id FROM taste_popularity ORDER BY {order}", {"k": SHRINK_BUYERS})
    return [key for (key,) in cursor.fetchall()]


def _attributes_of_names(cursor: Any) -> None:
    """The most frequent words of the products' names as attributes, and the place of the price among all prices."""
    cursor.execute(
        "SELECT product_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(unit_price, paid_fen)), count(DISTINCT member_id)"
        " FROM taste_lines GROUP BY product_id HAVING count(DISTINCT member_id) >= %s",
        [LEAST_BUYERS],
    )
    prices = {key: price for key, price, _buyers in cursor.fetchall()}
    names = dict(Product.objects.filter(pk__in=prices).values_list("pk", "name"))
    words = {key: set(WORD.findall(name.upper())) for key, name in names.items()}
    counts = Counter(word for found in words.values() for word in found)
    chosen = [word for word, _count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NAME_WORDS]]
    order = sorted(names, key=lambda key: (prices[key], key))
    rows = [
        (key, number, 10 if word in words[key] else 0) for number, word in enumerate(chosen, start=1) for key in names
    ]
    rows += [(key, len(chosen) + 1, round(10 * place / max(1, len(order) - 1))) for place, key in enumerate(order)]
    with cursor.copy("COPY taste_attributes (product_id, attribute_id, value) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute("INSERT INTO taste_active SELECT DISTINCT attribute_id, true FROM taste_attributes")


def has_attributes() -> bool:
    return ProductAttribute.objects.exists()
