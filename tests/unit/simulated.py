"""Studies whose truth is known, drawn anew from a seed: of two classes, of four, of values; in groups and in time."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from serpens import metrics
from serpens.intervals import Units

SHARES = np.array([0.4, 0.3, 0.2, 0.1])


@dataclass(frozen=True)
class Scenario:
    """How a study is drawn, and what is independent in it."""

    draw: Callable[[np.random.Generator], tuple[Any, Any]]
    units: Units
    classes: bool

    def truth(self, names, n_studies):
        """Return the metrics of so many studies taken together."""
        rng = np.random.default_rng(10**6)
        y, p = (np.concatenate(each) for each in zip(*(self.draw(rng) for _ in range(n_studies)), strict=True))
        return {name: metrics.score(name, y, p) for name in names}


def two_classes(n, auc, positive, groups=0):
    """Two normal scores so far apart, and their true probabilities; groups share three tenths of the noise."""
    shift = np.sqrt(2) * NormalDist().inv_cdf(auc)

    def draw(rng):
        y = (rng.random(n) < positive).astype(int)
        score = _noise(rng, n, groups) + shift * (y - 0.5)
        p = 1 / (1 + np.exp(-shift * score - np.log(positive / (1 - positive))))
        return y, np.stack([1 - p, p], axis=1)

    return Scenario(draw, _units(n, groups), classes=True)


def four_classes(n, apart):
    def draw(rng):
        y = rng.choice(4, n, p=SHARES)
        x = rng.normal(size=(n, 4))
        x[np.arange(n), y] += apart
        p = SHARES * np.exp(apart * (x - x.max(axis=1, keepdims=True)))
        return y, p / p.sum(axis=1, keepdims=True)

    return Scenario(draw, Units.rows(n), classes=True)


def values(n, groups=0, memory=0.0):
    """A normal target, predicted with half of its deviation; ``memory`` is the correlation of neighbours in time."""

    def draw(rng):
        y, error = (_walk(rng, n, memory) if memory else _noise(rng, n, groups) for _ in range(2))
        return y, y + 0.5 * error

    units = Units(np.arange(n) * 8 // n, 8, exchangeable=False) if memory else _units(n, groups)
    return Scenario(draw, units, classes=False)


def _units(n, groups):
    return Units(np.arange(n) * groups // n, groups) if groups else Units.rows(n)


def _noise(rng, n, groups):
    noise = rng.normal(size=n)
    if not groups:
        return noise
    return np.sqrt(0.7) * noise + np.sqrt(0.3) * rng.normal(size=groups)[np.arange(n) * groups // n]


def _walk(rng, n, memory):
    """Return an autoregression of unit variance, from its stationary distribution."""
    from scipy.signal import lfilter

    noise = rng.normal(size=n) * np.sqrt(1 - memory**2)
    noise[0] /= np.sqrt(1 - memory**2)
    return lfilter([1], [1, -memory], noise)
