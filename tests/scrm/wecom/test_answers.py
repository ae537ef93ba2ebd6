"""A field that WeCom documents and leaves out, or that is of another kind, is told by its place and never by its content."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import importlib
import pkgutil
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrm import wecom as package
from scrm.models import WecomApp
from scrm.wecom import acquisition, client, errors, pace
from tests.scrm.wecom.conftest import Wecom
from tests.scrm.wecom.documented import NOT_READ, READ, Ask

GONE: Any = object()
WRONG: tuple[Any, ...] = (GONE, None, "", 0, [], {}, "x", [0], [None], ["x"], [{}], {"x": 1}, -1, 10**30, True, 1.5)
SECRETS = ("晚风", "ca/1", "13800000000", "a@b.cn")
NAMES = [f"{number} {path}" for number, (path, *_more) in enumerate(READ)]


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each field and to each element of a list, at every depth."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*way, key)
        yield from places(one, (*way, key))


def changed(answer: dict[str, Any], way: tuple[Any, ...], put: Any) -> dict[str, Any]:
    """The answer with one field, or one element, replaced or gone."""
    whole = copy.deepcopy(answer)
    holder: Any = whole
    for key in way[:-1]:
        holder = holder[key]
    if put is GONE:
        del holder[way[-1]]
    else:
        holder[way[-1]] = put
    return whole


def test_every_answer_that_is_read_is_here() -> None:
    found = {
        f"{module.name}.{name}": value.path
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
        for name, value in vars(importlib.import_module(f"scrm.wecom.{module.name}")).items()
        if isinstance(value, client.Endpoint)
    }
    assert set(found) >= NOT_READ
    assert {path for name, path in found.items() if name not in NOT_READ} == {path for path, *_more in READ}


@pytest.mark.parametrize(("path", "answer", "ask"), READ, ids=NAMES)
def test_any_one_field_may_be_anything(
    wecom: Wecom, app: WecomApp, monkeypatch: pytest.MonkeyPatch, path: str, answer: dict[str, Any], ask: Ask
) -> None:
    """A value of the kind that the method promises, or Malformed that names the endpoint and the place; nothing else."""
    monkeypatch.setattr(pace, "CALLS_PER_SECOND", 1e6)
    said: dict[str, Any] = {}
    wecom.on(path, lambda request: copy.deepcopy(said))
    said.update(answer)
    assert is_sound(ask(app))

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(list(places(answer))), st.sampled_from(WRONG))
    def holds(way: tuple[Any, ...], put: Any) -> None:
        said.clear()
        said.update(changed(answer, way, put))
        given, error = heard(ask, app)
        if error is None:
            assert is_sound(given), said
            return
        assert error.endpoint == path
        names = [str(key) for key in way if not isinstance(key, int)]
        told = error.detail.split(".")
        is_there = told[: len(names)] == names or names[: len(told)] == told
        assert is_there or told[0] not in said, (way, error.detail)  # without a userid there should have been an openid
        assert not any(secret in error.message for secret in SECRETS)

    holds()


def heard(ask: Ask, app: WecomApp) -> tuple[Any, errors.Malformed | None]:
    try:
        return ask(app), None
    except errors.Malformed as error:
        return None, error


def is_sound(value: Any) -> bool:
    """Whether every record in what a method gives holds what its own annotations promise."""
    if dataclasses.is_dataclass(value):
        kinds = typing.get_type_hints(type(value))
        return all(_is_of(getattr(value, name), kind) for name, kind in kinds.items())
    if isinstance(value, dict):
        return all(map(is_sound, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(is_sound, value))
    return isinstance(value, str | int | dt.date)


def _is_of(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(value, one) for one in typing.get_args(kind))
    if origin is not None:  # a sequence of one kind, or a tuple of several
        inner = typing.get_args(kind)
        kinds = inner if origin is tuple and Ellipsis not in inner else inner[:1] * len(value)
        return isinstance(value, list | tuple) and all(map(_is_of, value, kinds)) and len(value) == len(kinds)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return isinstance(value, kind) and is_sound(value)
    if kind is float:
        return isinstance(value, float | int)
    return isinstance(value, kind)


def test_the_place_of_a_missing_field_is_told(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/customer_acquisition/create_link", {"link": {"link_id": "ca1"}})
    with pytest.raises(errors.Malformed, match=r"link\.url"):
        acquisition.create(app, name="开业", userids=["a"])


def test_numbers_come_as_digits_too(wecom: Wecom, app: WecomApp) -> None:
    row = {"link_id": "ca1", "url": "u", "create_time": "1767225600", "skip_verify": "0"}
    wecom.on("externalcontact/customer_acquisition/get", {"link": row, "range": {"department_list": ["7"]}})
    link = acquisition.get(app, "ca1")
    assert link.created_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert (link.skip_verify, link.department_ids) == (False, (7,))


def test_what_nobody_reads_may_be_anything(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("externalcontact/customer_acquisition/get", {"link": {"link_id": "ca1"}, "customer": 7, "order": [1, 2]})
    assert acquisition.get(app, "ca1").id == "ca1"
