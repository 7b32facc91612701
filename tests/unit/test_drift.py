"""Distances of distributions, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from serpens.drift import (
    kolmogorov_smirnov,
    kolmogorov_smirnov_by_chance,
    sketch,
    spread,
    total_variation,
    total_variation_by_chance,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shift", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("decimals", [0, 3])
def test_the_statistic_is_scipys(shift, decimals):
    one, two = RNG.normal(size=300).round(decimals), RNG.normal(shift, 1.2, size=451).round(decimals)
    expected = stats.ks_2samp(one, two).statistic
    assert kolmogorov_smirnov(sketch(one, 1000), sketch(two, 1000)) == pytest.approx(expected, abs=1e-12)


def test_a_sketch_of_many_values_is_right_to_a_step():
    one, two = RNG.normal(size=20_000), RNG.normal(0.2, 1, size=30_000)
    expected = stats.ks_2samp(one, two).statistic
    short = sketch(one, 200), sketch(two, 200)
    assert max(len(each.values) for each in short) <= 200
    assert (short[0].n, short[1].n) == (20_000, 30_000)
    assert kolmogorov_smirnov(*short) == pytest.approx(expected, abs=2 / 200)


def test_missing_numbers_are_left_out():
    assert sketch(np.array([1.0, np.nan, 1.0, 3.0]), 10).at_most.tolist() == [2, 3]
    assert sketch(np.array([np.nan]), 10).n == 0


def test_what_chance_does_is_the_quantile_of_the_limit():
    expected = stats.kstwobign.isf(0.01) * np.sqrt(1 / 400 + 1 / 600)
    assert kolmogorov_smirnov_by_chance(spread(400, 600)) == pytest.approx(expected, rel=1e-3)
    assert kolmogorov_smirnov_by_chance(spread(1, 1)) == 1


def test_total_variation_is_the_share_that_moved():
    assert total_variation({"a": 8, "b": 2}, {"a": 3, "b": 2}) == pytest.approx(0.2)
    assert total_variation({"a": 5, "b": 5}, {"c": 7}) == 1
    assert total_variation({"a": 5, "b": 5}, {"a": 50, "b": 50}) == 0


def test_chance_seldom_moves_more_than_its_bound():
    bound = total_variation_by_chance(spread(200, 300), 4)
    found = []
    for _ in range(400):
        one, two = (np.bincount(RNG.integers(0, 4, n), minlength=4) for n in (200, 300))
        found.append(total_variation(*(dict(zip("abcd", each.tolist(), strict=True)) for each in (one, two))))
    assert np.mean(np.array(found) > bound) <= 0.01
    assert max(found) > bound / 4


def test_what_both_samples_hold_is_no_chance():
    n, more, gone = 400, 100, 30
    expected = (n - gone) * (1 / n - 1 / (n - gone + more)) ** 2 + gone / n**2 + more / (n - gone + more) ** 2
    assert spread(n, n - gone + more, 1 - gone / n, 1 - more / (n - gone + more)) == pytest.approx(expected)
    assert spread(n, n, 1, 1) == 0
    assert spread(n, 2 * n) == 1 / n + 1 / (2 * n)


def test_rows_that_are_added_to_others_move_a_column_by_chance_as_seldom_as_is_said():
    bound = kolmogorov_smirnov_by_chance(spread(400, 500, 1, 0.8))
    found = []
    for _ in range(600):
        then = RNG.normal(size=400)
        now = np.concatenate([then, RNG.normal(size=100)])
        found.append(kolmogorov_smirnov(sketch(then, 1000), sketch(now, 1000)))
    # one in a hundred; the limit for many rows is a little too wide for few
    assert 0 < np.mean(np.array(found) > bound) < 0.025


def test_a_share_counts_the_value_itself():
    shares = sketch(np.array([1.0, 1.0, 3.0]), 10).share(np.array([0.5, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(shares, [0, 2 / 3, 2 / 3, 1])
