"""Who takes whom."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guides.handover import policy
from guides.handover.policy import Taker

takers = st.lists(
    st.tuples(st.integers(0, 50), st.none() | st.integers(0, 10)), min_size=1, max_size=6
).map(lambda rows: [Taker(key, load, most) for key, (load, most) in enumerate(rows, 1)])  # fmt: skip
values = st.lists(st.integers(0, 10**6), max_size=60)


@given(values=values, takers=takers)
def test_nobody_gets_more_than_the_cap_and_nobody_stays_while_there_is_room(
    values: list[int], takers: list[Taker]
) -> None:
    chosen = policy.spread(values, takers)
    given_to = Counter(key for key in chosen if key is not None)
    caps = {taker.key: taker.most for taker in takers}
    assert all(caps[key] is None or count <= caps[key] for key, count in given_to.items())  # type: ignore[operator]
    room = None if any(most is None for most in caps.values()) else sum(most or 0 for most in caps.values())
    assert len(chosen) == len(values)
    assert sum(given_to.values()) == (len(values) if room is None else min(room, len(values)))


@given(values=values, loads=st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_nobody_who_was_given_somebody_serves_two_more_than_another(values: list[int], loads: list[int]) -> None:
    """The least loaded first: without caps the new ones level what was uneven before."""
    takers = [Taker(key, load) for key, load in enumerate(loads)]
    given_to = Counter(policy.spread(values, takers))
    after = {taker.key: taker.load + given_to[taker.key] for taker in takers}
    busiest_new = max((after[key] for key in given_to if key is not None), default=0)
    assert busiest_new <= min(after.values()) + 1


@given(values=values, takers=takers)
def test_who_stays_is_worth_least(values: list[int], takers: list[Taker]) -> None:
    chosen = policy.spread(values, takers)
    staying = [value for value, key in zip(values, chosen, strict=True) if key is None]
    going = [value for value, key in zip(values, chosen, strict=True) if key is not None]
    assert not staying or not going or max(staying) <= min(going)


def test_equal_takers_share_the_valuable_ones() -> None:
    chosen = policy.spread([900, 800, 700, 600, 0, 0], [Taker(1, 5), Taker(2, 5)])
    assert chosen == [1, 2, 1, 2, 1, 2]
    assert policy.spread([1], []) == [None]


@pytest.mark.parametrize(
    ("fen", "name"),
    [
        (500_000, "OVER_5000"),
        (499_999, "OVER_1000"),
        (100_000, "OVER_1000"),
        (99_999, "BOUGHT"),
        (1, "BOUGHT"),
        (0, "NOTHING"),
    ],
)
def test_bands(fen: int, name: str) -> None:
    assert policy.band(fen) == name
