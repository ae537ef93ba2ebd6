"""Signals (疑点信号): what the counts of one guide say against the limits of the brand and against her peers. Pure.

1. Shares are judged only where there are enough friends; bursts always are.
2. The peers' line is the mean of all guides with enough friends plus so many standard deviations. A guide alone has no peers
   and is not compared. The line also has to be left by something that matters: a tenth at least.
3. A share without a picture counts only beside peers who have one: where WeCom tells of nobody's picture it says nothing.
4. A new device, or an account re-bound, is a flag only beside a burst.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guides.models import IntegrityFlag, IntegritySettings

Kind = IntegrityFlag.Kind
BP = 10_000
LEAST_DIFFERENCE_BP = 1_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What one guide's friends of the days looked at amount to."""

    guide_id: int
    adds: int = 0
    most_per_minute: int = 0
    most_per_second: int = 0
    at_night: int = 0
    judged_for_leaving: int = 0  # friends old enough, or gone
    left_early: int = 0
    without_picture: int = 0
    with_known_picture: int = 0  # of whom WeCom has said whether they have one
    silent: int = 0
    with_known_messages: int = 0  # of friends where the chat archive reports
    most_guides_of_one: int = 0
    new_devices_at_burst: int = 0


class Signal(NamedTuple):
    kind: str
    value: int
    threshold: int


class Line(NamedTuple):
    """Of the peers, in bp."""

    mean_bp: int
    limit_bp: int


def share_bp(part: int, whole: int) -> int:
    return part * BP // whole if whole else 0


def line_above(shares: Sequence[int], sigma_tenths: int) -> Line | None:
    """The line that a guide among these peers stays below, or None for too few of them."""
    if len(shares) < 3:
        return None
    mean = sum(shares) / len(shares)
    deviation = math.sqrt(sum((share - mean) ** 2 for share in shares) / (len(shares) - 1))
    return Line(round(mean), round(mean + max(deviation * sigma_tenths / 10, LEAST_DIFFERENCE_BP)))


def peers_line(
    all_counts: Sequence[Counts], guide_id: int, part: str, whole: str, limits: IntegritySettings
) -> Line | None:
    """The line that the others draw: a guide's own share is not part of what she is compared with."""
    others = [
        share_bp(getattr(counts, part), getattr(counts, whole))
        for counts in all_counts
        if counts.guide_id != guide_id and getattr(counts, whole) >= limits.least_adds
    ]
    return line_above(others, limits.sigma_tenths)


def of_guide(counts: Counts, all_counts: Sequence[Counts], limits: IntegritySettings) -> list[Signal]:
    """What reaches a limit, in the order of the kinds."""
    found = [
        Signal(Kind.ADDS_PER_MINUTE, counts.most_per_minute, limits.adds_per_minute),
        Signal(Kind.SAME_SECOND, counts.most_per_second, limits.same_second),
        Signal(Kind.SHARED_PERSON, counts.most_guides_of_one, limits.guides_per_person),
    ]
    if counts.adds >= limits.least_adds:
        found.append(Signal(Kind.NIGHT_SHARE, share_bp(counts.at_night, counts.adds), limits.night_share_bp))
    if counts.with_known_messages >= limits.least_adds:
        found.append(Signal(Kind.SILENT, share_bp(counts.silent, counts.with_known_messages), limits.silent_share_bp))
    found += _against_peers(counts, all_counts, limits)
    reached = [signal for signal in found if signal.value >= signal.threshold]
    is_burst = any(signal.kind in (Kind.ADDS_PER_MINUTE, Kind.SAME_SECOND) for signal in reached)
    if is_burst and counts.new_devices_at_burst:
        reached.append(Signal(Kind.NEW_DEVICE, counts.new_devices_at_burst, 1))
    return reached


def _against_peers(counts: Counts, all_counts: Sequence[Counts], limits: IntegritySettings) -> list[Signal]:
    found = []
    if counts.judged_for_leaving >= limits.least_adds:
        line = peers_line(all_counts, counts.guide_id, "left_early", "judged_for_leaving", limits)
        if line is not None:
            rate = share_bp(counts.left_early, counts.judged_for_leaving)
            found.append(Signal(Kind.DELETE_RATE, rate, line.limit_bp))
    if counts.with_known_picture >= limits.least_adds:
        line = peers_line(all_counts, counts.guide_id, "without_picture", "with_known_picture", limits)
        if line is not None:
            share = share_bp(counts.without_picture, counts.with_known_picture)
            found.append(Signal(Kind.NO_AVATAR, share, max(line.limit_bp, limits.no_avatar_share_bp)))
    return found
