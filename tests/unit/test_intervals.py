"""Intervals cover what they promise, in rows, groups and times, also where few rows are wrong."""

import numpy as np
import pytest
from scipy import stats
from tests.unit.simulated import four_classes, two_classes, values

from serpens import intervals, metrics, statistics
from serpens.intervals import Units

SCENARIOS = {
    "two classes": two_classes(400, auc=0.85, positive=0.5),
    "few rows": two_classes(100, auc=0.85, positive=0.5),
    "a rare class": two_classes(600, auc=0.85, positive=0.15),
    "nearly perfect": two_classes(100, auc=0.995, positive=0.5),
    "two classes in groups": two_classes(400, auc=0.85, positive=0.4, groups=40),
    "four classes": four_classes(400, apart=2.0),
    "values": values(100),
    "values in groups": values(400, groups=40),
    "values in time": values(400, memory=0.6),
}
# Of so few studies the share that is covered is known to 1.5 points, of a thousand to .7.
FEW, FEW_LOW, FEW_HIGH = 200, 0.905, 0.99
MANY, MANY_LOW, MANY_HIGH = 1000, 0.93, 0.97
# Where nearly all studies rank nearly all rows rightly, so that many find no fault at all, it covers more.
COVERS_MORE = {("nearly perfect", "average_precision"): 0.99}


def coverage(scenario, n_studies, n_resamples):
    chosen = [
        each for each in metrics.for_task("classification" if scenario.classes else "regression") if each.kind != "none"
    ]
    truth = scenario.truth([each.name for each in chosen], 1500)
    hits = dict.fromkeys(truth, 0)
    for study in range(n_studies):
        rng = np.random.default_rng(study)
        y, p = scenario.draw(rng)
        for each in chosen:
            value, influence = statistics.score(each, y, p)
            low, high = intervals.interval(
                each, y, [p], value, influence, scenario.units, level=0.95, generator=rng, n_resamples=n_resamples
            )
            hits[each.name] += low <= truth[each.name] <= high
    return {name: count / n_studies for name, count in hits.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_intervals_cover(name):
    found = coverage(SCENARIOS[name], FEW, 500)
    assert all(FEW_LOW <= share <= FEW_HIGH for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_intervals_cover_in_a_thousand_studies(name):
    found = coverage(SCENARIOS[name], MANY, intervals.N_RESAMPLES)
    assert all(MANY_LOW <= share <= COVERS_MORE.get((name, metric), MANY_HIGH) for metric, share in found.items()), (
        found
    )


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2544, 0.3658), (15, 148, 0.0601, 0.1581), (0, 20, 0.0, 0.1391), (1, 29, 0.0017, 0.1585)],
)
def test_mid_p_of_published_examples(right, n, low, high):
    # Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 6
    assert intervals.mid_p(right / n, n, 0.95) == pytest.approx((low, high), abs=6e-5)


def test_all_right_is_no_certainty():
    low, high = intervals.mid_p(1.0, 100, 0.95)
    assert (low, high) == (pytest.approx(0.05 ** (1 / 100), rel=1e-9), 1.0)


def area(auc, m, n, seed):
    rng = np.random.default_rng(seed)
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    positive, negative = rng.normal(shift, 1, (4000, m)), rng.normal(0, 1, (4000, n))
    return (positive[:, :, None] > negative[:, None, :]).mean(axis=(1, 2))


@pytest.mark.parametrize("auc", [0.7, 0.95])
def test_the_variance_of_an_auc_is_that_of_two_normal_distributions(auc):
    # the interval ends where the AUC found is a quantile away, in standard errors of the end
    low, high = intervals.of_auc(auc, [(30, 20)], 1.0, 1.0)
    for end in (low, high):
        assert abs(end - auc) == pytest.approx(area(end, 30, 20, 0).std(), rel=0.05)


def test_folds_are_as_good_as_their_rows():
    whole = intervals.of_auc(0.9, [(100, 100)], 1.0, 1.96)
    in_two = intervals.of_auc(0.9, [(50, 50), (50, 50)], 1.0, 1.96)
    with_a_useless_one = intervals.of_auc(0.9, [(100, 100), (0, 30)], 1.0, 1.96)
    assert in_two == pytest.approx(whole, abs=1e-3)
    assert with_a_useless_one == pytest.approx(whole, abs=1e-12)


def test_the_studentised_bootstrap_equals_one_that_scores_each_resample():
    rng = np.random.default_rng(0)
    y, p, group = rng.normal(size=60), rng.normal(size=60), np.arange(60) // 5
    units = Units(group, 12)
    for name, sign in (("rmse", 1.0), ("r2", -1.0), ("mae", 1.0)):
        metric = metrics.METRICS[name]
        found = intervals.studentised(
            metric.means, y, [p], units, sign=sign, generator=np.random.default_rng(1), n_resamples=20
        )
        drawn = np.random.default_rng(1).integers(0, 12, size=(20, 12))
        by_hand = []
        whole = metrics.score(name, y, p)
        for groups in drawn:
            rows = np.concatenate([np.flatnonzero(group == each) for each in groups])
            renamed = Units(np.repeat(np.arange(12), 5), 12)
            # the mean that is taken off the target is that of all rows, which changes nothing
            score = metrics.score(name, y[rows], p[rows])
            error = renamed.standard_error(metric.influence(y[rows], p[rows]))
            left = [score, whole] if sign > 0 else [1 - score, 1 - whole]
            by_hand.append(np.log(left[0] / left[1]) * left[0] / error)
        np.testing.assert_allclose(found, by_hand, rtol=1e-8)


def test_blocks_see_the_autocorrelation():
    # AR(1) with coefficient .8: the variance of the mean is (1 + .8) / (1 - .8) = 9 times that of independent rows
    scenario = values(20_000, memory=0.8)
    mae = metrics.METRICS["mae"]
    ratios = []
    for seed in range(40):
        _, error = scenario.draw(np.random.default_rng(seed))
        influence = mae.influence(np.full(20_000, -50.0), error)  # so that the absolute value is the value
        ratios.append((scenario.units.standard_error(influence) / Units.rows(20_000).standard_error(influence)) ** 2)
    assert np.mean(ratios) == pytest.approx(9.0, rel=0.2)


def test_groups_are_as_uncertain_as_their_means():
    means = np.random.default_rng(0).exponential(size=50)
    rows = np.repeat(means, 10)
    found = Units(np.repeat(np.arange(50), 10), 50).standard_error(rows - rows.mean())
    assert found == pytest.approx(means.std(ddof=1) / np.sqrt(50), rel=1e-12)


def test_repeats_that_err_in_other_rows_make_no_more_rows():
    y = np.zeros(40, dtype=int)
    right, wrong = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    predictions = [np.where((np.arange(40) == k)[:, None], wrong, right) for k in range(4)]
    accuracy = metrics.METRICS["accuracy"]
    influence = np.mean([accuracy.influence(y, p) for p in predictions], axis=0)
    rng = np.random.default_rng(0)
    low, _ = intervals.interval(accuracy, y, predictions, 39 / 40, influence, Units.rows(40), level=0.95, generator=rng)
    assert low <= intervals.mid_p(39 / 40, 40, 0.95)[0]


def test_a_model_to_which_all_rows_are_alike_is_at_chance_for_sure():
    auc, y, p = metrics.METRICS["roc_auc"], np.arange(30) % 2, np.full((30, 2), 0.5)
    value, influence = statistics.score(auc, y, p)
    rng = np.random.default_rng(0)
    assert intervals.interval(auc, y, [p], value, influence, Units.rows(30), level=0.95, generator=rng) == (0.5, 0.5)


def test_what_has_no_influence_has_no_interval():
    error = metrics.METRICS["expected_calibration_error"]
    y, p = np.array([0, 1]), np.full((2, 2), 0.5)
    rng = np.random.default_rng(0)
    assert np.isnan(intervals.interval(error, y, [p], 0.1, None, Units.rows(2), level=0.95, generator=rng)).all()
    rmse = metrics.METRICS["rmse"]
    one = intervals.interval(
        rmse, np.zeros(1), [np.ones(1)], 1.0, np.zeros(1), Units.rows(1), level=0.95, generator=rng
    )
    assert np.isnan(one).all()
