"""Migrations that would lock or break a running system are named; on tables of the same release nobody waits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scrm.management.commands.check_migrations import problems, released_migrations, tables_of

BLOCKING = 'BEGIN;\n--\n-- Add index\n--\nCREATE INDEX "by_name" ON "shop_store" ("name");\nCOMMIT;\n'


def names(sql: str, *, new: set[str] | None = None, atomic: bool = True) -> list[str]:
    return [problem.split(": ")[1] for problem in problems(sql, name="shop.0002", new=new or set(), atomic=atomic)]


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        (BLOCKING, "require-concurrent-index-creation"),
        ('ALTER TABLE "shop_store" RENAME COLUMN "a" TO "b";', "renaming-column"),
        ('ALTER TABLE "shop_store" DROP COLUMN "a";', "ban-drop-column"),
        ('ALTER TABLE "shop_store" ADD COLUMN "a" integer NOT NULL;', "adding-required-field"),
        ('ALTER TABLE "shop_store" ALTER COLUMN "a" TYPE text;', "changing-column-type"),
        ('DROP TABLE "shop_store";', "ban-drop-table"),
    ],
)
def test_what_blocks_or_breaks_is_named(sql: str, rule: str) -> None:
    assert rule in names(sql)
    assert names(sql, new={"shop_store"}) == []
    assert rule in names(sql, new={"shop_region"})


def test_an_index_built_beside_the_work_passes() -> None:
    assert names('CREATE INDEX CONCURRENTLY "by_name" ON "shop_store" ("name");', atomic=False) == []


def test_new_tables_are_found() -> None:
    sql = 'CREATE TABLE "a" (id int); CREATE UNLOGGED TABLE staging_b (id int); ALTER TABLE c RENAME TO c_plain;'
    assert tables_of([sql]) == {"a", "staging_b", "c_plain"}


def test_a_tag_makes_its_migrations_released(tmp_path: Path) -> None:
    def git(*args: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", "-C", tmp_path, *identity, *args], check=True, capture_output=True)

    def add(path: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
        git("add", path)
        git("commit", "-m", path)

    git("init")
    add("shop/migrations/__init__.py")
    add("shop/migrations/0001_initial.py")
    assert released_migrations(tmp_path) == set()
    git("tag", "v1.0")
    add("shop/migrations/0002_more.py")
    assert released_migrations(tmp_path) == {("shop", "0001_initial")}
