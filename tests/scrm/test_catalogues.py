"""Extraction finds what code and templates say; the check names what is not translated."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from scrm import catalogues

CODE = """
from django.utils.translation import gettext_lazy as _, ngettext, pgettext
title = _("Store")
count = ngettext("%(n)d row", "%(n)d rows", 2)
role = pgettext("person", "Guide")
"""
TEMPLATE = """{% load i18n %}<p title="it's">{% translate "Open" %} {# no _("comment") #}
{% blocktranslate with name=store.name %}Hello {{ name }}{% endblocktranslate %}
{% blocktranslate count n=rows|length %}one row{% plural %}{{ n }} rows{% endblocktranslate %}
{% translate "May" context "month" %} {{ _("Closed") }}</p>
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Path:
    (tmp_path / "scrm").mkdir()
    (tmp_path / "templates" / "scrm").mkdir(parents=True)
    (tmp_path / "scrm" / "org.py").write_text(CODE)
    (tmp_path / "templates" / "scrm" / "page.html").write_text(TEMPLATE)
    settings.LOCALE_PATHS = [tmp_path / "scrm" / "locale"]
    return tmp_path


def translate(root: Path, **words: str) -> None:
    path = root / catalogues.OURS
    catalogue = catalogues.read(path)
    for message in catalogue:
        if message.id:
            text = words.get(str(message.id).replace(" ", "_"), "译文")
            message.string = (f"译文 {message.id[1]}",) if isinstance(message.id, tuple) else text
    with path.open("wb") as file:
        catalogues.write_po(file, catalogue)


def test_code_and_templates_are_read(root: Path) -> None:
    found = {(message.context, message.id) for message in catalogues.extract(root) if message.id}
    assert found == {
        (None, "Store"),
        (None, ("%(n)d row", "%(n)d rows")),
        ("person", "Guide"),
        (None, "Open"),
        (None, "Hello %(name)s"),
        (None, ("one row", "%(n)s rows")),
        ("month", "May"),
        (None, "Closed"),
    }


def test_missing_untranslated_and_unused_messages_are_named(root: Path) -> None:
    assert "not in the catalogue: 'Store'" in catalogues.problems(root)
    catalogues.update(root)
    assert any("not translated: 'Store'" in problem for problem in catalogues.problems(root))
    translate(root, **{"Hello_%(name)s": "你好 %(name)s"})
    assert catalogues.problems(root) == []
    (root / "scrm" / "org.py").write_text("")
    assert "no longer in the code: 'Store'" in catalogues.problems(root)


def test_a_fuzzy_translation_and_a_lost_placeholder_are_named(root: Path) -> None:
    catalogues.update(root)
    translate(root)
    assert any("other placeholders: 'Hello %(name)s'" in problem for problem in catalogues.problems(root))
    path = root / catalogues.OURS
    path.write_text(path.read_text().replace('msgid "Store"', '#, fuzzy\nmsgid "Store"'))
    assert any("fuzzy: 'Store'" in problem for problem in catalogues.problems(root))


def test_updating_keeps_translations_and_drops_what_is_gone(root: Path) -> None:
    catalogues.update(root)
    translate(root, Store="门店")
    (root / "scrm" / "org.py").write_text(
        CODE.replace('_("Store")', '_("Store"), _("Region")').replace('"Guide"', '"Clerk"')
    )
    catalogues.update(root)
    catalogue = catalogues.read(root / catalogues.OURS)
    assert catalogue["Store"].string == "门店"
    assert catalogue["Region"].string == ""
    assert catalogue.get("Guide", "person") is None


def test_only_newer_catalogues_are_compiled(root: Path) -> None:
    catalogues.update(root)
    assert catalogues.compile_all(root) == 1
    assert catalogues.compile_all(root) == 0
    assert (root / catalogues.OURS).with_suffix(".mo").exists()
