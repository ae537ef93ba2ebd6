"""Differences between two arms with their intervals: sums in, estimates out. No database, no clock.

Sources: Wilson (1927) and Newcombe (1998), *Statistics in Medicine* 17, 873–890, method 10, for two shares; Welch (1947) for
two means; Deng, Xu, Kohavi and Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data" (CUPED); Fabijan et al. (2019), "Diagnosing sample ratio mismatch in online controlled experiments".
Sums are exact (whole numbers or decimals); only estimates, which are no money, are floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from statistics import NormalDist

import mpmath

NORMAL = NormalDist()
POWER = 0.8  # of the minimum detectable effect
HALVINGS = 100  # of the bracket around a quantile: beyond a double's precision

Exact = int | Decimal


@dataclass(frozen=True, slots=True)
class Moments:
    """The sums of one arm: of an outcome, and of what was known of the same people before."""

    count: int
    total: Exact = 0
    squares: Exact = 0
    before_total: Exact = 0
    before_squares: Exact = 0
    cross: Exact = 0  # sum of outcome times before

    @property
    def mean(self) -> float:
        return float(Fraction(self.total) / self.count) if self.count else 0.0

    @property
    def variance(self) -> float:
        return self._spread(self.squares, self.total, self.total)

    @property
    def before_variance(self) -> float:
        return self._spread(self.before_squares, self.before_total, self.before_total)

    @property
    def covariance(self) -> float:
        return self._spread(self.cross, self.total, self.before_total)

    def _spread(self, products: Exact, one: Exact, other: Exact) -> float:
        if self.count < 2:
            return 0.0
        return float((Fraction(products) - Fraction(one) * Fraction(other) / self.count) / (self.count - 1))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Treated less control, per person: the difference, its interval, and how surprising it were without an effect."""

    difference: float
    low: float
    high: float
    p: float
    control: float
    treated: float

    @property
    def relative(self) -> float | None:
        """The difference as a part of what the control has; None when it has nothing."""
        return self.difference / self.control if self.control else None


def wilson(successes: int, count: int, alpha: float) -> tuple[float, float]:
    """The score interval of one share."""
    z = NORMAL.inv_cdf(1 - alpha / 2)
    share, scale = successes / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def shares(treated: Moments, control: Moments, alpha: float) -> Estimate:
    """Two shares: Newcombe's hybrid score interval, and the score test with the pooled share."""
    yes_t, yes_c = int(treated.total), int(control.total)
    share_t, share_c = yes_t / treated.count, yes_c / control.count
    low_t, high_t = wilson(yes_t, treated.count, alpha)
    low_c, high_c = wilson(yes_c, control.count, alpha)
    difference = share_t - share_c
    low = difference - math.hypot(share_t - low_t, high_c - share_c)
    high = difference + math.hypot(high_t - share_t, share_c - low_c)
    pooled = (yes_t + yes_c) / (treated.count + control.count)
    error = math.sqrt(pooled * (1 - pooled) * (1 / treated.count + 1 / control.count))
    return Estimate(difference, low, high, _normal_p(difference, error), share_c, share_t)


def means(treated: Moments, control: Moments, alpha: float) -> Estimate:
    """Two means with variances of their own (Welch)."""
    spread = (treated.variance, control.variance)
    return _welch((treated.mean, control.mean), spread, (treated.count, control.count), alpha)


def adjusted(treated: Moments, control: Moments, alpha: float) -> tuple[Estimate, float]:
    """Two means less what the time before foretells of them (CUPED), and the part of the variance that this takes away.

    The slope is that within the arms, so that an effect cannot enter it. Without any spread before, nothing is taken away.
    """
    freedom_t, freedom_c = treated.count - 1, control.count - 1
    before = freedom_t * treated.before_variance + freedom_c * control.before_variance
    outcome = freedom_t * treated.variance + freedom_c * control.variance
    if before <= 0 or outcome <= 0:
        return means(treated, control, alpha), 0.0
    slope = (freedom_t * treated.covariance + freedom_c * control.covariance) / before
    found, spread, middle = [], [], []
    whole = float(Fraction(treated.before_total) + Fraction(control.before_total)) / (treated.count + control.count)
    for arm in (treated, control):
        ahead = float(Fraction(arm.before_total) / arm.count) - whole
        middle.append(arm.mean - slope * ahead)
        left = arm.variance + slope * slope * arm.before_variance - 2 * slope * arm.covariance
        spread.append(max(0.0, left))
        found.append((arm.count - 1) * spread[-1])
    reduction = 1 - sum(found) / outcome
    estimate = _welch((middle[0], middle[1]), (spread[0], spread[1]), (treated.count, control.count), alpha)
    return estimate, max(0.0, reduction)


def detectable(variance: float, treated_count: int, control_count: int, alpha: float, power: float = POWER) -> float:
    """The smallest true difference that is found with ``power``; infinite for an empty arm."""
    if treated_count < 2 or control_count < 2:
        return math.inf
    z = NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)
    return z * math.sqrt(variance * (1 / treated_count + 1 / control_count))


def ratio_p(counts: Sequence[int], weights: Sequence[int]) -> float:
    """How surprising these counts were for arms of these weights (chi square); 1 with a single arm."""
    whole, scale = sum(counts), sum(weights)
    if len(counts) < 2 or not whole:
        return 1.0
    expected = [whole * weight / scale for weight in weights]
    squares = sum((count - wanted) ** 2 / wanted for count, wanted in zip(counts, expected, strict=True))
    return float(mpmath.gammainc((len(counts) - 1) / 2, squares / 2, regularized=True))


def _welch(middle: tuple[float, float], spread: tuple[float, float], counts: tuple[int, int], alpha: float) -> Estimate:
    difference = middle[0] - middle[1]
    parts = [variance / count for variance, count in zip(spread, counts, strict=True)]
    error = math.sqrt(sum(parts))
    if error == 0:  # everybody in both arms is alike
        return Estimate(difference, difference, difference, 1.0 if difference == 0 else 0.0, middle[1], middle[0])
    below = sum(part * part / max(1, count - 1) for part, count in zip(parts, counts, strict=True))
    freedom = sum(parts) ** 2 / below
    half = _student_quantile(alpha, freedom) * error
    return Estimate(
        difference, difference - half, difference + half, _student_p(difference / error, freedom), middle[1], middle[0]
    )


def student_quantile(alpha: float, freedom: float) -> float:
    """What Student's t with ``freedom`` degrees exceeds on both sides together with the chance ``alpha``."""
    return _student_quantile(alpha, freedom)


def _normal_p(difference: float, error: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def _student_p(t: float, freedom: float) -> float:
    """Both tails."""
    return float(mpmath.betainc(freedom / 2, 0.5, 0, freedom / (freedom + t * t), regularized=True))


@cache
def _student_quantile(alpha: float, freedom: float) -> float:
    """What t exceeds on both sides together with the chance ``alpha``."""
    low, high = 0.0, 1.0
    while _student_p(high, freedom) > alpha:
        low, high = high, 2 * high
    for _halving in range(HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _student_p(middle, freedom) > alpha else (low, middle)
    return high
