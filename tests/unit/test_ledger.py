"""Every reading of the test rows is on record, with its reason, and no line can be changed unseen."""

import json

import pytest

from serpens import ledger
from serpens.errors import DataError
from serpens.layout import StudyFolder

SETTINGS = {"metric": None, "seed": 0}


def inputs(folder, rows="r", weights="w"):
    root = folder.root
    return {
        str(root / "data/split-0/test.parquet"): rows,
        str(root / "data/split-0/train.parquet"): "t",
        str(root / "models/mlp/split-0-repeat-0/weights.safetensors"): weights,
        str(root / "models/mlp/split-0-repeat-0/model.json"): "m",
    }


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "results/s")


def signed(folder, *, settings=SETTINGS, key="k", **changed):
    return ledger.sign(folder, settings, inputs(folder, **changed), key)


def test_each_reading_says_what_had_changed(folder):
    reasons = [
        signed(folder).reason,
        signed(folder, weights="v").reason,
        signed(folder, weights="v", settings=SETTINGS | {"metric": "rmse"}).reason,
        signed(folder, weights="v", settings=SETTINGS | {"metric": "rmse"}, key="other").reason,
        signed(folder, weights="v", settings=SETTINGS | {"metric": "rmse"}, key="other").reason,
        signed(folder, rows="q", weights="u", settings=SETTINGS | {"metric": "rmse"}, key="other").reason,
    ]
    assert reasons == [
        "first reading",
        "changed: the models",
        "changed: the settings of the evaluation",
        "changed: the code of the evaluation, or its libraries",
        "nothing had changed: the results were lost, or the reading before did not end",
        "changed: the test rows, the models",
    ]


def test_what_was_tested_on_the_same_rows_is_counted(folder):
    for weights in ("a", "b", "b", "c"):
        signed(folder, weights=weights)
    used = ledger.read(folder)
    assert (len(used.readings), used.of_these, used.choices) == (4, 4, 3)
    signed(folder, rows="new", weights="c")
    used = ledger.read(folder)
    assert (len(used.readings), used.of_these, used.choices) == (5, 1, 1)


def test_results_that_were_moved_are_the_same_rows(folder, tmp_path):
    signed(folder)
    moved = StudyFolder(tmp_path / "elsewhere")
    folder.root.rename(moved.root)
    assert signed(moved).reason.startswith("nothing had changed")


def test_a_study_of_before_has_no_reading(folder):
    assert ledger.read(folder).readings == ()


def change(lines):
    first = json.loads(lines[0]) | {"reason": "a better one"}
    return [json.dumps(first), *lines[1:]]


@pytest.mark.parametrize(
    ("forge", "line"),
    [
        (change, 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [*lines[:2], lines[2][:40]], 3),
    ],
)
def test_a_line_that_was_changed_or_taken_out_stops_the_evaluation(folder, forge, line):
    for weights in ("a", "b", "c"):
        signed(folder, weights=weights)
    path = ledger.path_of(folder)
    path.write_text("".join(f"{each}\n" for each in forge(path.read_text().splitlines())))
    kept = path.read_text()
    message = (
        rf"ledger.jsonl: the ledger of the test rows must be as it was written; line {line} does not follow from the "
        "one before: restore the file, or remove it and say so wherever you report these results"
    )
    for use in (lambda: signed(folder), lambda: ledger.read(folder)):
        with pytest.raises(DataError, match=message):
            use()
    assert path.read_text() == kept
