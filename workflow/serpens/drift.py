"""How far the values of a column are from those that it had before: distances of distributions, between 0 and 1."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How rarely two samples of one source may differ by more than is called chance.
ALPHA = 0.01


@dataclass(frozen=True)
class Sketch:
    """How many of a column's numbers are at most so large.

    Attributes
    ----------
    values
        (k,), float64, rising.
    at_most
        (k,), int64: how many numbers are at most the value; the last is how many there are.
    """

    values: NDArray[np.float64]
    at_most: NDArray[np.int64]

    @property
    def n(self) -> int:
        """How many numbers there are."""
        return int(self.at_most[-1]) if len(self.at_most) else 0

    def share(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of the numbers that are at most each of some points."""
        below = np.searchsorted(self.values, points, side="right")
        return np.concatenate([[0], self.at_most])[below] / self.n


def sketch(numbers: NDArray[np.float64], points: int) -> Sketch:
    """Return the distribution of numbers at so many points at most: exactly, if no more of them are distinct.

    Parameters
    ----------
    numbers
        (n,); NaN is left out.
    """
    values, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    at_most = np.cumsum(counts)
    if len(values) > points:
        chosen = np.unique(np.searchsorted(at_most, np.linspace(at_most[0], at_most[-1], points)))
        values, at_most = values[chosen], at_most[chosen]
    return Sketch(values, at_most.astype(np.int64))


def kolmogorov_smirnov(then: Sketch, now: Sketch) -> float:
    """Return the largest distance between two distribution functions: the statistic of Kolmogorov and Smirnov.

    Of sketches that left values out it is right to the share of one step of each, 1 / points.
    """
    points = np.union1d(then.values, now.values)
    return float(np.abs(then.share(points) - now.share(points)).max())


def spread(n_then: int, n_now: int, shared_then: float = 0.0, shared_now: float = 0.0) -> float:
    """Return the variance of the difference of two shares, per variance of one row.

    What both samples hold cancels out: a row in both counts with the difference of its weights. Without any it is
    ``1 / n_then + 1 / n_now``.

    Parameters
    ----------
    shared_then, shared_now
        Share of the rows of each sample that are in the other one too, with the same content.
    """
    n_shared = (shared_then * n_then + shared_now * n_now) / 2
    gone, come = (1 - shared_then) / n_then, (1 - shared_now) / n_now
    return n_shared * (1 / n_then - 1 / n_now) ** 2 + gone + come


def kolmogorov_smirnov_by_chance(variance: float) -> float:
    """Return the distance that samples of one source exceed with probability ``ALPHA``, in the limit of many rows.

    Parameters
    ----------
    variance
        What :func:`spread` returns.
    """
    return min(1.0, math.sqrt(-math.log(ALPHA / 2) / 2 * variance))


def total_variation(then: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Return half the sum of the differences of the levels' shares: the share that would have to move."""
    n_then, n_now = sum(then.values()), sum(now.values())
    levels = {*then, *now}
    return sum(abs(then.get(level, 0) / n_then - now.get(level, 0) / n_now) for level in sorted(levels)) / 2


def total_variation_by_chance(variance: float, n_levels: int) -> float:
    """Return a distance that samples of one source exceed with probability ``ALPHA`` at most.

    The mean of the distance is at most ``sqrt(n_levels * variance) / 2``, and a row moves it by its weight (McDiarmid).

    Parameters
    ----------
    variance
        What :func:`spread` returns.
    """
    return min(1.0, math.sqrt(n_levels * variance) / 2 + math.sqrt(-math.log(ALPHA) / 2 * variance))
