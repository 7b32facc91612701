"""Intervals cover what they promise; tests raise as many false alarms as they may."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from serpens import metrics, statistics

N_STUDIES = 1000
N_ROWS = 400
N_RESAMPLES = 600
AUC = 0.85
SHIFT = np.sqrt(2) * NormalDist().inv_cdf(AUC)


def coverage(names, draw, truth):
    """Simulate studies and return, for each metric, how often its interval holds the truth."""
    chosen = [metrics.METRICS[name] for name in names]
    hits = dict.fromkeys(names, 0)
    for study in range(N_STUDIES):
        rng = np.random.default_rng(study)
        y, p = draw(rng)
        chunks = statistics.resampling_weights(len(y), generator=rng, n_resamples=N_RESAMPLES)
        scores = statistics.bootstrap_scores(chosen, y, [p], chunks)
        for name in names:
            low, high = statistics.interval(scores[name][0], level=0.95)
            hits[name] += low <= truth[name] <= high
    return {name: count / N_STUDIES for name, count in hits.items()}


def test_intervals_of_errors_cover():
    # a normal error of 1: RMSE 1, MAE sqrt(2 / pi)
    found = coverage(
        ["rmse", "mae"],
        lambda rng: (np.zeros(N_ROWS), rng.normal(size=N_ROWS)),
        {"rmse": 1.0, "mae": np.sqrt(2 / np.pi)},
    )
    assert all(0.93 <= share <= 0.97 for share in found.values()), found


def test_intervals_of_accuracy_and_auc_cover():
    # two normal scores SHIFT apart: AUC .85, and accuracy at the midpoint Phi(SHIFT / 2)
    def draw(rng):
        y = np.arange(N_ROWS) % 2
        score = rng.normal(size=N_ROWS) + SHIFT * (y - 0.5)
        p = 1 / (1 + np.exp(-score))
        return y, np.stack([1 - p, p], axis=1)

    found = coverage(["accuracy", "roc_auc"], draw, {"accuracy": NormalDist().cdf(SHIFT / 2), "roc_auc": AUC})
    assert all(0.93 <= share <= 0.97 for share in found.values()), found


def test_the_paired_test_raises_one_false_alarm_in_twenty():
    alarms, n_studies = 0, 600
    rmse = [metrics.METRICS["rmse"]]
    for study in range(n_studies):
        rng = np.random.default_rng(study)
        shared = rng.normal(size=200)
        y, pair = np.zeros(200), [shared + 0.5 * rng.normal(size=200) for _ in range(2)]
        chunks = statistics.resampling_weights(200, generator=rng, n_resamples=400)
        ours, theirs = statistics.bootstrap_scores(rmse, y, pair, chunks)["rmse"]
        _, p_value = statistics.paired_difference(0.0, 0.0, ours, theirs, level=0.95)
        alarms += p_value < 0.05
    # 5 % give or take two standard errors
    assert 0.03 <= alarms / n_studies <= 0.07


def spread_of_mean(values, **resampling):
    chunks = statistics.resampling_weights(generator=np.random.default_rng(0), n_resamples=4000, **resampling)
    mae = [metrics.METRICS["mae"]]
    return statistics.bootstrap_scores(mae, np.zeros(len(values)), [values], chunks)["mae"][0].std()


def test_rows_resampled_singly_give_the_standard_error():
    values = np.random.default_rng(0).exponential(size=500)
    assert spread_of_mean(values, n_units=500) == pytest.approx(values.std() / np.sqrt(500), rel=0.05)


def test_groups_resampled_whole_give_the_standard_error_of_their_means():
    rng = np.random.default_rng(0)
    means = rng.exponential(size=50)
    values = np.repeat(means, 10)
    found = spread_of_mean(values, n_units=50, unit_of_row=np.repeat(np.arange(50), 10))
    assert found == pytest.approx(means.std() / np.sqrt(50), rel=0.05)


def test_blocks_see_the_autocorrelation():
    # AR(1) with coefficient .8: the variance of the mean is (1 + .8) / (1 - .8) = 9 times that of independent rows
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20_000)
    values = np.empty(20_000)
    values[0] = noise[0]
    for t in range(1, len(values)):
        values[t] = 0.8 * values[t - 1] + noise[t]
    values += 50  # so that the absolute value is the value
    ratio = spread_of_mean(values, n_units=20_000, block_length=100) / (values.std() / np.sqrt(20_000))
    assert ratio == pytest.approx(3.0, rel=0.1)


def test_every_resample_has_as_many_units_as_the_data():
    for length in (None, 1, 7, 30):
        chunks = statistics.resampling_weights(
            30, generator=np.random.default_rng(0), n_resamples=50, block_length=length
        )
        assert (np.concatenate(list(chunks)).sum(axis=1) == 30).all()


def test_the_interval_agrees_with_scipys():
    values = np.random.default_rng(0).exponential(size=200)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    chunks = statistics.resampling_weights(200, generator=np.random.default_rng(2), n_resamples=20_000)
    mae = statistics.bootstrap_scores([metrics.METRICS["mae"]], np.zeros(200), [values], chunks)["mae"][0]
    assert statistics.interval(mae, level=0.95) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_an_interval_of_too_many_undefined_resamples_is_undefined():
    replicates = np.append(np.full(6, np.nan), np.arange(94.0))
    assert np.isnan(statistics.interval(replicates, level=0.95)).all()
    assert np.isfinite(statistics.interval(replicates[2:], level=0.95)).all()


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
    auc, ones = [metrics.METRICS["roc_auc"]], np.ones((1, 300))
    assert statistics.bootstrap_scores(auc, y, [p], [ones])["roc_auc"].item() < 0.5
    assert statistics.bootstrap_scores(auc, y, [p], [ones], fold_of_row=fold)["roc_auc"].item() == 0.5


def test_a_fold_counts_by_its_rows_and_not_where_it_is_undefined():
    y = np.array([0, 1, 0, 1, 0, 1, 1, 1])
    score = np.array([0.1, 0.9, 0.8, 0.2, 0.3, 0.4, 0.5, 0.6])
    p, fold = np.stack([1 - score, score], axis=1), np.array([0, 0, 1, 1, 1, 1, 2, 2])
    ones = np.ones((1, 8))
    found = statistics.bootstrap_scores([metrics.METRICS["roc_auc"]], y, [p], [ones], fold_of_row=fold)
    # AUC 1 of two rows, .25 of four rows; two rows of one class say nothing
    assert found["roc_auc"].item() == pytest.approx((2 * 1 + 4 * 0.25) / 6)


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
