"""Planning a mass send to a million members: everybody judged, given to one guide, cut into tasks and written.

The floor, in the same run and on the same server: the same recipient rows written again from a plain table, with all indexes,
constraints and triggers in place; nobody is judged and nothing is chosen there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.utils import timezone

from campaigns import sends
from campaigns.models import ContactBudget, Recipient, Send, SendBatch
from members.models import Audience, AudienceSnapshot, AudienceVersion
from scrm import bench
from scrm.models import Brand, Corp
from scrm.owner import as_owner

Say = Callable[[str], None]

# Nine in ten members are friends of the guide who serves her, one in five of another one too; one in fifty has said no.
FRIENDS = """
    INSERT INTO guides_contact (corp_id, external_userid, kind, name, gender, unionid, mobile_index, member_id, linked_by, linked_at)
    SELECT {corp}, 'wmBENCH' || m.id, 1, m.name, 0, '', '', m.id, 'MOBILE', now() FROM members_member m WHERE m.id % 10 <> 0;

    CREATE TEMPORARY TABLE bench_guide AS
    SELECT g.id, lower(g.code) AS userid, row_number() OVER (ORDER BY g.id) - 1 AS place FROM guides_guide g;

    INSERT INTO guides_friendship (contact_id, corp_id, userid, guide_id, is_confirmed, added_at, add_way, state, oper_userid, tag_ids, ended_by)
    SELECT c.id, {corp}, g.userid, g.id, true, now() - interval '30 days', 1, '', '', '{{}}', ''
    FROM guides_contact c
    LEFT JOIN guides_binding b ON b.member_id = c.member_id AND b.ended_at IS NULL
    JOIN bench_guide g ON CASE WHEN b.guide_id IS NULL THEN g.place = c.member_id % (SELECT count(*) FROM bench_guide) ELSE g.id = b.guide_id END;

    INSERT INTO guides_friendship (contact_id, corp_id, userid, guide_id, is_confirmed, added_at, add_way, state, oper_userid, tag_ids, ended_by)
    SELECT c.id, {corp}, g.userid, g.id, true, now() - interval '10 days', 1, '', '', '{{}}', ''
    FROM guides_contact c JOIN bench_guide g ON g.place = (c.member_id * 7 + 3) % (SELECT count(*) FROM bench_guide)
    WHERE c.member_id % 5 = 0 ON CONFLICT DO NOTHING;

    INSERT INTO members_consent (member_id, purpose, is_given, source, withdrawn_at, said_at)
    SELECT m.id, 'WECOM_MARKETING', false, 'WECOM', now(), now() FROM members_member m WHERE m.id % 50 = 1;

    INSERT INTO members_snapshotmember (snapshot_id, member_id, store_id)
    SELECT {snapshot}, m.id, m.home_store_id FROM members_member m WHERE m.status = 'ACTIVE';
"""


def send(*, rows: int, say: Say) -> dict[str, Any]:
    bench.fill(rows=rows, say=say)
    say("contacts, friends, consent and the audience")
    brand, corp = Brand.objects.get(code="MAIN"), Corp.objects.create(corp_id="wwBENCH0000001", name="性能测试")
    audience = Audience.objects.create(brand=brand, name="全部会员", rule={})
    version = AudienceVersion.objects.create(audience=audience, version_no=1, rule={}, digest="0" * 64)
    snapshot = AudienceSnapshot.objects.create(version=version, status="READY", as_of=timezone.now(), member_count=rows)
    ContactBudget.objects.create(brand=brand, most_count=4, days=30)
    with connection.cursor() as cursor:
        cursor.execute(FRIENDS.format(corp=corp.pk, snapshot=snapshot.pk))
    _analyse()
    now = timezone.now()
    first = sends.draft(corp=corp, name="性能测试", text="会员日", due_at=now, actor=None, snapshot=snapshot)
    second = sends.draft(
        corp=corp, name="对照测试", text="会员日", due_at=now, actor=None, snapshot=snapshot, holdout_bp=1000
    )
    say("planning")
    with bench.Memory() as memory:
        seconds, planned = bench.timed(lambda: sends.plan(send_id=first.pk, now=now))
    with_control, _ = bench.timed(lambda: sends.plan(send_id=second.pk, now=now))
    problems = sends.prove(send=planned)
    say("the floor: the same rows written from a plain table")
    floor = _floor(planned)
    return {
        "rows_per_second": round(planned.audience_count / seconds), "seconds": round(seconds, 2),
        "seconds_with_experiment": round(with_control, 2), "peak_mb": memory.peak_mb, "floor_seconds": round(floor, 2),
        "ratio": round(floor / seconds, 3), "audience": planned.audience_count, "planned": planned.planned_count,
        "tasks": SendBatch.objects.filter(send=planned).count(), "left_out": dict(sends.left_out(send=planned)),
        "problems": problems,
    }  # fmt: skip


def _floor(planned: Send) -> float:
    """Seconds to write the recipients of a send once more, as those of another one."""
    other = Send.objects.create(
        brand=planned.brand, corp=planned.corp, name="floor", text="x", snapshot=planned.snapshot, due_at=planned.due_at
    )
    columns = "member_id, contact_id, batch_id, state, reason"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE bench_floor AS SELECT {columns} FROM {Recipient._meta.db_table} WHERE send_id = %s",
            [planned.pk],
        )
        write = f"INSERT INTO {Recipient._meta.db_table} (send_id, {columns}) SELECT %s, {columns} FROM bench_floor"
        seconds, _ = bench.timed(lambda: cursor.execute(write, [other.pk]))
    return seconds


def _analyse() -> None:
    with as_owner(connection), connection.cursor() as cursor:
        for table in (
            "guides_contact",
            "guides_friendship",
            "guides_binding",
            "members_member",
            "members_snapshotmember",
            "members_consent",
        ):
            cursor.execute(f"VACUUM ANALYZE {table}")
