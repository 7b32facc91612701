"""Which of very many columns models see: those that vary most, or that go most with the target, on training rows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serpens.artefacts import Judged
from serpens.errors import DataError

Array = NDArray[np.float64]


class Block(Protocol):
    """Some columns: their names, and what yields their values ``(k, n)`` piece by piece."""

    @property
    def names(self) -> list[str]:
        """What they are called."""

    def read(self, every: int, /) -> Iterator[Array]:
        """Yield them, of every so-many-th piece."""


def judge(
    blocks: Iterable[Block],
    y: NDArray[Any],
    *,
    classes: Sequence[str],
    by: str,
    keep: int | None = None,
    fdr: float | None = None,
) -> dict[str, Judged]:
    """Return of each column whether it is kept, and why.

    Missing values are left out, column by column. A column that is constant, or has too few values, has no statistic
    and is not kept. Of columns that are as strong as each other the one that comes first is kept.

    Parameters
    ----------
    y
        The target of all rows ``(n,)``, as it stands in the table.
    by
        ``variance``, or ``univariate``: one-way analysis of variance between classes, or of the correlation with a
        number.
    keep
        How many are kept.
    fdr
        Or the false discovery rate (Benjamini and Hochberg 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x).

    Raises
    ------
    DataError
        If no column is kept.
    """
    names: list[str] = []
    statistics, p_values = [], []
    for block in blocks:
        names += block.names
        if by == "variance":
            n, _, squares = _merged(block.read(1), np.zeros(len(y), dtype=np.intp), 1)
            statistic = np.where(n[0] > 0, squares[0] / np.maximum(n[0], 1), np.nan)
            p_value = np.full(len(statistic), np.nan)
        elif classes:
            statistic, p_value = _between_classes(*_merged(block.read(1), _codes(y, classes), len(classes)))
        else:
            statistic, p_value = _with_number(block.read(1), y.astype(np.float64))
        statistics.append(statistic)
        p_values.append(p_value)
    if not names:
        return {}
    statistic, p_value = np.concatenate(statistics), np.concatenate(p_values)
    q = _adjusted(p_value)
    usable = np.flatnonzero(statistic > 0) if by == "variance" else np.flatnonzero(~np.isnan(statistic))
    if fdr is not None:
        kept = set(usable[q[usable] <= fdr].tolist())
    else:
        strongest = usable[np.argsort(-statistic[usable], kind="stable")]
        kept = set(strongest[:keep].tolist())
    if not kept:
        limit = f"fdr {fdr:g}: the least q is {np.nanmin(q):.2g}" if fdr is not None and usable.size else "select"
        msg = f"of {len(names):,} columns of numbers none is kept by {limit}: choose another limit, or drop select"
        raise DataError(msg)
    return {
        name: Judged(kept=i in kept, statistic=_or_none(statistic[i]), q=_or_none(q[i])) for i, name in enumerate(names)
    }


def _merged(pieces: Iterable[Array], group: NDArray[np.intp], n_groups: int) -> tuple[Array, Array, Array]:
    """Return number, mean and sum of squares about it of each group's values ``(n_groups, k)``, without NaN."""
    n = mean = squares = np.zeros((n_groups, 1))
    start = 0
    for values in pieces:
        here = group[start : start + values.shape[1]]
        start += values.shape[1]
        more = np.zeros((n_groups, len(values)))
        theirs, about = np.zeros_like(more), np.zeros_like(more)
        for g in range(n_groups):
            own = values[:, here == g] if n_groups > 1 else values
            known = ~np.isnan(own)
            more[g] = known.sum(axis=1)
            theirs[g] = np.where(known, own, 0.0).sum(axis=1) / np.maximum(more[g], 1)
            away = np.where(known, own - theirs[g][:, None], 0.0)
            about[g] = (away * away).sum(axis=1)
        both = np.maximum(n + more, 1)
        step = theirs - mean
        squares = squares + about + step * step * (n * more / both)
        mean = mean + step * (more / both)
        n = n + more
    return n, mean, squares


def _between_classes(n: Array, mean: Array, squares: Array) -> tuple[Array, Array]:
    """Return F and p of the one-way analysis of variance; NaN where there is nothing to compare."""
    from scipy.special import fdtrc

    rows, groups = n.sum(axis=0), (n > 0).sum(axis=0)
    overall = (n * mean).sum(axis=0) / np.maximum(rows, 1)
    between = (n * (mean - overall) ** 2).sum(axis=0)
    within = squares.sum(axis=0)
    over, under = groups - 1.0, rows - groups
    usable = (over > 0) & (under > 0) & (between + within > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(usable, (between / over) / (within / under), np.nan)
    return statistic, np.where(usable, fdtrc(over, under, statistic), np.nan)


def _with_number(pieces: Iterable[Array], y: Array) -> tuple[Array, Array]:
    """Return F and p of the test of a correlation; NaN where there is nothing to compare."""
    from scipy.special import fdtrc

    n = x_mean = y_mean = xx = yy = xy = np.zeros(1)
    start = 0
    for values in pieces:
        known = ~np.isnan(values)
        here = np.where(known, y[start : start + values.shape[1]], 0.0)
        start += values.shape[1]
        more = known.sum(axis=1).astype(np.float64)
        x_more = np.where(known, values, 0.0).sum(axis=1) / np.maximum(more, 1)
        y_more = here.sum(axis=1) / np.maximum(more, 1)
        dx = np.where(known, values - x_more[:, None], 0.0)
        dy = np.where(known, here - y_more[:, None], 0.0)
        weight, share = n * more / np.maximum(n + more, 1), more / np.maximum(n + more, 1)
        x_step, y_step = x_more - x_mean, y_more - y_mean
        xx = xx + (dx * dx).sum(axis=1) + weight * x_step * x_step
        yy = yy + (dy * dy).sum(axis=1) + weight * y_step * y_step
        xy = xy + (dx * dy).sum(axis=1) + weight * x_step * y_step
        x_mean, y_mean, n = x_mean + share * x_step, y_mean + share * y_step, n + more
    usable = (n > 2) & (xx > 0) & (yy > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.minimum(xy * xy / (xx * yy), 1.0)
        statistic = np.where(usable, explained / (1 - explained) * (n - 2), np.nan)
    return statistic, np.where(usable, fdtrc(1.0, n - 2, statistic), np.nan)


def _codes(y: NDArray[Any], classes: Sequence[str]) -> NDArray[np.intp]:
    place = {name: index for index, name in enumerate(classes)}
    return np.array([place[value] for value in y], dtype=np.intp)


def _adjusted(p_value: Array) -> Array:
    """Return q values: p times the number of tests over the rank, made to rise with p; NaN stays NaN."""
    tested = np.flatnonzero(~np.isnan(p_value))
    q = np.full(len(p_value), np.nan)
    order = tested[np.argsort(p_value[tested], kind="stable")]
    scaled = p_value[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
