"""Findings: a code, whom it is about, and the facts of its sentence. The code says how grave it is.

Rows keep codes and facts, so a finding is read in the reader's language and a better sentence reaches the old ones too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

OK, WARNING, ERROR = "ok", "warning", "error"
LEVELS = (ERROR, WARNING, OK)  # as a reader wants them


@dataclass(frozen=True, slots=True)
class Sentence:
    """What was seen, and what a person does about it; ``%(fact)s`` are the finding's facts."""

    level: str
    seen: Any
    remedy: Any = ""


@dataclass(frozen=True)
class Finding:
    """``subject`` tells findings of one code apart: the app, the callback. ``areas`` are codes of ``areas.AREAS``."""

    code: str
    subject: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    areas: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.code} {self.subject}".strip()

    @property
    def level(self) -> str:
        return _sentence(self.code).level

    @property
    def seen(self) -> str:
        return self._worded(_sentence(self.code).seen)

    @property
    def remedy(self) -> str:
        return self._worded(_sentence(self.code).remedy)

    def _worded(self, text: Any) -> str:
        return str(text) % {"subject": self.subject, **_shown(self)} if text else ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self)

    def as_json(self) -> dict[str, Any]:
        return {"key": self.key, "level": self.level, "seen": self.seen, "remedy": self.remedy}


def of_row(row: dict[str, Any]) -> Finding:
    return Finding(row["code"], row["subject"], row["facts"], tuple(row["areas"]))


def merged(found: Iterable[Finding]) -> list[Finding]:
    """One finding per code and subject with the areas of all, the gravest first."""
    kept: dict[str, Finding] = {}
    for one in found:
        before = kept.get(one.key)
        areas = tuple(dict.fromkeys((*before.areas, *one.areas))) if before else one.areas
        kept[one.key] = Finding(one.code, one.subject, one.facts, areas)
    return sorted(kept.values(), key=lambda one: LEVELS.index(one.level))


_sentences: dict[str, Sentence] = {}
_UNKNOWN = Sentence(WARNING, gettext_lazy("A finding of another version: %(subject)s"))


def say(sentences: dict[str, Sentence]) -> None:
    """The sentences of more codes."""
    _sentences.update(sentences)


def codes() -> dict[str, Sentence]:
    return dict(_sentences)


def _sentence(code: str) -> Sentence:
    return _sentences.get(code, _UNKNOWN)


def _shown(finding: Finding) -> dict[str, Any]:
    from scrm.wecom.diagnosis.areas import AREAS, MENUS  # their sentences come through here

    comma = _(", ")
    areas = [AREAS[name] for name in finding.areas if name in AREAS]
    facts: dict[str, Any] = {
        **{name: comma.join(fact) if isinstance(fact, list) else fact for name, fact in finding.facts.items()},
        "areas": comma.join(str(area.label) for area in areas),
        "features": comma.join(dict.fromkeys(str(area.features) for area in areas)),
    }
    if "kind" in facts:
        facts["menu"] = str(MENUS[facts["kind"]]) % {"app": finding.subject}
    if "seconds" in facts:
        facts["age"] = age(facts["seconds"])
    return facts


def age(seconds: float) -> str:
    """“3 hours”: how long ago, roughly."""
    if seconds < 120:
        return _("%(count)s seconds") % {"count": int(seconds)}
    if seconds < 2 * 3600:
        return _("%(count)s minutes") % {"count": int(seconds // 60)}
    if seconds < 2 * 86_400:
        return _("%(count)s hours") % {"count": int(seconds // 3600)}
    return _("%(count)s days") % {"count": int(seconds // 86_400)}
