"""Tags (标签): rows on members, each with its source, who set it and when.

1. A tag is set by hand (manual), by a member list or a file of cards (import), by guides in WeCom, or kept by an audience
   (automatic). A member has a tag once: whoever set it first stays its source.
2. By hand a tag may be taken from a member whatever its source; a list or an audience that still says it sets it again.
3. An audience that keeps a tag is asked once a night, and when somebody wants it: who is in it and lacks the tag gets it, who
   left it loses it if the audience gave it. Only differences are written.
4. A rule that cannot be asked (its audience names a tag that was deleted) changes nothing and shows why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import structlog
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from members import audiences, facts
from members.models import Audience, Member, MemberTag, Tag, TagRule
from scrm import audit, db
from scrm.errors import RuleViolation

log = structlog.get_logger(__name__)
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

_GIVE = """
    INSERT INTO members_membertag (member_id, tag_id, source)
    SELECT w.id, %(tag)s, 'AUTO' FROM pg_temp.tag_wanted w
    WHERE NOT EXISTS (SELECT 1 FROM members_membertag t WHERE t.member_id = w.id AND t.tag_id = %(tag)s)
    ORDER BY w.id ON CONFLICT (member_id, tag_id) DO NOTHING"""
_TAKE = """
    DELETE FROM members_membertag t WHERE t.tag_id = %(tag)s AND t.source = 'AUTO'
       AND NOT EXISTS (SELECT 1 FROM pg_temp.tag_wanted w WHERE w.id = t.member_id)"""


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


def keep(*, rule: TagRule, now: dt.datetime) -> tuple[int, int]:
    """Bring the tag in line with the audience; how many got it and how many lost it. Raises audiences.BadRule."""
    audience = rule.audience
    query = audiences.compile(audience.rule, brand_id=audience.brand_id, scope=audiences.scope_of(audience), now=now)
    with transaction.atomic(), connection.cursor() as cursor:
        (rule,) = db.lock(TagRule.objects.filter(pk=rule.pk))
        cursor.execute("DROP TABLE IF EXISTS pg_temp.tag_wanted")
        cursor.execute(f"CREATE TEMPORARY TABLE tag_wanted ON COMMIT DROP AS {query.ids()}", query.params)
        cursor.execute("ANALYZE tag_wanted")
        cursor.execute(_GIVE, {"tag": rule.tag_id})
        added = cursor.rowcount
        cursor.execute(_TAKE, {"tag": rule.tag_id})
        removed = cursor.rowcount
        rule.kept_at, rule.kept_on, rule.error_text = now, facts.business_day(now), ""
        rule.added_count, rule.removed_count = added, removed
        rule.save()
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
