"""The member import as a whole: against an oracle, killed at any point, and on a company's own list."""

from __future__ import annotations

import json
import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from members import legacy_import
from members.legacy_import import merge
from members.models import Identity, Member
from scrm import crypto, imports, jobs
from scrm.models import Job
from tests.factories.member_lists import HEADER, everything, import_file, import_rows, make_store

# --- an oracle --------------------------------------------------------------------------------------------------------

CARDS = ["", "C1", "C2", "C3", "C4"]
MOBILES = ["", "13900000001", "13900000002", "13900000003", "13900000004"]
ROWS = st.tuples(
    st.sampled_from(CARDS),
    st.sampled_from(["", "", "甲", "乙"]),
    st.sampled_from(MOBILES),
    st.sampled_from(["", "男", "女"]),
    st.sampled_from(["", "", "5", "7"]),
    st.sampled_from(["", "2023-01-01", "2024-01-01"]),
    st.sampled_from(["", "", "红", "蓝|红"]),
)
Row = tuple[str, str, str, str, str, str, str]


class Oracle:
    """The rules in the plainest way: rows one by one, people in dictionaries. Points are judged once per list."""

    def __init__(self) -> None:
        self.owner: dict[str, int] = {}
        self.people: dict[int, dict[str, Any]] = {}
        self.openings: dict[str, str] = {}  # anchor → points

    def take(self, rows: list[Row]) -> int:
        conflicts = 0
        points: dict[int, tuple[str, str, str]] = {}
        cards: dict[int, str] = {}
        for row in rows:
            card, name, mobile, gender, score, day, tags = row
            if not card and not mobile:
                continue
            found = {self.owner[key] for key in (f"c{card}", f"m{mobile}") if len(key) > 1 and key in self.owner}
            if len(found) > 1:
                conflicts += 1
                continue
            person = found.pop() if found else len(self.people)
            member = self.people.setdefault(person, {"name": "", "gender": "", "day": "", "tags": set()})
            self.owner |= {key: person for key in (f"c{card}", f"m{mobile}") if len(key) > 1}
            member["name"] = name or member["name"]
            member["gender"] = {"男": "M", "女": "F", "": member["gender"]}[gender]
            member["day"] = min(filter(None, (day, member["day"])), default="")
            member["tags"] |= set(filter(None, tags.split("|")))
            cards[person] = card or cards.get(person, "")
            if score:
                points[person] = (score, card, mobile)
        for person, (score, card, mobile) in points.items():
            # a line with a card: once for this card and number; without one: only if the person has no opening at all
            opened = {key for key in self.openings if self.owner[key] == person}
            if not (opened.intersection({f"c{card}", f"m{mobile}"}) if card else opened):
                anchor = card or cards[person]
                self.openings[f"c{anchor}" if anchor else f"m{mobile}"] = score
        return conflicts

    def picture(self) -> list[Any]:
        shown = []
        for person, member in self.people.items():
            keys = {key for key, owner in self.owner.items() if owner == person}
            total = sum(int(self.openings[key]) for key in keys if key in self.openings)
            shown.append((sorted(keys), member["name"], member["gender"], member["day"], sorted(member["tags"]), total))
        return sorted(shown)


def picture(numbers: dict[str, str], cards: set[str]) -> list[Any]:
    """The members of these cards and numbers as the oracle shows its people."""
    shown = []
    known = Member.objects.filter(identities__value__in=[*numbers, *cards]).distinct()
    for member in known.prefetch_related("identities", "tags__tag"):
        keys = {f"c{i.value}" if i.kind == "CARD" else f"m{numbers[i.value]}" for i in member.identities.all()}
        tags = sorted(tag.tag.name for tag in member.tags.all())
        day = member.registered_on.isoformat() if member.registered_on else ""
        shown.append((sorted(keys), member.name, member.gender, day, tags, member.points_brought_in))
    return sorted(shown)


examples = count(1)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(ROWS, min_size=1, max_size=12), min_size=1, max_size=3))
def test_lists_one_after_the_other_as_the_oracle_says(tmp_path, lists):
    # every example has people of its own: deleting them within one transaction would leave dead keys to wade through
    number = next(examples)
    cards = {card: f"{card}-{number}" for card in CARDS if card} | {"": ""}
    mobiles = {mobile: f"{mobile[:3]}{number:07d}{mobile[-1]}" for mobile in MOBILES if mobile} | {"": ""}
    indexes = {crypto.mobile_index(f"+86{mobile}"): mobile for mobile in mobiles.values() if mobile}
    oracle = Oracle()
    for rows in lists:
        rows = [(cards[row[0]], row[1], mobiles[row[2]], *row[3:]) for row in rows]
        conflicts = oracle.take(rows)
        for expected_unchanged in (False, True):
            job = import_rows(tmp_path, *map(",".join, rows), header="会员卡号,姓名,手机号,性别,积分,开卡日期,标签")
            assert job.summary["problems"].get("identity_conflict", 0) == conflicts
            assert picture(indexes, set(cards.values())) == oracle.picture()
            assert not expected_unchanged or job.summary["is_unchanged"]


# --- kills ------------------------------------------------------------------------------------------------------------

LIST = [
    *(f"K{n},会员{n},139{n:08d},女,1990-01-01,银卡,{n},S1,,2024-01-0{n % 9 + 1},红|蓝,." for n in range(60)),
    "K3,新名,,,,,,,,,绿,",  # folded into an earlier row
    "Z9,,13900000003,,,,,,,,,",
    "K1,,13900000002,,,,,,,,,",  # a conflict
    "K5,x,139,,,,,,,,,",
]
POINTS = [
    "scrm.copyin.staging._fill",
    "scrm.imports.Run.check",
    "members.legacy_import.persons.resolve",
    "members.legacy_import.persons.fold",
    "members.legacy_import.persons.collect",
    "members.legacy_import.merge.create_tags",
    "members.legacy_import.merge._open_chunk",
    "members.legacy_import.merge._insert_members",
    "members.legacy_import.merge._insert_identities",
    "members.legacy_import.merge._open_points",
    "members.legacy_import.merge._insert_tags_of_new",
    "members.legacy_import.merge._write_chunk",
    "members.legacy_import.unchanged.remember_new",
    "members.legacy_import.unchanged.remember_known",
    "members.legacy_import.merge.write_missing_tags",
    "scrm.imports.Run.summary",
]


def end_sessions() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
        )


def run_and_die(job: Job, point: str, nth: int) -> bool:
    """Run the job in a child process that kills itself after the nth return of ``point``. False: it got to the end."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        end_sessions()  # PostgreSQL notices a client's death only after its statement, and holds the job's lock until then
        return os.WIFSIGNALED(status)
    kept = connection.connection  # the parent's: never closed here, closing would end its session too
    connection.connection = None
    try:
        calls = 0

        def dying(original):
            def call(*args, **kwargs):
                nonlocal calls
                result = original(*args, **kwargs)
                calls += 1
                if calls == nth:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return call

        module, _, name = point.rpartition(".")
        target = imports.Run if module.endswith(".Run") else __import__(module, fromlist=[name])
        setattr(target, name, dying(getattr(target, name)))
        jobs.run(job.pk)
    finally:
        os._exit(0 if kept else 1)


@pytest.mark.django_db(transaction=True)
def test_killed_at_any_point_and_run_again_gives_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "CHUNK_ROWS", 20)
    monkeypatch.setattr(merge.write_persons, "__kwdefaults__", {"chunk_rows": 20})
    make_store("S1")
    path = tmp_path / "list.csv"
    path.write_text("\n".join([HEADER, *LIST]))
    # two members of the list are known before, so that chunks insert and update
    import_rows(tmp_path, "K7,alt,,,,,,,,,黄,", "K8,alt,13900000008,,,,,,,,,", name="before.csv")
    before = dump()
    import_file(path)
    expected = everything()
    for point in POINTS:
        for nth in (1, 2):
            restore(before)
            job = imports.start(kind=legacy_import.KIND, path=str(path), options={})
            died = run_and_die(job, point, nth)
            assert died or nth == 2, f"{point} was not reached"
            connection.close()
            done = jobs.run(job.pk) if died else Job.objects.get(pk=job.pk)
            assert done.status == Job.Status.DONE, point
            assert everything() == expected, (point, nth)
            assert import_file(path).summary["is_unchanged"], (point, nth)


TABLES = ("members_member", "members_identity", "members_pointsopening", "members_membertag", "members_listrow")


def dump() -> dict[str, list[Any]]:
    kept = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
            kept[table] = [[c.name for c in cursor.description], *cursor.fetchall()]
    return kept


def restore(kept: dict[str, list[Any]]) -> None:
    with connection.cursor() as cursor:
        for table in reversed(TABLES):
            cursor.execute(f"DELETE FROM {table}")
        for table in TABLES:
            names, *rows = kept[table]
            places = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)


@pytest.mark.django_db(transaction=True)
def test_a_number_linked_by_somebody_else_meanwhile(tmp_path, monkeypatch):
    """Between matching and writing a member registers with a number of the list: the rows are matched anew."""

    make_store("S1")
    original, calls = merge.write_persons, []

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        if not calls:
            brand = kwargs["brand"]
            member = Member.objects.create(brand=brand, name="online")
            number = "+8613900000001"
            Identity.objects.create(
                member=member,
                kind="MOBILE",
                namespace=brand.code,
                value=crypto.mobile_index(number),
                sealed=crypto.seal_mobile(number),
            )
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(merge, "write_persons", meanwhile)
    job = import_rows(tmp_path, "A1,list,13900000001,,,,,,,,,", "A2,other,,,,,,,,,,")
    assert job.status == Job.Status.DONE and len(calls) == 2
    member = Identity.objects.get(kind="CARD", value="A1").member
    assert member.identities.count() == 2 and member.name == "list" and Member.objects.count() == 2


# --- a company's own list ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_company_list(company_data: Path, capsys):
    expected = json.loads((company_data / "expected.json").read_text())
    call_command("import_stores", company_data / "stores.csv")
    call_command("import_guides", company_data / "guides.csv")
    capsys.readouterr()
    call_command("import_members", company_data / "members_legacy.gb18030.csv", "--json")
    assert json.loads(capsys.readouterr().out) == expected["dirty_rows"]
    job = Job.objects.get(kind=legacy_import.KIND)
    assert job.summary["rows"] == expected["member_file_rows"]
    assert Member.objects.count() == job.summary["created"] == expected["members_valid"]
    reported = sum(count for code, count in expected["dirty_rows"].items() if code != "exact_duplicate")
    assert job.problems.count() == reported
    before = everything()
    call_command("import_members", company_data / "members_legacy.gb18030.csv")
    assert Job.objects.filter(kind=legacy_import.KIND).latest("pk").summary["is_unchanged"] and everything() == before
