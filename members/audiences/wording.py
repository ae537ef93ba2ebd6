"""Rules as people read them: what the builder offers, and a saved rule as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.audiences import fields
from members.audiences.counting import Reason
from members.audiences.fields import Ask, Field, Kind
from members.audiences.rules import WINDOW_LISTS, Condition, Node
from members.models import Stage
from scrm.money import yuan

MOST_LOCAL = 60  # options up to here are offered at once, beyond that they are looked up
GROUPS = {
    "AND": gettext_lazy("all of these hold"),
    "OR": gettext_lazy("any of these holds"),
    "NOT": gettext_lazy("none of these holds"),
}
OPERATORS = {
    "gte": gettext_lazy("at least"), "lte": gettext_lazy("at most"), "eq": gettext_lazy("exactly"), "between": gettext_lazy("between"),
    "within_days": gettext_lazy("in the last … days"), "before_days": gettext_lazy("longer ago than … days"),
    "not_within_days": gettext_lazy("not in the last … days"), "known": gettext_lazy("is known"),
    "any_of": gettext_lazy("is any of"), "all_of": gettext_lazy("is all of"), "none_of": gettext_lazy("is none of"),
    "yes": gettext_lazy("yes"), "no": gettext_lazy("no"), "coming_days": gettext_lazy("in the next … days"),
    "months": gettext_lazy("in the months"),
}  # fmt: skip
MEASURES = {
    "orders": gettext_lazy("number of orders"), "fen": gettext_lazy("net amount"), "quantity": gettext_lazy("number of pieces"),
}  # fmt: skip
LISTS = {
    "channels": gettext_lazy("on the channels"), "categories": gettext_lazy("of the categories"),
    "products": gettext_lazy("of the products"), "stores": gettext_lazy("in the stores"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    depth: int
    text: str
    is_group: bool
    holds: bool | None = None
    answer: str = ""


# --- for the builder --------------------------------------------------------------------------------------------------


def offered(ask: Ask) -> dict[str, Any]:
    """Everything the builder needs to know, as JSON values."""
    return {
        "groups": {op: str(text) for op, text in GROUPS.items()},
        "operators": {op: str(text) for op, text in OPERATORS.items()},
        "measures": {name: str(text) for name, text in MEASURES.items()},
        "lists": {name: {"label": str(text), "field": WINDOW_LISTS[name]} for name, text in LISTS.items()},
        "fields": [_offer(field, ask) for field in fields.every()],
    }


def _offer(field: Field, ask: Ask) -> dict[str, Any]:
    local = fields.options(field, ask, limit=MOST_LOCAL + 1) if field.kind in (Kind.CHOICE, Kind.MANY) else []
    is_remote = len(local) > MOST_LOCAL or field.is_hidden
    return {
        "key": field.key, "label": str(field.label), "group": str(field.group), "kind": field.kind.value, "unit": str(field.unit),
        "operators": list(fields.OPERATORS[field.kind]), "least": field.least, "hidden": not fields.may_ask(field, ask.scope), "remote": is_remote,
        "options": [] if is_remote else [[value, label] for value, label in local],
    }  # fmt: skip


def labels_in(rule: Any, ask: Ask) -> dict[str, dict[str, str]]:
    """Labels of all values that a rule names, by field: for chips of options that are looked up."""
    found: dict[str, dict[str, str]] = {}
    for key, values in _named(rule):
        field = fields.get(key)
        if field is not None:
            known = fields.labels(field, ask, [v for v in values if isinstance(v, (int, str))])
            found.setdefault(key, {}).update({str(value): label for value, label in known.items()})
    return found


def _named(rule: Any) -> Iterator[tuple[str, list[Any]]]:
    if not isinstance(rule, dict):
        return
    for child in rule.get("of") or ():
        yield from _named(child)
    if isinstance(rule.get("value"), list) and isinstance(rule.get("field"), str):
        yield rule["field"], rule["value"]
    for name, key in WINDOW_LISTS.items():
        if isinstance(rule.get(name), list):
            yield key, rule[name]


# --- as text ----------------------------------------------------------------------------------------------------------


def lines(node: Node, ask: Ask, depth: int = 0) -> list[Line]:
    if isinstance(node, Condition):
        return [Line(depth, condition_text(node, ask), is_group=False)]
    head = Line(depth, str(GROUPS[node.op]), is_group=True)
    return [head, *(line for child in node.of for line in lines(child, ask, depth + 1))]


def reasons(found: list[Reason], ask: Ask) -> list[Line]:
    """The same lines with what holds for one member, and her answer."""
    shown = []
    for one in found:
        if isinstance(one.node, Condition):
            text, answer = condition_text(one.node, ask), answer_text(one.node, one.answer)
            shown.append(Line(one.depth, text, is_group=False, holds=one.holds, answer=answer))
        else:
            shown.append(Line(one.depth, str(GROUPS[one.node.op]), is_group=True, holds=one.holds))
    return shown


def condition_text(condition: Condition, ask: Ask) -> str:
    field, op = condition.field, condition.op
    if field.kind is Kind.PURCHASES:
        return _purchases_text(condition, ask)
    if field.kind is Kind.FLAG:
        return f"{field.label}：{OPERATORS[op]}"
    return f"{field.label} {_comparison_text(condition, ask)}"


def answer_text(condition: Condition, answer: str | None) -> str:
    """Her answer as it came from the database, for people."""
    field = condition.field
    if field.kind is Kind.FLAG:
        return ""
    if answer is None or answer == "":
        return _("nothing")
    if field.kind is Kind.MONEY or (condition.window is not None and condition.window["measure"] == "fen"):
        return f"¥{yuan(int(answer))}"
    if field.key == "stage":
        return str(Stage(answer).label)
    for value, label in field.choices:
        if str(value) == answer:
            return str(label)
    return f"{answer} {field.unit}".strip()


def _comparison_text(condition: Condition, ask: Ask) -> str:
    op, value, field = condition.op, condition.value, condition.field
    word = str(OPERATORS[op])
    if "…" in word:
        return word.replace("…", str(value))
    if op == "known":
        return word
    if op == "months":
        return f"{word} {'、'.join(map(str, value))}"
    if isinstance(value, list) and field.kind in (Kind.CHOICE, Kind.MANY):
        return f"{word} {_names(field, value, ask)}"
    if op == "between":
        return f"{word} {_amount(condition, value[0])} ~ {_amount(condition, value[1])}"
    return f"{word} {_amount(condition, value)}"


def _amount(condition: Condition, value: Any) -> str:
    measure = condition.window["measure"] if condition.window is not None else ""
    if condition.field.kind is Kind.MONEY or measure == "fen":
        return f"¥{yuan(value)}"
    return f"{value} {condition.field.unit}".strip()


def _names(field: Field, values: Any, ask: Ask) -> str:
    known = fields.labels(field, ask, list(values))
    return "、".join(known.get(value, str(value)) for value in values)


def _purchases_text(condition: Condition, ask: Ask) -> str:
    window = condition.window
    assert window is not None
    if "between" in window:
        first, last = window["between"]
        when = f"{first} ~ {last}"
    else:
        when = str(OPERATORS["within_days"]).replace("…", str(window["days"]))
    parts = [f"{condition.field.label}：{when}"]
    for name, text in LISTS.items():
        if window.get(name):
            field = fields.get(WINDOW_LISTS[name])
            assert field is not None
            parts.append(f"{text} {_names(field, window[name], ask)}")
    return f"{'，'.join(parts)}，{MEASURES[window['measure']]} {_comparison_text(condition, ask)}"
