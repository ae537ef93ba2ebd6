"""No mobile number and no secret reaches a log, whichever way it comes."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from scrm import logs

NUMBER = "13912345678"


@pytest.fixture(params=[True, False], ids=["json", "readable"])
def output(request: pytest.FixtureRequest) -> Iterator[StringIO]:
    """What a handler with our formatter writes."""
    formatter = logs.configuration(level="INFO", as_json=request.param)["formatters"]["line"]
    handler = logging.StreamHandler(StringIO())
    configurator = logging.config.DictConfigurator({"version": 1})
    handler.setFormatter(configurator.configure_formatter(formatter))
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel("INFO")
    yield handler.stream
    logger.removeHandler(handler)


def bound() -> structlog.stdlib.BoundLogger:
    plain = logging.getLogger("tests.logs")
    return structlog.wrap_logger(plain, processors=logs.PROCESSORS, wrapper_class=structlog.stdlib.BoundLogger)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (NUMBER, "139****5678"),
        (f"+86{NUMBER}", "+86139****5678"),
        (f"86 {NUMBER}", "86 139****5678"),
        (f"电话{NUMBER}。", "电话139****5678。"),
        ("order 20261122139123456789", "order 20261122139123456789"),
        ("12345678901", "12345678901"),
    ],
)
def test_mobile_numbers_are_masked_and_order_numbers_are_not(text: str, hidden: str) -> None:
    assert logs.hide_mobiles(text) == hidden


def test_a_number_in_a_message_a_field_or_a_traceback_is_masked(output: StringIO) -> None:
    bound().info("found", text=f"call {NUMBER}")
    logging.getLogger("tests.logs").info("found %s", NUMBER)
    try:
        raise ValueError(f"bad number {NUMBER}")
    except ValueError:
        bound().exception("failed")
    written = output.getvalue()
    assert NUMBER not in written
    assert written.count("139****5678") >= 3
    assert "ValueError" in written


def test_secrets_are_hidden_by_their_names(output: StringIO) -> None:
    bound().info("asked", access_token="t0p", password="hunter2", mobile="x", corp="chain")
    assert "t0p" not in output.getvalue()
    assert "hunter2" not in output.getvalue()
    assert "chain" in output.getvalue()


def test_a_request_is_one_line_without_its_query(output: StringIO) -> None:
    bound().info("request_started", request="GET /admin/?q=王小明")
    bound().info("request_finished", request="GET /admin/?q=王小明", code=200)
    lines = output.getvalue().strip().splitlines()
    assert len(lines) == 1
    assert "王小明" not in lines[0]
    assert "/admin/" in lines[0]


def test_a_task_is_one_line(output: StringIO) -> None:
    for said in ("task_enqueued", "task_started", "task_succeeded"):
        bound().info(said, task="scrm.tasks.sweep_jobs")
    lines = output.getvalue().strip().splitlines()
    assert len(lines) == 1
    assert "task_succeeded" in lines[0]


def test_production_lines_are_json() -> None:
    render = logs.configuration(level="INFO", as_json=True)["formatters"]["line"]["processors"][-1]
    assert json.loads(render(None, "info", {"event": "门店", "n": 1})) == {"event": "门店", "n": 1}


def test_error_reports_carry_no_values() -> None:
    frame = {"function": "f", "vars": {"mobile": NUMBER}}
    report = {
        "exception": {"values": [{"value": f"no {NUMBER}", "stacktrace": {"frames": [frame]}}]},
        "request": {
            "url": "https://x/",
            "data": {"q": NUMBER},
            "cookies": "c",
            "headers": {"A": "b"},
            "query_string": "q",
        },
        "logentry": {"message": f"m {NUMBER}", "params": [NUMBER]},
    }
    assert NUMBER not in json.dumps(logs.scrub_report(report, {}))
