"""``manage.py up``: starts everything, is told once, stops in order and leaves nothing, a second time within ten seconds."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scrm.embedded.supervisor import Child, Interrupted, Supervisor

ROOT = Path(__file__).resolve().parents[2]
FIRST_SECONDS = 300  # migrates; the machine may be busy with other tests


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    var = Path(tempfile.mkdtemp(prefix="scrm-up-"))
    var.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    keys = {
        name: os.environ[name] for name in ("SECRET_KEY", "MOBILE_SEAL_KEYS", "MOBILE_INDEX_KEY", "SECRET_SEAL_KEYS")
    }
    yield {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SCRM_VAR": str(var), "WEB_PORT": port, **keys}
    for process in ours(str(var)):
        process.kill()
    shutil.rmtree(var)


def ours(var: str) -> list[psutil.Process]:
    """Every living process that was started for this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if (process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SCRM_VAR") == var) or any(
                var in word for word in process.cmdline()
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def up(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "up", "--empty"], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def read_until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "系统已就绪" in line:
            return lines
    raise AssertionError("".join(lines))


def test_it_starts_answers_stops_and_starts_again_quickly(environment: dict[str, str]) -> None:
    first = up(environment)
    read_until_ready(first)
    with urllib.request.urlopen(f"http://127.0.0.1:{environment['WEB_PORT']}/readyz", timeout=20) as answer:
        assert answer.read() == b'{"database": true, "broker": true}'
    second = subprocess.run(
        [sys.executable, "manage.py", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0
    assert "系统已经在运行" in second.stdout
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 0, output
    assert "已全部停止" in output
    assert ours(environment["SCRM_VAR"]) == []

    again = up(environment)
    started = time.monotonic()
    lines = read_until_ready(again)
    assert time.monotonic() - started < 30, lines  # 10 on an idle machine
    again.terminate()
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert ours(environment["SCRM_VAR"]) == []


def test_a_killed_supervisor_leaves_nothing_after_the_next_run(environment: dict[str, str]) -> None:
    first = up(environment)
    read_until_ready(first)
    first.kill()
    first.wait()
    second = up(environment)
    read_until_ready(second)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert second.returncode == 0
    deadline = time.monotonic() + 30  # an orphan of the first run may be the last to leave
    while left := ours(environment["SCRM_VAR"]):
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        time.sleep(0.1)


def test_a_taken_port_is_one_sentence_with_the_remedy(environment: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", int(environment["WEB_PORT"])))
        holder.listen()
        result = up(environment)
        output, _ = result.communicate(timeout=60)
    assert result.returncode == 1
    assert output.count("\n") == 1
    assert f"WEB_PORT={int(environment['WEB_PORT']) + 1} bin/up" in output
    assert not (Path(environment["SCRM_VAR"]) / "postgres").exists()


def script(text: str) -> Child:
    return Child("child", [sys.executable, "-c", text])


def test_children_stop_in_reverse_order(capfd: pytest.CaptureFixture[str]) -> None:
    text = "import signal,sys,time; signal.signal(15, lambda *a: (print('bye {0}'), sys.exit())); print('up {0}'); time.sleep(60)"
    with Supervisor() as supervisor:
        supervisor.start(script(text.format("one")))
        supervisor.start(script(text.format("two")))
        output = ""
        while output.count("up") < 2:
            output += capfd.readouterr().out
            time.sleep(0.02)
    output += capfd.readouterr().out
    assert output.index("bye two") < output.index("bye one")
    assert "child │ " in output


def test_a_child_that_ends_by_itself_is_reported() -> None:
    with Supervisor() as supervisor:
        supervisor.start(script("import time; time.sleep(60)"))
        supervisor.start(script("raise SystemExit(3)"))
        ended = supervisor.watch()
    assert ended is supervisor.children[1]
    assert ended.process is not None
    assert ended.process.returncode == 3


def test_a_deaf_child_and_its_own_children_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrm.embedded.supervisor.GRACE_SECONDS", 0.3)
    text = "import os,signal,time; signal.signal(15, signal.SIG_IGN); os.fork(); time.sleep(60)"
    with Supervisor() as supervisor:
        child = script(text)
        supervisor.start(child)
        time.sleep(0.5)
        assert child.process is not None
        group = child.process.pid
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # init reaps the grandchild in its own time
            os.killpg(group, 0)
            if all(p.status() == psutil.STATUS_ZOMBIE for p in psutil.process_iter() if os.getpgid(p.pid) == group):
                raise ProcessLookupError
            time.sleep(0.05)


def test_a_signal_during_preparation_ends_it_at_once() -> None:
    with pytest.raises(Interrupted), Supervisor():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
