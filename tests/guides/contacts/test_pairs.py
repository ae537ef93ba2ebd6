"""W3, W4: whatever the order in which events of a pair come, and however often, the pair ends the same."""

from __future__ import annotations

import datetime as dt
import random

from hypothesis import given
from hypothesis import strategies as st

from guides.contacts import pairs
from guides.contacts.pairs import ADDED, ASKED, DELETED, EDITED, LEFT, Change, Pair
from scrm.wecom.customers import Follow
from tests.guides.contacts.conftest import at

changes = st.builds(
    lambda kind, seconds, state, is_transfer: Change(
        kind, at(seconds), state if kind in (ADDED, ASKED) else "", is_transfer and kind == DELETED
    ),
    st.sampled_from([ADDED, ASKED, EDITED, DELETED, LEFT]),
    st.integers(0, 5),  # several in one second
    st.sampled_from(["", "a1f3k", "b2"]),
    st.booleans(),
)


def folded(events: list[Change], start: Pair | None = None) -> Pair:
    pair = start or Pair()
    for change in events:
        pair = pairs.after_event(pair, change)
    return pair


@given(st.lists(changes, max_size=8), st.randoms(use_true_random=False))
def test_w3_any_order_and_any_repetition_end_in_the_same_pair(events: list[Change], rng: random.Random) -> None:
    told = [change for change in events for _ in range(rng.randint(1, 3))]
    rng.shuffle(told)
    assert folded(told) == folded(events)


@given(st.lists(changes, max_size=8), changes)
def test_w4_what_is_older_than_everything_changes_nothing(events: list[Change], late: Change) -> None:
    """Its own register has been written by something newer: a later adding for every kind, an end for an older end."""
    events = [*events, Change(ADDED, at(10), "new")]
    assert folded([*events, late]) == folded(events)


def test_the_states_of_both_sides() -> None:
    friend = folded([Change(ASKED, at(0), "s"), Change(ADDED, at(1), "s")])
    assert friend.is_friend and friend.state == "s" and friend.added_at == at(1)
    left = folded([Change(LEFT, at(2))], friend)
    assert not left.is_friend and left.customer_left_at == at(2) and left.ended_at is None
    back = folded([Change(ADDED, at(3), "t")], left)
    assert back.is_friend and back.state == "t"
    ended = folded([Change(DELETED, at(4))], back)
    assert (ended.ended_at, ended.ended_by) == (at(4), "DELETED")
    moved = folded([Change(DELETED, at(4), is_transfer=True)], back)
    assert moved.ended_by == "TRANSFERRED"


def test_a_customers_deletion_counts_although_a_later_edit_was_told_first() -> None:
    pair = folded([Change(ADDED, at(0)), Change(EDITED, at(5)), Change(LEFT, at(3))])
    assert pair.customer_left_at == at(3) and pair.event_at == at(5)


def test_the_reason_of_an_end_replaces_that_a_sweep_missed_her() -> None:
    missed = pairs.after_missing(folded([Change(ADDED, at(0))]), at(100))
    assert missed.ended_by == "MISSING"
    assert pairs.after_missing(missed, at(200)) == missed
    told = folded([Change(DELETED, at(50), is_transfer=True)], missed)
    assert (told.ended_at, told.ended_by) == (at(50), "TRANSFERRED")


def test_a_reading_confirms_brings_back_and_leaves_what_it_cannot_know() -> None:
    follow = Follow("g", at(0), tag_ids=("b", "a"), add_way=1, state="s")
    ended = folded([Change(ADDED, at(0)), Change(DELETED, at(5))])
    read = pairs.after_reading(ended, follow)
    assert read.is_friend and read.tag_ids == ("a", "b") and read.ended_by == ""
    left = folded([Change(ADDED, at(0)), Change(LEFT, at(5))])
    assert pairs.after_reading(left, follow).customer_left_at == at(5)  # WeCom shows her as before
    again = Follow("g", at(9))
    assert pairs.after_reading(left, again).customer_left_at is None


def test_w11_the_state_of_an_earlier_adding_is_not_taken_for_that_of_one_nobody_told() -> None:
    told = folded([Change(ADDED, at(0), "s")])
    assert pairs.after_reading(told, Follow("g", at(1))).state == "s"  # the same adding, a reading without its state
    assert pairs.after_reading(told, Follow("g", None)).state == "s"
    again = pairs.after_reading(told, Follow("g", at(60)))
    assert (again.added_at, again.state) == (at(60), "")
    assert again.state == folded([Change(ADDED, at(60))], told).state  # as if the event had come
    assert pairs.after_reading(told, Follow("g", at(60), state="t")).state == "t"


def test_an_end_before_she_was_added_is_clamped() -> None:
    """Two clocks: an end is never earlier than the beginning it ends."""
    ahead = pairs.after_reading(Pair(), Follow("g", at(100)))
    assert pairs.after_missing(ahead, at(50)).ended_at == at(100)
    assert isinstance(ahead.added_at, dt.datetime)
