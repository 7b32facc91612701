"""Every metric against scikit-learn, on random and on degenerate input, plain and weighted."""

import numpy as np
import pytest
from sklearn import metrics as sk

from serpens import metrics


def brier(y, p, w):
    if p.shape[1] == 2:
        return sk.brier_score_loss(y, p[:, 1], sample_weight=w)
    return sk.brier_score_loss(y, p, sample_weight=w, labels=np.arange(p.shape[1]))


def one_hot_precision(y, p, w):
    if p.shape[1] == 2:
        return sk.average_precision_score(y, p[:, 1], sample_weight=w)
    return sk.average_precision_score(np.eye(p.shape[1])[y], p, sample_weight=w)


def auc(y, p, w):
    if p.shape[1] == 2:
        return sk.roc_auc_score(y, p[:, 1], sample_weight=w)
    return np.mean([sk.roc_auc_score(y == k, p[:, k], sample_weight=w) for k in range(p.shape[1])])


CLASSIFICATION = {
    "accuracy": lambda y, p, w: sk.accuracy_score(y, p.argmax(1), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=w),
    "roc_auc": auc,
    "average_precision": one_hot_precision,
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w, labels=np.arange(p.shape[1])),
    "brier_score": brier,
}
REGRESSION = {
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: sk.r2_score(y, p, sample_weight=w),
}


def classification(seed, n_classes, ties=False):
    rng = np.random.default_rng(seed)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, 200 - n_classes))
    p = rng.dirichlet(np.ones(n_classes), 200)
    if ties:
        p = np.round(p, 1) + 0.1
        p /= p.sum(axis=1, keepdims=True)
    return y, p, rng.integers(0, 4, 200).astype(float) + (np.arange(200) < n_classes)


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_classification_equals_scikit_learn(name, n_classes, ties):
    for seed in range(5):
        y, p, w = classification(seed, n_classes, ties)
        for weights in (None, w):
            ours = metrics.score(name, y, p, weights)
            theirs = CLASSIFICATION[name](y, p, weights)
            assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_equals_scikit_learn(name):
    rng = np.random.default_rng(0)
    for shift in (0.0, 1e4):
        y = rng.normal(size=300) + shift
        p = y + rng.normal(size=300)
        for weights in (None, rng.integers(0, 4, 300).astype(float)):
            assert metrics.score(name, y, p, weights) == pytest.approx(
                REGRESSION[name](y, p, weights), abs=1e-9 if shift else 1e-12
            )


def test_constant_predictions():
    y, p = np.array([0, 1, 1, 0]), np.full((4, 2), 0.5)
    assert metrics.score("roc_auc", y, p) == 0.5
    assert metrics.score("average_precision", y, p) == 0.5
    assert metrics.score("r2", np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)) == 0


def test_one_class_leaves_ranking_undefined():
    assert np.isnan(metrics.score("roc_auc", np.ones(5, dtype=int), np.full((5, 2), 0.5)))


def test_the_weighted_median_is_the_median_of_repeated_rows():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 20):
        y, p, w = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 4, n)
        w[0] += 1
        repeated = np.median(np.repeat(abs(y - p), w))
        assert metrics.score("median_absolute_error", y, p, w.astype(float)) == pytest.approx(repeated, abs=1e-15)
        assert metrics.score("median_absolute_error", y, p) == pytest.approx(sk.median_absolute_error(y, p), abs=1e-15)


def test_weights_are_repeated_rows_for_every_metric():
    y, p, w = classification(3, 3)
    repeated = np.repeat(np.arange(len(y)), w.astype(int))
    for name in (metric.name for metric in metrics.for_task("classification")):
        assert metrics.score(name, y, p, w) == pytest.approx(metrics.score(name, y[repeated], p[repeated]), abs=1e-12)


def test_many_resamples_at_once_equal_one_after_the_other():
    y, p, _ = classification(0, 2)
    weights = np.random.default_rng(1).integers(0, 3, (7, len(y))).astype(float)
    for metric in metrics.for_task("classification"):
        at_once = metric.function(y, p, weights)
        single = [metrics.score(metric.name, y, p, row) for row in weights]
        np.testing.assert_allclose(at_once, single, atol=1e-12)


def test_calibration_error_of_a_known_case():
    # confidence .8 in one bin, right in half of the rows: off by .3, of which chance alone explains sqrt(2 / pi) errors
    for n in (4, 4000):
        y, p = np.array([0, 1] * (n // 2)), np.tile([0.8, 0.2], (n, 1))
        by_chance = np.sqrt(2 / np.pi * 0.8 * 0.2 / n)
        found = metrics.score("expected_calibration_error", y, p)
        assert found == pytest.approx(np.sqrt(0.3**2 - by_chance**2), abs=1e-12)


def test_a_calibrated_model_has_hardly_a_calibration_error():
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.5, 1, 200)
        y = (rng.random(200) > p).astype(int)
        found.append(metrics.score("expected_calibration_error", y, np.stack([p, 1 - p], axis=1)))
    # without the part of chance it is .064
    assert np.mean(found) < 0.03


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        (np.array([0.0, np.nan]), np.zeros(2), "every truth must be finite; row 1 is nan"),
        (np.zeros(2), np.array([np.inf, 0.0]), "every prediction must be finite; row 0 is inf"),
        (np.zeros(3), np.zeros(2), "the same length; found 3 and 2"),
    ],
)
def test_bad_values_are_refused(y, p, message):
    with pytest.raises(ValueError, match=message):
        metrics.score("rmse", y, p)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        (np.array([0, 2]), np.full((2, 2), 0.5), r"class codes must lie in 0..1; found 0..2"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.6]]), "in row 1 they sum to 1.1"),
    ],
)
def test_bad_classes_are_refused(y, p, message):
    with pytest.raises(ValueError, match=message):
        metrics.score("accuracy", y, p)


def test_curves_equal_scikit_learn():
    y, p, _ = classification(0, 2, ties=True)
    false, true, _ = sk.roc_curve(y, p[:, 1], drop_intermediate=False)
    np.testing.assert_allclose(metrics.roc_curve(y == 1, p[:, 1]), (false, true))
    precision, recall, _ = sk.precision_recall_curve(y, p[:, 1])
    ours = metrics.precision_recall_curve(y == 1, p[:, 1])
    np.testing.assert_allclose(ours[0], precision[:-1][::-1][: len(ours[0])])
    np.testing.assert_allclose(ours[1], recall[:-1][::-1][: len(ours[1])])
    assert (metrics.confusion_matrix(y, p.argmax(1), 2) == sk.confusion_matrix(y, p.argmax(1))).all()


def test_default_differences():
    assert metrics.default_difference(metrics.METRICS["roc_auc"], np.zeros(3)) == 0.01
    assert metrics.default_difference(metrics.METRICS["rmse"], np.array([0.0, 10.0])) == pytest.approx(0.1)
