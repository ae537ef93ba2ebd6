"""Tags of groups (群标签): ours, since WeCom has none. They choose groups in lists, in plans and in audiences.

1. A group has a tag once; giving it again, or taking one that is not there, changes nothing.
2. A name that does not exist yet becomes a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.models import Group, GroupTag, GroupTagged
from members.purchases.buyers import BRAND
from scrm import audit
from scrm.errors import RuleViolation
from scrm.models import Brand


class BadGroupTag(RuleViolation):
    code = "bad_group_tag"


@transaction.atomic
def give(*, groups: Sequence[Group], name: str, actor: Any) -> int:
    """How many groups did not have it yet. Raises BadGroupTag."""
    name = name.strip()
    if not name or len(name) > 32:
        raise BadGroupTag(_("The name has 1 to %(most)s characters.") % {"most": 32})
    tag, _is_new = GroupTag.objects.get_or_create(brand=Brand.objects.get(code=BRAND), name=name)
    keys = [group.pk for group in groups]
    there = set(GroupTagged.objects.filter(tag=tag, group__in=keys).values_list("group_id", flat=True))
    new = [GroupTagged(group_id=key, tag=tag) for key in keys if key not in there]
    GroupTagged.objects.bulk_create(new, ignore_conflicts=True, batch_size=1_000)
    audit.record(actor=actor, verb="group_tag.give", target=tag, groups=len(new))
    return len(new)


@transaction.atomic
def take(*, groups: Sequence[Group], tag: GroupTag, actor: Any) -> int:
    """How many groups had it."""
    count, _by_model = GroupTagged.objects.filter(tag=tag, group__in=[group.pk for group in groups]).delete()
    audit.record(actor=actor, verb="group_tag.take", target=tag, groups=count)
    return count
