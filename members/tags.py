"""Tags (标签): rows on members, each with its source, who set it and when.

1. A tag is set by hand (manual), by a member list or a file of cards (import), by guides in WeCom, or kept by an audience
   (automatic). A member has a tag once: whoever set it first stays its source.
2. By hand a tag may be taken from a member whatever its source; a list or an audience that still says it sets it again.
3. An audience that keeps a tag is asked once a night, and when somebody wants it: who is in it and lacks the tag gets it, who
   left it loses it if the audience gave it. Only differences are written.
   Where it is many, somebody who wants it does not wait: a job does it in pieces and says how far it is.
4. A rule that cannot be asked (its audience names a tag that was deleted) changes nothing and shows why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from members import audiences, facts
from members.models import Audience, Member, MemberTag, Tag, TagRule
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Job

log = structlog.get_logger(__name__)
KIND = "keep_tag"
CHUNK = 20_000  # members of an audience in one transaction
MOST_MEMBERS = 10_000  # by hand in one act
ERROR_CHARS = 300


class BadTag(RuleViolation):
    code = "bad_tag"


@transaction.atomic
def put(*, tag: Tag, members: Collection[Member], actor: Any) -> int:
    """Tag members by hand; how many did not have it. Raises BadTag."""
    if len(members) > MOST_MEMBERS:
        raise BadTag(_("At most %(most)s members at a time.") % {"most": f"{MOST_MEMBERS:,}"})
    if any(member.brand_id != tag.brand_id for member in members):
        raise BadTag(_("The tag belongs to another brand."))
    keys = {member.pk for member in members}
    had = set(MemberTag.objects.filter(tag=tag, member__in=keys).values_list("member_id", flat=True))
    new = sorted(keys - had)
    MemberTag.objects.bulk_create(
        [MemberTag(member_id=key, tag=tag, source=MemberTag.Source.MANUAL, tagged_by=actor) for key in new],
        ignore_conflicts=True,
    )
    if new:
        audit.record(actor=actor, verb="tag.put", target=tag, count=len(new), member_ids=new[:1_000])
    return len(new)


@transaction.atomic
def take(*, tag: Tag, members: Collection[Member], actor: Any) -> int:
    """Take a tag from members by hand; how many had it."""
    rows = db.lock(MemberTag.objects.filter(tag=tag, member__in=[member.pk for member in members]))
    MemberTag.objects.filter(pk__in=[row.pk for row in rows]).delete()
    if rows:
        keys = sorted(row.member_id for row in rows)
        audit.record(actor=actor, verb="tag.take", target=tag, count=len(keys), member_ids=keys[:1_000])
    return len(rows)


# --- automatic tags ---------------------------------------------------------------------------------------------------

_WANTED = """
    CREATE TEMPORARY TABLE tag_changes AS
    WITH wanted AS ({ids})
    SELECT row_number() OVER (ORDER BY c.member_id) AS place, c.member_id, c.is_new FROM (
        SELECT w.id AS member_id, true AS is_new FROM wanted w
        WHERE NOT EXISTS (SELECT 1 FROM members_membertag t WHERE t.member_id = w.id AND t.tag_id = {tag})
        UNION ALL
        SELECT t.member_id, false FROM members_membertag t
        WHERE t.tag_id = {tag} AND t.source = 'AUTO' AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.id = t.member_id)
    ) c"""
_GIVE = """
    INSERT INTO members_membertag (member_id, tag_id, source)
    SELECT member_id, %(tag)s, 'AUTO' FROM pg_temp.tag_changes
    WHERE is_new AND place > %(after)s AND place <= %(upto)s ORDER BY place ON CONFLICT (member_id, tag_id) DO NOTHING"""
_TAKE = """
    DELETE FROM members_membertag t USING pg_temp.tag_changes w
    WHERE NOT w.is_new AND w.place > %(after)s AND w.place <= %(upto)s
       AND t.member_id = w.member_id AND t.tag_id = %(tag)s AND t.source = 'AUTO'"""


@transaction.atomic
def set_rule(*, tag: Tag, audience: Audience, actor: Any) -> TagRule:
    """From now on the audience keeps the tag. Raises BadTag."""
    if audience.brand_id != tag.brand_id or audience.store_ids is not None:
        raise BadTag(_("Only an audience of the whole brand keeps a tag."))
    _check_rule(tag, audience)
    try:
        with transaction.atomic():
            rule = TagRule.objects.create(tag=tag, audience=audience)
    except IntegrityError:
        raise BadTag(_("This tag is kept by an audience already.")) from None
    audit.record(actor=actor, verb="tag.rule", target=tag, audience=audience.pk)
    return rule


@transaction.atomic
def switch(*, rule: TagRule, is_active: bool, actor: Any) -> None:
    """Off: the members keep the tag as it is. On: raises BadTag where the audience cannot keep it any more."""
    if is_active:
        _check_rule(rule.tag, rule.audience)
    TagRule.objects.filter(pk=rule.pk).update(is_active=is_active)
    audit.record(actor=actor, verb="tag.switch", target=rule.tag, is_active=is_active)


def _check_rule(tag: Tag, audience: Audience) -> None:
    if Audience.objects.filter(pk=audience.pk, is_archived=True).exists():
        raise BadTag(_("This audience is archived; take one that is in use."))
    if tag.pk in audiences.tags_named(audience.rule):
        raise BadTag(_("The audience asks for this very tag."))


@dataclass(frozen=True, slots=True)
class Kept:
    """How many got the tag and how many lost it; with a job they are still to come."""

    added: int = 0
    removed: int = 0
    job: Job | None = None


def keep_by(*, tag: Tag, audience: Audience, actor: Any, now: dt.datetime) -> Kept:
    """The audience keeps the tag from now on, this minute or by a job. Raises BadTag, audiences.BadRule."""
    return keep_soon(rule=set_rule(tag=tag, audience=audience, actor=actor), actor=actor, now=now)


def keep_soon(*, rule: TagRule, actor: Any, now: dt.datetime) -> Kept:
    """At once where the audience is small, else by a job. Raises audiences.BadRule."""
    audience = rule.audience
    if audiences.is_small(audience, now=now):
        return Kept(*keep(rule=rule, now=now))
    return Kept(job=jobs.enqueue(KIND, actor=actor, params={"rule": rule.pk}))


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``keep_tag``."""
    rule = TagRule.objects.select_related("audience").get(pk=progress.job.params["rule"])
    added, removed = keep(rule=rule, now=db.clock(), progress=progress)
    return {"tagged": added, "untagged": removed}


def keep(*, rule: TagRule, now: dt.datetime, progress: jobs.Progress | None = None) -> tuple[int, int]:
    """Bring the tag in line with the audience; how many got it and how many lost it. Raises audiences.BadRule.

    Who is to change is asked once; then pieces of CHUNK are transactions of their own. Killed and run again only what is left
    is written.
    """
    audience = rule.audience
    query = audiences.compile(audience.rule, brand_id=audience.brand_id, scope=audiences.scope_of(audience), now=now)
    added = removed = 0
    try:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS pg_temp.tag_changes")
            cursor.execute(_WANTED.replace("{ids}", query.ids()).replace("{tag}", str(int(rule.tag_id))), query.params)
            total = cursor.rowcount
            if progress:
                progress.stage("keep a tag", total)
            for after in range(0, total, CHUNK):
                with transaction.atomic():
                    piece = {"tag": rule.tag_id, "after": after, "upto": after + CHUNK}
                    cursor.execute(_GIVE, piece)
                    added += cursor.rowcount
                    cursor.execute(_TAKE, piece)
                    removed += cursor.rowcount
                if progress:
                    progress.done(min(after + CHUNK, total))
    finally:
        if not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS pg_temp.tag_changes")
    TagRule.objects.filter(pk=rule.pk).update(
        kept_at=now, kept_on=facts.business_day(now), error_text="", added_count=added, removed_count=removed
    )
    return added, removed


def keep_all(*, now: dt.datetime) -> dict[str, Any]:
    """Every rule that is switched on; one that cannot be asked does not stop the others."""
    counts = {"tagged": 0, "untagged": 0, "rules_failed": 0}
    for rule in TagRule.objects.filter(is_active=True).select_related("audience").order_by("pk"):
        try:
            added, removed = keep(rule=rule, now=now)
        except RuleViolation as error:
            TagRule.objects.filter(pk=rule.pk).update(error_text=error.message[:ERROR_CHARS])
            log.warning("tag_rule_failed", rule=rule.pk, code=error.code)
            counts["rules_failed"] += 1
        else:
            counts["tagged"] += added
            counts["untagged"] += removed
    return counts
