"""Tests raise as many false alarms as they may, and find what they promise to find."""

import numpy as np
import pytest
from scipy import stats
from tests.unit.simulated import values

from serpens import metrics, statistics
from serpens.intervals import Units
from serpens.statistics import Difference

MEASURES = [name for name, each in metrics.METRICS.items() if each.influence is not None and each.kind != "median"]


def rivals(seed, n=200, better=0.0, n_models=2):
    """Predictions of the same values, whose errors have most of their noise in common."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n)
    return np.zeros(n), [shared * (1 - better * (k == 0)) + 0.5 * rng.normal(size=n) for k in range(n_models)]


def compared(name, y, ours, theirs, units):
    metric = metrics.METRICS[name]
    (a, left), (b, right) = (statistics.score(metric, y, each) for each in (ours, theirs))
    return statistics.paired(a - b, left - right, units)


def classes(seed, n=200, groups=None):
    """Two models of the same worth that share part of their noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    common = rng.normal(size=n) if groups is None else rng.normal(size=n // groups).repeat(groups)
    probabilities = []
    for _ in range(2):
        own = rng.normal(size=n) if groups is None else rng.normal(size=n // groups).repeat(groups)
        p = 1 / (1 + np.exp(-(2.0 * (y - 0.5) + common + own)))
        probabilities.append(np.stack([1 - p, p], axis=1))
    return y, probabilities


def false_alarms(n_studies):
    """Return how often each test finds a difference where there is none."""
    alarms = dict.fromkeys(("rmse", "mae", "r2", "roc_auc", "accuracy", "log_loss", "roc_auc in groups", "in time"), 0)
    in_time, blocks = values(400, memory=0.6), Units(np.arange(400) * 8 // 400, 8, exchangeable=False)
    for seed in range(n_studies):
        y, pair = rivals(seed)
        found = {name: compared(name, y, *pair, Units.rows(200)) for name in ("rmse", "mae")}
        found["r2"] = compared("r2", y + np.arange(200) / 40, *(p + np.arange(200) / 40 for p in pair), Units.rows(200))
        y, pair = classes(seed)
        found |= {name: compared(name, y, *pair, Units.rows(200)) for name in ("roc_auc", "accuracy", "log_loss")}
        y, pair = classes(seed, 400, groups=10)
        found["roc_auc in groups"] = compared("roc_auc", y, *pair, Units(np.arange(400) // 10, 40))
        rng = np.random.default_rng(seed)
        y, one = in_time.draw(rng)
        found["in time"] = compared("rmse", y, one, y + in_time.draw(rng)[0] * 0.5, blocks)
        for name, each in found.items():
            alarms[name] += each.p_value < 0.05
    return {name: count / n_studies for name, count in alarms.items()}


def test_the_paired_test_raises_about_one_false_alarm_in_twenty():
    found = false_alarms(200)
    assert all(share <= 0.1 for share in found.values()), found
    assert sum(found.values()) / len(found) >= 0.03


@pytest.mark.slow
def test_the_paired_test_raises_one_false_alarm_in_twenty_of_a_thousand_studies():
    found = false_alarms(1000)
    assert all(0.035 <= share <= 0.065 for share in found.values()), found


def families_with_an_alarm(n_studies):
    """Return how often one of six comparisons, of three models with two baselines alike, is called a difference."""
    alarms = 0
    for seed in range(n_studies):
        y, predictions = rivals(seed, n_models=5)
        p = [
            compared("rmse", y, predictions[model], predictions[baseline], Units.rows(200)).p_value
            for model in (0, 1, 2)
            for baseline in (3, 4)
        ]
        alarms += (statistics.holm(p) < 0.05).any()
    return alarms / n_studies


def test_corrected_for_their_number_few_families_of_comparisons_raise_an_alarm():
    assert families_with_an_alarm(200) <= 0.1


@pytest.mark.slow
def test_corrected_for_their_number_no_more_than_one_family_in_twenty_raises_an_alarm():
    found = families_with_an_alarm(1000)
    assert found <= 0.05


def power(n_studies):
    """Return how often the difference that is called detectable is found."""
    y, pair = rivals(0, n=40_000)
    per_row = compared("mae", y, *pair, Units.rows(40_000)).error * np.sqrt(40_000)
    detectable = Difference(0.0, per_row / np.sqrt(200), 200).detectable(0.95)
    found = 0
    for seed in range(n_studies):
        y, (ours, theirs) = rivals(seed)
        # as much larger errors as the difference, whatever their sign
        found += compared("mae", y, ours + np.sign(ours) * detectable, theirs, Units.rows(200)).p_value < 0.05
    return found / n_studies


def test_the_detectable_difference_is_mostly_found():
    assert power(200) == pytest.approx(statistics.POWER, abs=0.09)


@pytest.mark.slow
def test_the_detectable_difference_is_found_as_often_as_is_said():
    found = power(1000)
    assert found == pytest.approx(statistics.POWER, abs=0.05)


@pytest.mark.parametrize("name", MEASURES)
def test_influence_is_what_a_little_more_of_a_row_does(name):
    metric, rng, n, step = metrics.METRICS[name], np.random.default_rng(0), 60, 1e-6
    y, p = rng.normal(size=n), rng.normal(size=n)
    inputs = [(y, p)]
    if metric.classification:
        shares = np.round(rng.dirichlet(np.ones(3), n), 1) + 0.05  # with ties
        two = np.round(rng.random(n), 1) * 0.9 + 0.05
        inputs = [
            (rng.integers(0, 3, n), shares / shares.sum(axis=1, keepdims=True)),
            (rng.integers(0, 2, n), np.stack([1 - two, two], axis=1)),
        ]
    for truth, predicted in inputs:
        more = metric.function(truth, predicted, 1 + step * np.eye(n))
        plain = metric.function(truth, predicted, np.ones((1, n)))
        np.testing.assert_allclose(metric.influence(truth, predicted), n * (more - plain) / step, atol=1e-4)


def test_influence_over_folds_is_what_a_little_more_of_a_row_does():
    rng, n = np.random.default_rng(0), 90
    y, p, fold = rng.integers(0, 2, n), rng.random(n), np.arange(n) % 3
    y[fold == 2] = 1  # a fold that cannot be ranked
    p = np.stack([1 - p, p], axis=1)
    masks = [fold == k for k in range(3)]
    value, influence = statistics.score(metrics.METRICS["roc_auc"], y, p, masks)

    def weighted(weights):
        areas = [metrics.score("roc_auc", y[mask], p[mask], weights[mask]) for mask in masks[:2]]
        return np.average(areas, weights=[weights[mask].sum() for mask in masks[:2]])

    assert value == pytest.approx(weighted(np.ones(n)), rel=1e-12)
    step = 1e-6
    by_hand = [n * (weighted(1 + step * (np.arange(n) == i)) - value) / step for i in range(n)]
    np.testing.assert_allclose(influence, by_hand, atol=1e-4)


def test_of_a_mean_the_paired_test_is_students():
    y, (ours, theirs) = rivals(1)
    theirs_by_scipy = stats.ttest_rel(abs(ours), abs(theirs))
    found = compared("mae", y, ours, theirs, Units.rows(200))
    interval = theirs_by_scipy.confidence_interval(0.95)
    assert found.p_value == pytest.approx(theirs_by_scipy.pvalue, rel=1e-9)
    assert found.interval(0.95) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_of_roc_auc_the_paired_test_is_delongs():
    y, (ours, theirs) = classes(3)
    found = compared("roc_auc", y, ours, theirs, Units.rows(200))
    # his structural components, row against row
    positive, negative = y == 1, y == 0
    above, below = [], []
    for p in (ours[:, 1], theirs[:, 1]):
        wins = (p[positive][:, None] > p[negative]) + 0.5 * (p[positive][:, None] == p[negative])
        above.append(wins.mean(axis=1))
        below.append(wins.mean(axis=0))
    m, n = positive.sum(), negative.sum()
    variance = np.var(above[0] - above[1], ddof=1) / m + np.var(below[0] - below[1], ddof=1) / n
    assert found.value == pytest.approx(above[0].mean() - above[1].mean(), rel=1e-12)
    assert found.error == pytest.approx(np.sqrt(variance), rel=0.01)


def test_the_corrected_test_of_folds_by_hand():
    # differences of .1, .2, .3: mean .2, deviation .1; a third of the rows tests what two thirds made
    found = statistics.corrected(0.2, np.array([0.1, 0.2, 0.3]))
    assert found.error == pytest.approx(0.1 * np.sqrt(1 / 3 + 1 / 2), rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.2 / found.error, 2), rel=1e-9)


def test_the_wider_of_two_intervals_counts():
    narrow, wide = Difference(0.1, 0.01, 100), Difference(0.1, 0.01, 5)
    assert statistics.wider(narrow, wide, 0.95) is wide
    assert statistics.wider(wide, narrow, 0.95) is wide
    assert statistics.wider(narrow, Difference(0.1, np.nan, 5), 0.95) is narrow


def test_the_same_predictions_differ_by_nothing_for_sure():
    y, (ours, _) = rivals(0)
    found = compared("rmse", y, ours, ours, Units.rows(200))
    assert (found.interval(0.95), found.p_value) == ((0.0, 0.0), 1.0)


def test_of_what_cannot_be_told_nothing_is_said():
    found = Difference(0.1, np.nan, 10)
    assert np.isnan(found.interval(0.95)).all()
    assert found.p_value == 1.0
    assert statistics.rows_to_decide(found, 0.05, 100, 0.95) is None


def test_four_times_the_rows_halve_the_interval():
    # the interval of .1 reaches .2 to both sides; half of that, and it would begin at 0
    found = Difference(0.1, 0.2 / stats.t.ppf(0.975, 99), 100)
    assert statistics.rows_to_decide(found, 0.05, 100, 0.95) == 300
    # or it would end below what matters, if that is nearer: from .2 to .15 in 1.78 times the rows
    assert statistics.rows_to_decide(found, 0.25, 100, 0.95) == 78
    assert statistics.rows_to_decide(Difference(0.3, found.error, 100), 0.05, 100, 0.95) is None


def test_holm_of_a_published_example():
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") and one out of order
    np.testing.assert_allclose(statistics.holm([0.01, 0.02, 0.03, 0.04, 0.05]), [0.05, 0.08, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(statistics.holm([0.04, 0.01, 0.9]), [0.08, 0.03, 0.9])


def test_rows_are_ranked_within_their_fold_alone():
    # a model that knows only the prevalence of its training rows is at chance, though it differs between folds
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.4).astype(int)
    fold = np.arange(300) % 3
    prevalence = np.array([y[fold != k].mean() for k in range(3)])[fold]
    p = np.stack([1 - prevalence, prevalence], axis=1)
    auc = metrics.METRICS["roc_auc"]
    assert statistics.score(auc, y, p)[0] < 0.5
    assert statistics.score(auc, y, p, [fold == k for k in range(3)])[0] == 0.5


def test_a_fold_counts_by_its_rows_and_not_where_it_is_undefined():
    y = np.array([0, 1, 0, 1, 0, 1, 1, 1])
    score = np.array([0.1, 0.9, 0.8, 0.2, 0.3, 0.4, 0.5, 0.6])
    p, fold = np.stack([1 - score, score], axis=1), np.array([0, 0, 1, 1, 1, 1, 2, 2])
    found, _ = statistics.score(metrics.METRICS["roc_auc"], y, p, [fold == k for k in range(3)])
    # AUC 1 of two rows, .25 of four rows; two rows of one class say nothing
    assert found == pytest.approx((2 * 1 + 4 * 0.25) / 6)


@pytest.mark.parametrize(
    ("low", "high", "helps"),
    [
        (0.1, 0.2, True),
        (-0.2, -0.1, False),
        (-0.2, 0.04, False),
        (-0.1, 0.2, None),
        (0.001, 0.01, True),
        (None, None, None),
    ],
)
def test_the_verdict_follows_the_interval(low, high, helps):
    assert statistics.verdict(low, high, 0.05) is helps
