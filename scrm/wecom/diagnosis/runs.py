"""A run: every app, every callback, what waits here, and the checks of upper apps; kept as a row."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from scrm import jobs
from scrm.jobs import Progress
from scrm.models import Corp, Job, WecomApp, WecomCheck
from scrm.wecom.diagnosis import areas, backlog, reach, rules, sentences
from scrm.wecom.diagnosis.asking import ANSWERED, Asking, Budget, Outcome
from scrm.wecom.diagnosis.findings import ERROR, WARNING, Finding, merged, of_row

KIND = "wecom_check"
KEPT = 30  # runs per corp
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)
REQUIRED = (  # kind of app, what it means that there is none
    (WecomApp.Kind.SELF_BUILT, "app.no_self_built"),
    (WecomApp.Kind.CONTACT_SYNC, "app.no_contact_sync"),
    (WecomApp.Kind.MINI_PROGRAM, "app.no_mini_program"),
)

log = structlog.get_logger(__name__)
sentences.say_all()


@dataclass
class Seen:
    """What WeCom told during the run, for the checks of upper apps. ``followers``: None when it could not be asked."""

    corp: Corp
    now: dt.datetime
    followers: frozenset[str] | None = None  # in lower case
    budget: Budget = field(default_factory=Budget)


Check = Callable[[Seen], Iterable[Finding]]
Tell = Callable[[str, int, int | None], None]
_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Called from ``AppConfig.ready``; asks our own rows only."""
    _checks[name] = check


# --- one run ----------------------------------------------------------------------------------------------------------


def run(corp: Corp, *, tell: Tell = lambda stage, done, total: None) -> WecomCheck:
    """Look at everything now and keep what was found."""
    began, seen = time.monotonic(), Seen(corp, timezone.now())
    apps = list(WecomApp.objects.filter(corp=corp).select_related("corp").order_by("pk"))
    total = sum(len(areas.OF_KIND[app.kind]) for app in apps)
    found = [Finding(code, corp.name) for kind, code in REQUIRED if not any(app.kind == kind for app in apps)]
    done = 0
    for app in apps:
        for one in _of_app(app, seen):
            found.append(one)
            done = min(total, done + 1)
            tell("ask_wecom", done, total)
    tell("call_ourselves", 0, 1)
    found += reach.findings(corp, seen.budget)
    tell("look_here", 0, 1)
    found += backlog.findings(corp, seen.now)
    for name, check in _checks.items():
        found += _guarded(name, check, seen)
    return _keep(corp, merged(found), seen.now, time.monotonic() - began)


def _guarded(name: str, check: Check, seen: Seen) -> list[Finding]:
    """A check that fails is a finding: the others still say what they saw."""
    try:
        return list(check(seen))
    except Exception as error:
        log.exception("wecom_check_failed", check=name)
        return [Finding("check.failed", name, {"error": type(error).__name__})]


def _of_app(app: WecomApp, seen: Seen) -> Iterator[Finding]:
    asking = Asking(app, seen.budget)
    outcome = asking.token()
    yield rules.token(app, outcome)
    if outcome.kind != ANSWERED:
        return
    follower = ""
    for name in areas.OF_KIND[app.kind]:
        what = areas.AREAS[name]
        if what.needs_follower and not follower:
            continue
        outcome = asking.ask(what.endpoint, what.values(areas.Ground(app, seen.now, follower)))
        yield rules.area(app, name, outcome)
        if rules.is_final(outcome):
            return
        if outcome.kind == ANSWERED:
            yield from _said(app, name, outcome, asking, seen)
            if name == "customers":
                follower = str(next(iter(outcome.values.get("follow_user") or ()), ""))
    yield Finding("ip.ok", app.name)


def _said(app: WecomApp, name: str, outcome: Outcome, asking: Asking, seen: Seen) -> Iterator[Finding]:
    """What an answer says beside that it was allowed."""
    answer = outcome.values
    if name == "customers":
        userids = [str(userid).lower() for userid in answer.get("follow_user") or ()]
        seen.followers = (seen.followers or frozenset()) | frozenset(userids)
        yield rules.followers(app, userids)
    elif name == "details":
        rows = [row.get("external_contact") or {} for row in answer.get("external_contact_list") or ()]
        yield rules.unionids(app, rows, _proof(rows, asking))
    elif name == "tags":
        yield rules.tags(app, answer)
    elif name == "mass":
        yield rules.mass_sends(app, answer, seen.now.astimezone(areas.SHANGHAI))
    elif name == "balance" and (found := rules.balance(app, answer)):
        yield found


def _proof(rows: list[dict[str, Any]], asking: Asking) -> Outcome | None:
    """WeCom says 41057 to a question about one customer where no mini-program or Official Account is bound."""
    people = [row for row in rows if row.get("type") == rules.WECHAT]
    if not people or any(row.get("unionid") for row in people):
        return None
    return asking.ask(areas.OPENID, {"external_userid": people[0].get("external_userid", "")})


@transaction.atomic
def _keep(corp: Corp, found: list[Finding], now: dt.datetime, seconds: float) -> WecomCheck:
    before = latest(corp)
    errors = {one.key for one in found if one.level == ERROR}
    known = {one.key for one in findings_of(before) if one.level == ERROR} if before else set()
    check = WecomCheck.objects.create(
        corp=corp,
        ended_at=timezone.now(),
        seconds=round(seconds, 2),
        error_count=len(errors),
        warning_count=sum(one.level == WARNING for one in found),
        findings=[one.as_row() for one in found],
        is_news=bool(errors - known) or bool(errors and before and before.is_news),
    )
    kept = WecomCheck.objects.filter(corp=corp).order_by("-pk").values_list("pk", flat=True)[:KEPT]
    WecomCheck.objects.filter(corp=corp).exclude(pk__in=list(kept)).delete()
    return check


def findings_of(check: WecomCheck) -> list[Finding]:
    """The gravest first."""
    return merged(of_row(row) for row in check.findings)


def latest(corp: Corp) -> WecomCheck | None:
    return WecomCheck.objects.filter(corp=corp).order_by("-pk").first()


# --- when it runs -----------------------------------------------------------------------------------------------------


def work(progress: Progress) -> dict[str, Any]:
    corp = Corp.objects.get(pk=progress.job.params["corp"])
    check = run(corp, tell=_Shown(progress))
    return {"check": check.pk, "errors": check.error_count, "warnings": check.warning_count}


class _Shown:
    """Steps of a run as the stages of its job."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._stage = progress, ""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage != self._stage:
            self._stage = stage
            self._progress.stage(stage, total)
        self._progress.done(done)


def open_job(corp: Corp) -> Job | None:
    return Job.objects.filter(kind=KIND, status__in=OPEN, params__corp=corp.pk).order_by("pk").first()


def start(*, corp: Corp, actor: Any) -> Job:
    """A run by a worker soon; the one under way when there is one."""
    return open_job(corp) or jobs.enqueue(KIND, actor=actor, params={"corp": corp.pk})


def start_daily(*, now: dt.datetime) -> int:
    """One run a day of every corp that has an app; how many corps."""
    day = timezone.localdate(now)
    found = Corp.objects.filter(apps__isnull=False).distinct()
    for corp in found:
        jobs.enqueue(KIND, actor=None, params={"corp": corp.pk}, key=f"{KIND} {corp.pk} {day}")
    return len(found)


# --- what nobody has looked at yet ------------------------------------------------------------------------------------


def news() -> int:
    """Errors of the newest runs that nobody has looked at since they appeared."""
    newest = WecomCheck.objects.order_by("corp_id", "-pk").distinct("corp_id")
    return sum(check.error_count for check in newest.only("error_count", "is_news") if check.is_news)


def look_at(check: WecomCheck) -> None:
    """Somebody who may run it has the run before her."""
    WecomCheck.objects.filter(pk=check.pk, is_news=True).update(is_news=False)
