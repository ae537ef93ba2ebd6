"""The chance of a scenario (成功概率): how many more customers buy because of it. Pure.

effect = share of those given who bought within the window − share of those left alone who bought
weight = 1 / (1/given + 1/left alone)          as many comparisons as the two groups make together
chance = (GUESS x first guess + weight x effect) / (GUESS + weight)

A stage's chance is shrunk in the same way towards that of the other stages together, so that nothing counts twice. It is never
below nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from scrm.money import BP, round_half_up

GUESS = 200  # comparisons that the first guess counts as


@dataclass(frozen=True, slots=True)
class Counts:
    given: int = 0
    given_bought: int = 0
    held: int = 0
    held_bought: int = 0

    def without(self, other: Counts) -> Counts:
        return Counts(
            self.given - other.given, self.given_bought - other.given_bought, self.held - other.held,
            self.held_bought - other.held_bought,
        )  # fmt: skip


def chance_bp(counts: Counts, guess_bp: int) -> int:
    """0 to 10,000. Exact in integers: numerator and denominator are brought to given x held."""
    given, held = counts.given, counts.held
    if not given or not held:
        return guess_bp
    # weight = given*held/(given+held); weight*effect = (bought_given*held − bought_held*given)/(given+held)
    gained = (counts.given_bought * held - counts.held_bought * given) * BP
    whole = GUESS * (given + held)
    found = round_half_up(guess_bp * whole + gained, whole + given * held)
    return min(max(found, 0), BP)
