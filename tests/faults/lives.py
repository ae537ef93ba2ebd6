"""Days in the life of a company on the sandbox: its people add, delete, note, tag, hand over, change accounts and leave."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from scrm.wecom.sandbox import World, people, transfers
from scrm.wecom.sandbox.records import LEFT, Tag, TagGroup

LEAVERS, RENAMED = 2, 3


class Life:
    """``act()`` is one act of somebody, at the world's present moment; what it causes are the world's events."""

    def __init__(self, world: World, dice: random.Random, guides: int) -> None:
        self.world, self.dice = world, dice
        self.done: Counter[str] = Counter()
        self._renamed = 0
        world.confirms_after = 30.0
        world.transfer_refusals = 0.1
        world.tag_groups["g"] = TagGroup("g", "口味", 0, 0, None)
        for tag in ("et1", "et2", "et3"):
            world.tags[tag] = Tag(tag, "g", tag, 0, 0, None)
        for number in range(guides):
            world.add_member(f"Guide{number:03}", f"导购{number}", departments=(1,))
        self._acts: tuple[tuple[Callable[[], None], int], ...] = (
            (self.add, 30), (self.accept, 10), (self.delete, 8), (self.left_by_customer, 8), (self.again, 10),
            (self.hand_over, 8), (self.tag, 14), (self.note, 12),
        )  # fmt: skip

    def act(self) -> None:
        acts, weights = zip(*self._acts, strict=True)
        (chosen,) = self.dice.choices(acts, weights)
        try:
            chosen()
        except (people.Impossible, IndexError):  # nobody can do that now
            return
        self.done[chosen.__name__] += 1

    # --- acts

    def add(self) -> None:
        """The guide has verification off; she is let in half and accepted soon after."""
        contact = self.world.add_contact(f"客{self.world.number('客')}", unionid=self.world.new_id("oU", 16))
        people.approach(self.world, self._guide(), contact.external_userid, add_way=1, state="w7", skips=True)

    def accept(self) -> None:
        """A customer of a colleague becomes hers too."""
        people.add_by_member(self.world, self._guide(), self._pair()[1])

    def delete(self) -> None:
        people.delete_by_member(self.world, *self._pair())

    def left_by_customer(self) -> None:
        people.delete_by_customer(self.world, *self._pair())

    def again(self) -> None:
        """Whoever was deleted, by whichever side, asks once more."""
        pairs = [
            (key, follow.external_userid)
            for key, member in self.world.members.items() if member.status != LEFT
            for follow in member.follows.values() if follow.customer_left_at
        ]  # fmt: skip
        lonely = [contact.external_userid for contact in self.world.contacts.values() if not contact.followers]
        chosen = [*pairs, *((self._guide(), external_userid) for external_userid in lonely)]
        userid, external_userid = self.dice.choice(chosen)
        people.approach(self.world, userid, external_userid, add_way=3, state="again", skips=True)

    def hand_over(self) -> None:
        """In WeCom's own console; the friend moves a day later."""
        userid, external_userid = self._pair()
        taker = self._guide()
        if taker == userid or any(one.external_userid == external_userid for one in self.world.transfers.values()):
            raise people.Impossible
        members = self.world.members
        transfers.begin(self.world, members[userid], members[taker], external_userid, was_resigned=False)

    def tag(self) -> None:
        tag = self.dice.choice(sorted(self.world.tags))
        userid, external_userid = self._pair()
        has_it = tag in self.world.members[userid].follows[external_userid].tag_ids
        changed = {"remove_tags" if has_it else "add_tags": (tag,)}
        people.edit(self.world, userid, external_userid, **changed)  # type: ignore[arg-type]

    def note(self) -> None:
        people.edit(self.world, *self._pair(), remark=f"备注{self.dice.randrange(10**6)}")

    def rename_somebody(self) -> None:
        """An account's id changes once."""
        never = [member.key for member in self.world.staff() if not member.key.startswith("renamed")]
        people.rename(self.world, self.dice.choice(never), f"Renamed{self._renamed:03}")
        self._renamed += 1
        self.done["rename"] += 1

    def somebody_leaves(self) -> None:
        people.leave(self.world, self._guide())
        self.done["leave"] += 1

    # --- who

    def _guide(self) -> str:
        return self.dice.choice([member.key for member in self.world.staff()])

    def _pair(self) -> tuple[str, str]:
        """A guide at work and a friend of hers."""
        for _try in range(20):
            userid = self._guide()
            if follows := self.world.members[userid].follows:
                return userid, self.dice.choice(list(follows))
        raise people.Impossible
