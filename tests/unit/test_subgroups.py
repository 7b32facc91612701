"""Whom a model serves worse: subgroups by words and numbers, and one that was planted."""

import numpy as np
import pytest

from serpens import evaluation, metrics, scoring, subgroups, wording
from serpens.errors import DataError
from serpens.intervals import Units
from serpens.layout import Run


def told(**columns):
    return [(level, int(rows.sum())) for _, level, rows in subgroups.of_columns(columns)]


def test_words_are_their_own_subgroups_the_largest_first_and_the_missing_last():
    assert told(sex=np.array(["m", None, "f", "f", None, None], dtype=object)) == [("f", 2), ("m", 1), ("missing", 3)]


def test_numbers_are_cut_at_their_quartiles():
    assert told(age=np.append(np.arange(20, 28.0), np.nan)) == [
        ("20 to 21", 2),
        ("22 to 23", 2),
        ("24 to 25", 2),
        ("26 to 27", 2),
        ("missing", 1),
    ]


def test_a_few_numbers_are_each_a_subgroup():
    assert told(stage=np.array([1.0, 2, 2, 3])) == [("1", 1), ("2", 2), ("3", 1)]


def test_most_of_a_number_is_one_subgroup():
    assert told(dose=np.array([0.0] * 7 + [1, 2, 3, 4, 5])) == [("0 to 2", 9), ("3 to 5", 3)]


def test_times_are_cut_at_their_quartiles():
    days = np.datetime64("2024-01-01", "us") + np.arange(8).astype("timedelta64[D]")
    assert told(day=days)[0] == ("2024-01-01 to 2024-01-02", 2)


def test_too_many_words_are_no_subgroups():
    with pytest.raises(DataError, match="must have at most 20 values; column 'town' has 21 among the test rows: group"):
        told(town=np.array([f"t{i}" for i in range(21)], dtype=object))


@pytest.fixture
def judged():
    rng = np.random.default_rng(0)
    truth, site = rng.normal(size=900), np.array(["a", "b", "c"], dtype=object)[np.arange(900) % 3]
    # three times the error at b
    models = {
        "deep": [truth + np.where(site == "b", 0.9, 0.3) * rng.normal(size=900) for _ in range(2)],
        "base": [truth + rng.normal(size=900)],
    }
    return evaluation.evaluate(
        scoring.TestSet(truth, Units.rows(900), "rows"),
        models,
        study="s",
        task="regression",
        classes=(),
        test_on="new rows",
        metric=None,
        meaningful_difference=0.05,
        families=dict.fromkeys(models, "mlp"),
        baselines=["base"],
        validation_scores={"deep": 0.5, "base": 1.0},
        parameters=dict.fromkeys(models, 1),
        run_scores={Run("deep", 0, 0): 0.5, Run("deep", 0, 1): 0.5, Run("base", 0, 0): 1.0},
        seed=0,
        subgroups={"site": site},
    )


def test_the_subgroup_that_a_model_serves_worse_is_found(judged):
    a, b, c = judged.subgroups
    assert [each.level for each in (a, b, c)] == ["a", "b", "c"]
    for each, error in ((a, 0.3), (b, 0.9), (c, 0.3)):
        assert each.score.low < error < each.score.high
        assert each.baseline.value == pytest.approx(1.0, abs=0.1)
    # against the pooled error of the other two, by hand
    assert b.against_rest.value == pytest.approx(0.3 - 0.9, abs=0.06)
    assert b.against_rest.high < 0
    assert b.p_adjusted < 1e-6
    assert a.against_rest.low > 0
    assert judged.worst_subgroup is b
    assert wording.worst(b, judged).startswith("deep does worst where site is b (300 test rows): RMSE 0.872 [")
    assert "chance" not in wording.worst(b, judged)


def test_false_alarms_of_subgroups_are_kept():
    accuracy, alarms = metrics.METRICS["accuracy"], 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth, right = np.zeros(200, dtype=int), rng.random(200) < 0.7
        predicted = [np.stack([right, ~right], axis=1).astype(float)]
        tested = scoring.TestSet(truth, Units.rows(200), "rows")
        found = scoring.by_subgroup(
            tested, predicted, predicted, accuracy, {"g": rng.integers(0, 4, 200).astype(float)}, seed=0
        )
        alarms += min(each.p_adjusted for each in found) < 0.05
    assert alarms / 200 <= 0.1


def test_a_subgroup_of_one_class_has_no_rank():
    y = np.array([0, 1] * 20 + [1] * 10)
    p = np.stack([np.full(50, 0.5)] * 2, axis=1)
    tested = scoring.TestSet(y, Units.rows(50), "rows")
    column = np.array(["mixed"] * 40 + ["ill"] * 10, dtype=object)
    mixed, ill = scoring.by_subgroup(tested, [p], [p], metrics.METRICS["roc_auc"], {"group": column}, seed=0)
    assert (mixed.score.value, ill.score.value, ill.against_rest.value, ill.p_value) == (0.5, None, None, 1.0)
