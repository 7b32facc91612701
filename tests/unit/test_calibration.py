"""Slopes are those of a regression; sets and intervals hold the truth as often as they promise, in groups too."""

import numpy as np
import pytest
import statsmodels.api as sm
from tests.unit.simulated import four_classes, two_classes, values

from serpens import calibration


def test_the_margin_is_the_distance_of_the_rank_that_holds_the_promise():
    # of 9 distances and a new one, 9 of 10 lie within the largest of the 9
    assert calibration.margin(np.arange(1.0, 10.0), 0.9) == 9
    assert calibration.margin(np.arange(1.0, 100.0), 0.9) == 90
    assert calibration.margin(np.arange(1.0, 9.0), 0.9) == np.inf


def test_sets_hold_the_classes_within_the_margin():
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.98, 0.01, 0.01]])
    found = calibration.held(np.array([0, 2, 1]), p, within=0.7)
    assert found.covered.tolist() == [1, 0, 0]
    assert found.size.tolist() == [1, 2, 1]


def test_intervals_reach_the_margin_to_both_sides():
    found = calibration.held(np.array([1.0, 2.0]), np.array([1.5, 0.0]), within=0.6)
    assert (found.covered.tolist(), found.size.tolist()) == ([1, 0], [1.2, 1.2])


SCENARIOS = {
    "two classes": two_classes(300, auc=0.85, positive=0.4),
    "four classes": four_classes(300, apart=1.5),
    "values": values(300),
}


def coverage(scenario, n_studies):
    """Return how often the truth is held, over all rows and in the worse of two groups that nothing tells apart."""
    shares, groups = [], []
    for seed in range(n_studies):
        rng = np.random.default_rng(seed)
        spared, tested = scenario.draw(rng), scenario.draw(rng)
        covered = calibration.held(*tested, calibration.margin(calibration.distance(*spared))).covered
        shares.append(covered.mean())
        groups.append([covered[::2].mean(), covered[1::2].mean()])
    return np.mean(shares), np.mean(groups, axis=0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_truth_is_held_as_often_as_promised(name):
    overall, groups = coverage(SCENARIOS[name], 200)
    assert overall == pytest.approx(calibration.COVERAGE, abs=0.02)
    assert groups == pytest.approx([calibration.COVERAGE] * 2, abs=0.04)


def test_a_model_that_is_far_off_holds_it_too():
    scenario, shares = values(300), []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        (y, _), (new, _) = scenario.draw(rng), scenario.draw(rng)
        within = calibration.margin(calibration.distance(y, np.full(300, 7.0)))
        shares.append(calibration.held(new, np.full(300, 7.0), within).covered.mean())
    assert np.mean(shares) == pytest.approx(calibration.COVERAGE, abs=0.02)


def test_the_slope_of_two_classes_is_that_of_a_logistic_regression():
    rng = np.random.default_rng(0)
    y, p = two_classes(400, auc=0.8, positive=0.3).draw(rng)
    odds = np.log(p[:, 1] / p[:, 0])
    sharper = 1 / (1 + np.exp(-2 * odds))
    slope, influence = calibration.slope(y, np.stack([1 - sharper, sharper], axis=1))
    theirs = sm.Logit(y, sm.add_constant(2 * odds)).fit(disp=0, cov_type="HC0")
    assert slope == pytest.approx(theirs.params[1], rel=1e-8)
    assert np.sqrt((influence**2).sum()) / 400 == pytest.approx(theirs.bse[1], rel=1e-6)
    # probabilities that are twice as sure as they should be
    assert slope == pytest.approx(0.5, abs=0.15)


def test_the_slope_of_values_is_that_of_a_regression():
    y, p = values(300).draw(np.random.default_rng(0))
    slope, influence = calibration.slope(y, p)
    theirs = sm.OLS(y, sm.add_constant(p)).fit(cov_type="HC0")
    assert slope == pytest.approx(theirs.params[1], rel=1e-10)
    assert np.sqrt((influence**2).sum()) / 300 == pytest.approx(theirs.bse[1], rel=1e-10)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        (np.array([0, 1] * 5), np.full((10, 2), 0.5)),
        (np.array([0, 1] * 5), np.eye(2)[[0, 1] * 5] * 0.8 + 0.1),
        (np.array([0, 1, 2] * 3), np.full((9, 3), 1 / 3)),
        (np.arange(5.0), np.full(5, 2.0)),
    ],
)
def test_constant_perfect_and_many_classes_have_no_slope(y, p):
    slope, influence = calibration.slope(y, p)
    assert np.isnan(slope)
    assert influence is None
