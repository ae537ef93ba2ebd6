"""Knowledge (知识库): expert answers that guides search in a customer's own words.

1. A text is cut into pairs of neighbouring Chinese characters and into words of other scripts; PostgreSQL indexes those, so
   nothing has to be installed for Chinese. Words that every question has (怎么, 什么, 的, 吗) are left out.
2. Found is what shares a third of the question's pairs, at least one. A pair in the question counts more than one in the
   keywords and product names, and that more than one in the answer; among equals the more useful answer comes first.
3. A guide finds what is for her store. She may say once whether an answer was useful; her last word counts.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from django.contrib.postgres.search import SearchVector
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Value
from django.utils.translation import gettext as _

from campaigns.models import Answer, AnswerVote
from campaigns.models.reach import part_q
from scrm import db
from scrm.errors import RuleViolation

MOST_PAIRS = 60  # of a question
SHARE = 3  # a third of them has to be there
WEIGHTS = (8, 4, 1)  # question; keywords and products; answer
_CHINESE = re.compile(r"[\u3400-\u9fff]+")
_OTHER = re.compile(r"[a-z0-9]+")
_COMMON = re.compile(
    r"怎么样|怎么|什么|如何|为什么|可以|能不能|是不是|有没有|多少|请问|一下|[的了吗呢吧啊是我你您要就都和与及]"
)


class UnknownAnswer(RuleViolation):
    code = "answer_unknown"


# --- pure -------------------------------------------------------------------------------------------------------------


def pairs(text: str) -> list[str]:
    """The pairs and words of a text, each once: ``榴莲怎么挑`` → 榴莲, 挑."""
    found: list[str] = []
    lower = _COMMON.sub(" ", text.lower())
    for run in _CHINESE.findall(lower):
        found += [run[start : start + 2] for start in range(len(run) - 1)] or [run]
    found += _OTHER.findall(lower)
    return list(dict.fromkeys(found))


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def index(*, answer: Answer) -> None:
    """Cut the texts of an answer anew; called whenever they, or its products, were written."""
    names = " ".join(answer.products.values_list("name", flat=True))
    parts = (answer.question, f"{' '.join(answer.tags)} {names}", answer.answer)
    vector: Any = None
    for text, weight in zip(parts, "ABC", strict=True):
        piece = SearchVector(Value(" ".join(_single(text) + pairs(text))), config="simple", weight=weight)
        vector = piece if vector is None else vector + piece
    Answer.objects.filter(pk=answer.pk).update(search=vector)


@transaction.atomic
def vote(*, answer_id: int, guide_id: int, store_id: int, is_useful: bool, now: dt.datetime) -> Answer:
    """Raises UnknownAnswer."""
    rows = db.lock(usable_in(store_id).filter(pk=answer_id))
    if not rows:
        raise UnknownAnswer(_("There is no such answer."))
    AnswerVote.objects.update_or_create(
        answer=rows[0], guide_id=guide_id, defaults={"is_useful": is_useful, "voted_at": now}
    )
    votes = AnswerVote.objects.filter(answer=rows[0])
    counts = {
        "useful_count": votes.filter(is_useful=True).count(),
        "useless_count": votes.filter(is_useful=False).count(),
    }
    Answer.objects.filter(pk=answer_id).update(**counts)
    rows[0].useful_count, rows[0].useless_count = counts["useful_count"], counts["useless_count"]
    return rows[0]


# --- reads ------------------------------------------------------------------------------------------------------------

# each pair that an answer has counts by the best place it stands in
SEARCH = """
    SELECT a.id FROM campaigns_answer a
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE w > 0) AS found, sum(w) AS score FROM (
            SELECT CASE WHEN a.search @@ (quote_literal(p) || ':A')::tsquery THEN %(a)s
                        WHEN a.search @@ (quote_literal(p) || ':B')::tsquery THEN %(b)s
                        WHEN a.search @@ quote_literal(p)::tsquery THEN %(c)s ELSE 0 END AS w
            FROM unnest(%(pairs)s::text[]) p) each
    ) m
    WHERE a.search @@ %(any)s::tsquery AND a.id = ANY(%(among)s::bigint[]) AND m.found >= %(least)s
    ORDER BY m.score DESC, a.useful_count - a.useless_count DESC, a.id DESC LIMIT %(most)s
"""
AMONG = 5_000  # answers of a store


def usable_in(store_id: int) -> QuerySet[Answer]:
    return Answer.objects.filter(part_q([store_id]), is_active=True)


def search(*, rows: QuerySet[Answer], question: str = "", sku: str = "", most: int = 20) -> list[Answer]:
    """The answers among ``rows`` to a question, the best first; without one the most useful."""
    if sku:
        rows = rows.filter(products__sku=sku)
    wanted = pairs(question)[:MOST_PAIRS]
    if question.strip() and not wanted:
        return []
    if not wanted:
        useful = F("useful_count") - F("useless_count")
        return list(rows.order_by(useful.desc(), "-pk").prefetch_related("products")[:most])
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "pairs": wanted, "any": " | ".join(f"'{pair}'" for pair in wanted), "most": most,
            "among": db.array(rows.order_by("-pk").values_list("pk", flat=True)[:AMONG]), "least": -(-len(wanted) // SHARE),
            **dict(zip("abc", WEIGHTS, strict=True)),
        }  # fmt: skip
        cursor.execute(SEARCH, values)
        order = [key for (key,) in cursor.fetchall()]
    found = Answer.objects.filter(pk__in=order).prefetch_related("products").in_bulk()
    return [found[key] for key in order if key in found]


def matching(rows: QuerySet[Answer], term: str) -> QuerySet[Answer]:
    """For the console's search box."""
    keys = [answer.pk for answer in search(rows=rows, question=term, most=200)]
    return rows.filter(Q(pk__in=keys) | Q(question__contains=term[:40]))


def _single(text: str) -> list[str]:
    """Single characters too: a customer may ask with one (桃)."""
    return list(dict.fromkeys(sign for run in _CHINESE.findall(text) for sign in run))
