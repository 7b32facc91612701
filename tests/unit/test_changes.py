"""What changed between two evaluations, with planted truth."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.unit.entries import STUDY, plant

from serpens import pages, wording
from serpens.changes import Change, changes

N = 120


@pytest.fixture
def truth():
    return np.random.default_rng(0).normal(size=N)


@pytest.fixture
def error():
    return np.random.default_rng(1).uniform(1, 2, size=N)


def test_a_gain_of_every_row_is_found_exactly_and_is_sure(tmp_path, truth, error):
    then = plant(tmp_path, "001", truth, {"deep": [truth + error], "base": [truth + 1]}, metric="mae")
    now = plant(tmp_path, "002", truth, {"deep": [truth + error - 0.25], "base": [truth - 1]}, metric="mae")
    found = changes(then, now)
    deep, base = found.scores
    assert [getattr(deep.gain, end) for end in ("value", "low", "high")] == pytest.approx([0.25] * 3)
    assert deep.then.value - deep.now.value == pytest.approx(0.25)
    # the sign of an error does not matter to its size
    assert base.gain.value == pytest.approx(0, abs=1e-12)
    assert (base.baseline, found.n_paired, found.unit, found.unpaired) == (True, N, "rows", None)


def test_only_rows_of_both_with_the_same_truth_are_paired(tmp_path, truth, error):
    then = plant(tmp_path, "001", truth, {"deep": [truth + error], "base": [truth + 1]}, metric="mae")
    # half as wrong on 60 old rows in another order; one of them has another truth, and 30 are new
    kept = np.random.default_rng(2).permutation(N)[:60]
    new = np.arange(30.0)
    truth_now = np.r_[truth[kept], new]
    truth_now[7] += 100
    predicted = np.r_[truth[kept] + error[kept] / 2, new + 50]
    now = plant(
        tmp_path,
        "002",
        truth_now,
        {"deep": [predicted], "base": [truth_now + 1]},
        rows=[f"r{k}" for k in kept] + [f"new{k}" for k in range(30)],
        metric="mae",
    )
    found = changes(then, now)
    paired = np.delete(kept, 7)
    assert found.n_paired == 59
    assert found.scores[0].gain.value == pytest.approx(np.mean(error[paired] / 2))
    assert found.scores[0].now.value == pytest.approx(np.mean(abs(predicted - truth_now)))


def test_a_score_of_repeats_is_compared_with_a_score_of_repeats_not_with_their_average(tmp_path, truth, error):
    then = plant(tmp_path, "001", truth, {"deep": [truth + error], "base": [truth + 1]}, metric="mae")
    # errors of opposite sign: the average of these two repeats is perfect, each of them is not
    now = plant(tmp_path, "002", truth, {"deep": [truth + error, truth - error], "base": [truth + 1]}, metric="mae")
    assert changes(then, now).scores[0].gain.value == pytest.approx(0, abs=1e-12)


def test_groups_are_resampled_where_the_claim_is_about_groups(tmp_path, truth, error):
    group = np.array([f"g{k % 6}" for k in range(N)])
    by_group = np.random.default_rng(3).uniform(0, 1, size=6)[np.arange(N) % 6]
    models = ({"deep": [truth + error], "base": [truth + 1]}, {"deep": [truth + error - by_group], "base": [truth + 1]})
    widths = {}
    for claim in (None, "patient"):
        then, now = (
            plant(
                tmp_path / str(claim),
                f"00{k + 1}",
                truth,
                each,
                units={"group": group},
                test_on={"new": claim, "after": None},
                metric="mae",
            )
            for k, each in enumerate(models)
        )
        found = changes(then, now)
        assert found.unit == (f"groups of {claim}" if claim else "rows")
        widths[claim] = found.scores[0].gain.high - found.scores[0].gain.low
    assert widths["patient"] > 2 * widths[None]


def test_a_metric_that_ranks_is_taken_within_the_folds_of_its_time(tmp_path):
    rng = np.random.default_rng(4)
    code = rng.integers(0, 2, size=N)
    truth = np.array(["no", "yes"], dtype=object)[code]
    p = np.clip(code * 0.2 + rng.uniform(0, 0.6, size=N), 0, 0.8)
    fold_then, fold_now = np.arange(N) % 2, np.arange(N) % 3
    # each fold's model is off by a constant, which matters only if rows of two folds are ranked together
    p_then, p_now = p + 0.1 * fold_then, np.sqrt(p) * 0.8 + 0.05 * fold_now
    probabilities = [np.stack([1 - each, each], axis=1) for each in (p_then, p_now)]
    then, now = (
        plant(
            tmp_path, name, truth, {"deep": [each], "base": [each]}, fold=fold, classes=["no", "yes"], metric="roc_auc"
        )
        for name, each, fold in zip(("001", "002"), probabilities, (fold_then, fold_now), strict=True)
    )

    def within(fold, scores):
        each = [roc_auc_score(code[fold == k], scores[fold == k]) for k in np.unique(fold)]
        return np.average(each, weights=[(fold == k).sum() for k in np.unique(fold)])

    gain = changes(then, now).scores[0].gain
    assert gain.value == pytest.approx(within(fold_now, p_now) - within(fold_then, p_then), abs=1e-12)


def test_forecasts_are_paired_by_origin_and_step(tmp_path):
    origin, step = np.arange(40).repeat(3), np.tile([1, 2, 3], 40)
    truth = (origin + step).astype(float)
    common = {"horizon": 3, "time": "t", "id": None, "metric": "mae"}

    def entry(name, at, wrong):
        units = {"origin": origin[at], "step": step[at]}
        models = {"deep": [truth[at] + wrong[at]], "base": [truth[at] + 1]}
        return plant(tmp_path, name, truth[at], models, rows=[f"t{t:.0f}" for t in truth[at]], units=units, **common)

    then = entry("001", origin < 30, 2.0 * step)
    now = entry("002", (origin >= 10) & (step < 3), 1.0 * step)
    found = changes(then, now)
    assert found.n_paired == 20 * 2
    assert found.scores[0].gain.value == pytest.approx(1.5)
    assert found.unit == "6 blocks of about 3 consecutive origins"


def test_rows_added_removed_and_altered_are_counted(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models, content=[f"c{k}" for k in range(N)])
    names = [f"r{k}" for k in range(3, N)] + ["a", "b", "c"]
    content = ["other", "another", *(f"c{k}" for k in range(5, N)), "x", "y", "z"]
    now = plant(tmp_path, "002", truth, models, rows=names, content=content, data="e")
    rows = changes(then, now).rows
    assert (rows.then, rows.now, rows.added, rows.removed, rows.altered) == (N, N, 3, 3, 2)
    assert wording.rows(rows) == "120 rows, as before: 3 added, 3 removed, 2 altered"


def test_rows_without_an_id_are_named_by_what_they_hold_and_the_words_say_so(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models, id=None)
    now = plant(tmp_path, "002", truth, models, id=None, rows=["new", *(f"r{k}" for k in range(1, N))])
    assert wording.rows(changes(then, now).rows) == (
        "120 rows, as before: 1 added, 1 removed; without an id a row is known by what it holds, so that an altered "
        "one counts as one removed and one added"
    )


def test_with_other_columns_nobody_claims_to_know_which_rows_were_altered(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models)
    columns = {"x": "category", "z": "number", "y": "number"}
    now = plant(tmp_path, "002", truth, models, content=["?"] * N, column_types=columns)
    found = changes(then, now)
    assert found.columns == (Change("x", "number", "category"), Change("z", None, "number"))
    assert wording.rows(found.rows) == (
        "120 rows, as before: 0 added, 0 removed; how many were altered cannot be told, because the columns in use "
        "changed"
    )


def test_rows_under_other_names_cannot_be_followed(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models)
    now = plant(tmp_path, "002", truth, models, id="number", rows=[f"n{k}" for k in range(N)])
    found = changes(then, now)
    assert "none can be followed" in wording.rows(found.rows)
    assert found.scores[0].gain is None
    assert found.unpaired == "no row was tested in both evaluations with the same truth"


def test_settings_are_told_by_their_dotted_names_whatever_the_order_of_models(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    wide = {"name": "wide", "family": "mlp", "width": 512, "training": None}
    then = plant(tmp_path, "001", truth, models, training={"learning_rate": 0.001, "patience": 20})
    now = plant(
        tmp_path,
        "002",
        truth,
        models,
        models=[wide, STUDY["models"][0] | {"width": 16}],
        training={"learning_rate": 0.002, "patience": 20},
    )
    found = changes(then, now)
    assert set(found.settings) == {
        Change("models.deep.width", "8", "16"),
        Change("models.wide", None, "family: mlp, width: 512"),
        Change("training.learning_rate", "0.001", "0.002"),
    }
    assert wording.change(Change("a", "8", "16")) == "8 → 16"
    assert wording.change(Change("a", None, "16")) == "new: 16"
    assert wording.change(Change("a", "8", None)) == "8 → gone"


def test_what_followed_from_the_data_is_no_setting_that_somebody_changed(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models, meaningful_difference=0.1, inferred=["meaningful_difference"])
    now = plant(tmp_path, "002", truth, models, meaningful_difference=0.2, inferred=["meaningful_difference"])
    found = changes(then, now)
    assert (found.settings, found.inferred) == ((), (Change("meaningful_difference", "0.1", "0.2"),))
    # one that somebody has set by now is a setting
    now = plant(tmp_path, "003", truth, models, meaningful_difference=0.2)
    assert changes(then, now).settings == (Change("meaningful_difference", "0.1", "0.2"),)


def test_code_and_libraries_are_told_by_name(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models, code={"m.f": "1", "m.g": "2"}, libraries={"numpy": "2.4.5"})
    now = plant(tmp_path, "002", truth, models, code={"m.f": "3", "m.h": "4"}, libraries={"numpy": "2.4.6"})
    found = changes(then, now)
    assert found.code == (Change("m.f", "1", "3"), Change("m.g", "2", None), Change("m.h", None, "4"))
    assert found.libraries == (Change("numpy", "2.4.5", "2.4.6"),)
    assert wording.causes(found) == (
        "What changed: 3 definitions of the code and 1 library. Data and settings stayed the same."
    )


def test_an_answer_that_flips_is_said(tmp_path, truth, error):
    then = plant(tmp_path, "001", truth, {"deep": [truth + error], "base": [truth + 5 * error]})
    now = plant(tmp_path, "002", truth, {"deep": [truth + 5 * error], "base": [truth + error]})
    found = changes(then, now)
    assert found.flipped
    assert wording.answer_changed(found) == "The answer has changed: it was yes, it is no."
    assert wording.answer_changed(changes(now, now)) == "The answer is the same as before: no."
    assert wording.causes(found) == ("Nothing that is recorded changed: neither data, settings, code nor libraries.")


def test_another_deciding_metric_is_asked_of_both(tmp_path, truth, error):
    models = {"deep": [truth + error], "base": [truth + 1]}
    then, now = (
        plant(tmp_path, "001", truth, models, metric="rmse"),
        plant(tmp_path, "002", truth, models, metric="mae"),
    )
    score = changes(then, now).scores[0]
    assert score.then.value == score.now.value == pytest.approx(np.mean(error))


def test_another_task_compares_no_scores(tmp_path, truth):
    models = {"deep": [truth], "base": [truth + 1]}
    then = plant(tmp_path, "001", truth, models)
    labels = np.where(truth > 0, "yes", "no").astype(object)
    even = np.full((N, 2), 0.5)
    now = plant(tmp_path, "002", labels, {"deep": [even], "new": [even], "base": [even]}, classes=["no", "yes"])
    found = changes(then, now)
    assert found.unpaired == "the task was regression and is classification"
    assert (found.scores, found.models_added, found.models_removed) == ((), ("new",), ())


def test_the_page_names_everything_that_changed(tmp_path, truth, error):
    then_code = {f"serpens.m.f{k}": "1" for k in range(12)}
    now_code = dict.fromkeys(then_code, "2") | {"serpens.m.<new>": "1"}
    then = plant(
        tmp_path, "001", truth, {"deep": [truth + error], "gone": [truth], "base": [truth + 1]}, code=then_code
    )
    now = plant(
        tmp_path,
        "002",
        truth,
        {"deep": [truth + error / 2], "wide": [truth], "base": [truth + 1]},
        code=now_code,
        libraries={"torch": "2.13.0"},
        data="e",
    )
    page = pages.render("changes.html", changes=changes(then, now), evaluation=now.evaluation)
    assert page.count("<code>serpens.m.f") == 12
    assert "and 4 more" in page
    assert "<code>serpens.m.&lt;new&gt;</code>" in page
    assert "<code>torch</code> new: 2.13.0" in page
    assert "New: wide. No longer compared: gone." in page
    assert 'class="yes"' in page
