"""The judgement: pooled rows, paired differences, and a verdict that the numbers support."""

import numpy as np
import pytest

from serpens import evaluation, scoring
from serpens.intervals import Units
from serpens.layout import Run


def judged(models, truth, **more):
    settings = {
        "study": "s",
        "task": "regression",
        "classes": (),
        "test_on": "new rows",
        "metric": None,
        "meaningful_difference": 0.05,
        "families": dict.fromkeys(models, "mlp"),
        "baselines": ["base"],
        "validation_scores": {name: float(np.std(repeats[0] - truth)) for name, repeats in models.items()},
        "parameters": dict.fromkeys(models, 1),
        "run_scores": {
            Run(name, 0, r): float(np.sqrt(np.mean((repeat - truth) ** 2)))
            for name, repeats in models.items()
            for r, repeat in enumerate(repeats)
        },
        "seed": 0,
    }
    tested = more.pop("tested", scoring.TestSet(truth, Units.rows(len(truth)), "rows"))
    return evaluation.evaluate(tested, models, **(settings | more))


@pytest.fixture
def truth():
    return np.random.default_rng(0).normal(size=400)


def noisy(truth, size, seed):
    return truth + size * np.random.default_rng(seed).normal(size=len(truth))


def test_a_clearly_better_model_helps_and_the_sentence_says_so(truth):
    models = {"deep": [noisy(truth, 0.2, 1)], "base": [noisy(truth, 1.0, 2)]}
    verdict = judged(models, truth).verdict
    assert verdict.deep_learning_helps is True
    assert verdict.text.startswith("Yes: deep predicts better than the best baseline, base: RMSE 0.183 against 1.01, ")


def test_a_worse_model_does_not_help(truth):
    models = {"deep": [noisy(truth, 1.0, 1)], "base": [noisy(truth, 0.2, 2)]}
    verdict = judged(models, truth).verdict
    assert verdict.deep_learning_helps is False
    assert verdict.text.startswith("No: deep is worse than the best baseline, base")


def test_what_cannot_be_told_is_undecided(truth):
    models = {"deep": [noisy(truth, 1.0, 1)], "base": [noisy(truth, 1.0, 2)]}
    verdict = judged(models, truth, meaningful_difference=0.001).verdict
    assert verdict.deep_learning_helps is None
    assert verdict.text.startswith("Undecided")
    assert 1 <= verdict.more_rows < 50
    assert verdict.text.endswith(f"About {verdict.more_rows} more test rows would decide, if it stays so.")
    assert 0 < verdict.detectable_difference < 0.3


def test_over_folds_a_difference_is_that_of_training_rows_too(truth):
    models = {"deep": [noisy(truth, 1.0, 1)], "base": [noisy(truth, 1.01, 2)]}
    fold = np.arange(400) % 5
    tested = scoring.TestSet(truth, Units.rows(400), "rows", fold_of_row=fold)
    # the folds say that it depends on the training rows much more than on those of the test
    scores = {Run("deep", k, 0): 1 + 0.5 * (k % 2) for k in range(5)} | {Run("base", k, 0): 1.2 for k in range(5)}
    on_rows = judged(models, truth).comparisons[0]
    over_folds = judged(models, truth, tested=tested, run_scores=scores).comparisons[0]
    widths = [each.difference.high - each.difference.low for each in (on_rows, over_folds)]
    assert widths[1] > 2 * widths[0]
    # Nadeau and Bengio: a fifth of the rows tests what four fifths made
    s = np.std([0.2, -0.3, 0.2, -0.3, 0.2], ddof=1)
    assert widths[1] == pytest.approx(2 * 2.776445 * s * np.sqrt(1 / 5 + 1 / 4), rel=1e-6)
    assert over_folds.test.endswith("corrected for training rows that they share, where its interval is wider")


def test_a_difference_is_paired(truth):
    # two models that share their errors differ by much less than each is uncertain
    shared = noisy(truth, 1.0, 1)
    models = {"deep": [shared], "base": [shared + 0.01]}
    result = judged(models, truth)
    difference = result.comparisons[0].difference
    score = result.models["deep"].score
    assert (difference.high - difference.low) < 0.1 * (score.high - score.low)


def test_a_score_is_the_mean_of_repeats_and_the_ensemble_their_average_prediction(truth):
    repeats = [noisy(truth, 1.0, seed) for seed in (1, 2, 3)]
    result = judged({"deep": repeats, "base": [noisy(truth, 1.0, 9)]}, truth).models["deep"]
    each = [float(np.sqrt(np.mean((repeat - truth) ** 2))) for repeat in repeats]
    assert result.score.value == pytest.approx(np.mean(each), rel=1e-12)
    ensemble = np.sqrt(np.mean((np.mean(repeats, axis=0) - truth) ** 2))
    assert result.ensemble.value == pytest.approx(ensemble, rel=1e-12)
    assert result.spread.repeats == pytest.approx(np.std(each, ddof=1), rel=1e-9)
    assert result.spread.splits is None


def test_the_best_are_chosen_on_validation_not_on_test(truth):
    models = {"lucky": [noisy(truth, 0.1, 1)], "chosen": [noisy(truth, 0.5, 2)], "base": [noisy(truth, 1.0, 3)]}
    result = judged(models, truth, validation_scores={"lucky": 0.9, "chosen": 0.3, "base": 1.0})
    assert result.verdict.best_model == "chosen"


def test_groups_widen_the_interval(truth):
    rng = np.random.default_rng(3)
    group = np.arange(400) % 20
    predicted = truth + rng.normal(size=20)[group]
    models = {"deep": [predicted], "base": [noisy(truth, 1.0, 2)]}
    by_row = judged(models, truth).models["deep"].score
    tested = scoring.TestSet(truth, Units(group, 20), "groups of patient", groups=True)
    grouped = judged(models, truth, tested=tested)
    by_group = grouped.models["deep"].score
    assert grouped.n_groups == 20
    assert (by_group.high - by_group.low) > 2 * (by_row.high - by_row.low)


def test_units_follow_the_claim():
    truth = np.zeros(6)
    rows = {"fold": np.zeros(6), "group": np.array(list("bbaacc"), dtype=object), "time": np.arange(6)[::-1]}
    tested = scoring.test_set(rows, truth, group="patient", in_time=False, horizon=0)
    assert tested.units.n == 3
    assert tested.name == "groups of patient"
    tested = scoring.test_set(rows, truth, group=None, in_time=True, horizon=0)
    assert tested.units.of_row.tolist() == [5, 4, 3, 2, 1, 0]
    assert not tested.units.exchangeable
    origins = {"origin": np.arange(60).repeat(2)}
    tested = scoring.test_set(origins, np.zeros(120), group=None, in_time=True, horizon=20)
    # no shorter than the horizon, in which forecasts overlap
    assert np.bincount(tested.units.of_row).tolist() == [40, 40, 40]
    assert tested.name == "3 blocks of about 20 consecutive origins"
    tested = scoring.test_set(origins, np.zeros(120), group=None, in_time=True, horizon=2)
    assert tested.units.n == scoring.N_BLOCKS


def test_scores_are_a_flat_table(truth):
    models = {"deep": [noisy(truth, 0.2, 1), noisy(truth, 0.2, 4)], "base": [noisy(truth, 1.0, 2)]}
    rows = evaluation.score_rows(judged(models, truth))
    assert len({tuple(row) for row in rows}) == 1
    deep = [row for row in rows if row["model"] == "deep" and row["of"] == "one training"]
    assert [row["repeat"] for row in deep] == [0, 1]
