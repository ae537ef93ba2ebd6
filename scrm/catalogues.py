"""Translations without GNU gettext, which a clean machine lacks: Babel extracts, checks and compiles.

Our own words stand in ``scrm/locale``; ``scrm/locale_vendor`` translates libraries that ship no Chinese.
"""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages import extract as babel
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation import template
from django.utils.translation.reloader import translation_file_changed

APPS = ("scrm", "members", "guides", "campaigns", "attribution")
OURS = Path("scrm/locale/zh_Hans/LC_MESSAGES/django.po")
KEYWORDS: Any = {
    "_": None, "gettext": None, "gettext_lazy": None, "gettext_noop": None,
    "ngettext": (1, 2), "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2), "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3), "npgettext_lazy": ((1, "c"), 2, 3),
}  # fmt: skip
LITERAL = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
PLACEHOLDER = re.compile(r"%\(\w+\)[sdif]|%[sd]|\{\w*\}")
TEMPLATE_CALL = re.compile(rf"\b(_|gettext|ngettext|pgettext|npgettext)\(\s*({LITERAL}(?:\s*,\s*{LITERAL})*)", re.S)


def extract(root: Path) -> Catalog:
    """Every message that the code and the templates of ``root`` contain."""
    catalog = Catalog(locale="zh_Hans", charset="utf-8", fuzzy=False)
    for path in _python_files(root):
        with path.open("rb") as file:
            for _line, message, comments, context in babel.extract("python", file, KEYWORDS, ("Translators:",)):
                catalog.add(message, None, [(_name(path, root), 1)], auto_comments=comments, context=context)
    for path in _template_files(root):
        for message, context in messages_of_template(path.read_text(encoding="utf-8")):
            catalog.add(message, None, [(_name(path, root), 1)], context=context)
    return catalog


def messages_of_template(source: str) -> Iterator[tuple[str | tuple[str, str], str | None]]:
    """Django turns a template into calls of gettext with everything else blanked out."""
    for function, arguments in TEMPLATE_CALL.findall(template.templatize(source)):
        words = ast.literal_eval(f"({arguments},)")
        context = words[0] if function in ("pgettext", "npgettext") else None
        words = words[1:] if context is not None else words
        yield (words[:2] if function in ("ngettext", "npgettext") else words[0]), context


def update(root: Path) -> Catalog:
    """Write the messages of the code into our catalogue and keep their translations; what the code dropped goes."""
    found, known = extract(root), read(root / OURS)
    for message in _messages(found):
        translated = known.get(message.id, message.context)
        if translated is not None:
            message.string = translated.string
            message.flags |= translated.flags & {"fuzzy"}
    (root / OURS).parent.mkdir(parents=True, exist_ok=True)
    with (root / OURS).open("wb") as file:
        write_po(file, found, width=120, sort_output=True, omit_header=False, include_lineno=False)
    return found


def problems(root: Path) -> list[str]:
    """What keeps the console from speaking Chinese throughout, one sentence for each message."""
    found, known = extract(root), read(root / OURS)
    sentences = [f"not in the catalogue: {m.id!r}" for m in _messages(found) if known.get(m.id, m.context) is None]
    sentences += [f"no longer in the code: {m.id!r}" for m in _messages(known) if found.get(m.id, m.context) is None]
    for path in catalogue_files(root):
        catalogue = read(path)
        name = _name(path, root)
        sentences += [f"{name}: not translated: {m.id!r}" for m in _messages(catalogue) if not _is_translated(m)]
        sentences += [f"{name}: fuzzy: {m.id!r}" for m in _messages(catalogue) if m.fuzzy]
        sentences += [f"{name}: other placeholders: {m.id!r}" for m in _messages(catalogue) if _loses_placeholders(m)]
    return sentences


def compile_all(root: Path) -> int:
    """Write the .mo beside each .po that is newer; the number written. This process speaks the new ones at once."""
    written = 0
    for path in catalogue_files(root):
        target = path.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= path.stat().st_mtime:
            continue
        unfinished = target.with_suffix(f".mo.{os.getpid()}")
        with unfinished.open("wb") as file:
            write_mo(file, read(path))
        unfinished.rename(target)
        translation_file_changed(None, target)  # what was loaded before is forgotten
        written += 1
    return written


def catalogue_files(root: Path) -> list[Path]:
    folders = [Path(folder) for folder in settings.LOCALE_PATHS]
    return sorted(
        path for folder in folders if folder.is_relative_to(root) for path in folder.glob("*/LC_MESSAGES/*.po")
    )


def read(path: Path) -> Catalog:
    if not path.exists():
        return Catalog(locale="zh_Hans", charset="utf-8", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale="zh_Hans")


def _messages(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def _is_translated(message: Message) -> bool:
    return bool(_forms(message)) and all(_forms(message))


def _forms(message: Message) -> tuple[str, ...]:
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (message.string or "",)


def _loses_placeholders(message: Message) -> bool:
    """Babel's own check passes a translation without any."""
    if not _is_translated(message):
        return False
    plural = message.id[-1] if isinstance(message.id, (tuple, list)) else message.id
    return any(Counter(PLACEHOLDER.findall(form)) != Counter(PLACEHOLDER.findall(plural)) for form in _forms(message))


def _python_files(root: Path) -> Iterator[Path]:
    for app in APPS:
        yield from (path for path in sorted((root / app).rglob("*.py")) if "migrations" not in path.parts)


def _template_files(root: Path) -> Iterator[Path]:
    yield from sorted(path for suffix in ("html", "txt") for path in (root / "templates").rglob(f"*.{suffix}"))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
