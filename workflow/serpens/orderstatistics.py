"""Exact medians and quartiles of columns that may not fit into memory."""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# Yields the values of a column, of every so-many-th piece.
Values = Callable[[int], Iterator[NDArray[np.float64]]]
Value = TypeVar("Value", float, NDArray[np.float64])

QUARTILES = (0.25, 0.5, 0.75)
# Of the pieces of a column that does not fit into memory, the first look is at one in so many.
EVERY = 8
# How far around its rank in the sample a value is looked for at first, in standard deviations of that rank.
DEVIATIONS = 5.0
# So many values between two numbers are kept at once.
MOST = 1_000_000


def quartiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quartiles ``(k, 3)`` of the rows of ``values (k, n)`` without their NaN; NaN where all are."""
    found = np.full((len(values), 3), np.nan)
    known = values.shape[1] - np.isnan(values).sum(axis=1)
    ordered = np.sort(values, axis=1)  # NaN last
    for n in np.unique(known[known > 0]).tolist():
        alike = known == n
        for column, share in enumerate(QUARTILES):
            rank, part = _rank(n, share)
            below, above = ordered[alike, rank], ordered[alike, min(rank + 1, n - 1)]
            found[alike, column] = _between(below, above, part)
    return found


def quartiles_of_pieces(read: Values, most: int = MOST) -> NDArray[np.float64]:
    """Return the quartiles ``(3,)`` of a column without its NaN, in a few readings of it.

    The first reading takes a sample, which tells between which numbers each wanted one lies; the next counts what lies
    below these and keeps what lies between. Where the wanted one lies elsewhere, or more than ``most`` lie between, it
    goes on from what was counted: the result is exact, whatever the sample.
    """
    sample = _joined([_known(values) for values in read(EVERY)])
    searches = [_Search(*_around(sample, share)) for share in QUARTILES]
    found = np.full(3, np.nan)
    waiting = dict(enumerate(searches))
    while waiting:
        n = 0
        for search in waiting.values():
            search.start()
        for values in read(1):
            known = _known(values)
            n += len(known)
            for search in waiting.values():
                search.look(known, most)
        if n == 0:
            return found
        for place, search in list(waiting.items()):
            rank, part = _rank(n, QUARTILES[place])
            two = search.at(rank), search.at(min(rank + 1, n - 1))
            if two[0] is not None and two[1] is not None:
                found[place] = _between(two[0], two[1], part)
                del waiting[place]
            else:
                search.narrow(rank)
    return found


class _Search:
    """Looks for values of known rank between two numbers."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def start(self) -> None:
        self.below = self.at_low = self.n_inside = self.at_high = 0
        self.inside: list[NDArray[np.float64]] = []
        self.stride = 1

    def look(self, values: NDArray[np.float64], most: int) -> None:
        self.below += int(np.count_nonzero(values < self.low))
        self.at_low += int(np.count_nonzero(values == self.low))
        if self.high > self.low:
            self.at_high += int(np.count_nonzero(values == self.high))
        inside = values[(values > self.low) & (values < self.high)]
        self.n_inside += len(inside)
        self.inside.append(inside[:: self.stride])
        while sum(map(len, self.inside)) > most:  # too many: a thinner sample of them, from which to go on
            self.stride *= 2
            self.inside = [kept[::2] for kept in self.inside]

    def at(self, rank: int) -> float | None:
        """Return the value of a rank counted from 0; None where it lies elsewhere, or is not told by a sample."""
        place = rank - self.below
        if place < 0:
            return None
        if place < self.at_low:
            return self.low
        place -= self.at_low
        if place < self.n_inside:
            return float(_joined(self.inside)[place]) if self.stride == 1 else None
        return self.high if place - self.n_inside < self.at_high else None

    def narrow(self, rank: int) -> None:
        """Look between other numbers next time: below, above, or closer around."""
        place = rank - self.below - self.at_low
        if rank < self.below:
            self.low, self.high = -np.inf, self.low
        elif place >= self.n_inside:
            self.low, self.high = self.high, np.inf
        elif self.stride > 1:
            low, high = _around(_joined(self.inside), (place + 0.5) / self.n_inside)
            self.low, self.high = max(self.low, low), min(self.high, high)
        else:  # of two neighbours the later one lies above
            self.high = np.inf


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def _joined(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.sort(np.concatenate(values)) if values else np.zeros(0)


def _around(ordered: NDArray[np.float64], share: float) -> tuple[float, float]:
    """Return two values of a sample between which the one that stands for a share of all values should lie."""
    n = len(ordered)
    spread = DEVIATIONS * math.sqrt(max(n, 1) * share * (1 - share)) + 2
    low, high = math.floor(share * n - spread), math.ceil(share * n + spread)
    return (
        float(ordered[low]) if low >= 0 else -np.inf,
        float(ordered[high]) if high < n else np.inf,
    )


def _rank(n: int, share: float) -> tuple[int, float]:
    """Return the rank, from 0, of the value below a share of ``n`` values, and how far it is from there to the next."""
    place = (n - 1) * share
    return math.floor(place), place - math.floor(place)


def _between(below: Value, above: Value, part: float) -> Value:
    # halfway as the mean of both, as medians are everywhere
    return (below + above) / 2 if part == 0.5 else below + part * (above - below)
