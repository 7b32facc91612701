"""Evaluations are kept whole, once each, in order."""

from itertools import count
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.unit.entries import plant

from serpens import history, io
from serpens.artefacts import CodeRecord, Digest, Record, ResolvedStudy
from serpens.errors import DataError
from serpens.layout import Run, StudyFolder

GIVEN = {"question": "q", "target": "y", "metric": None}
RUNS = [Run(model, 0, 0) for model in ("deep", "base")]
STUDY = ResolvedStudy(
    question="q",
    data={"file": "t.csv"},
    target="y",
    name="s",
    classes=(),
    n_splits=1,
    column_types={"x": "number", "y": "number"},
)


def record(**more):
    known = {
        "rule": "train",
        "wildcards": {},
        "key": "k",
        "inputs": {},
        "outputs": {},
        "settings": {},
        "code": CodeRecord(sha256="s", definitions={"m.f": "1"}),
        "libraries": {"numpy": "2.4.5"},
        "threads": 1,
        "versions": {},
        "host": "h",
        "machine": "m",
        "start": "2026-11-24T15:09:25+00:00",
        "seconds": 1.0,
        "peak_memory_mb": 1.0,
    }
    return Record.model_validate(known | more)


@pytest.fixture
def made(tmp_path):
    """Return a study's folder as it lies when its report is made, and how to evaluate it anew."""
    folder, times = StudyFolder(tmp_path / "s"), count()
    table = pd.DataFrame({"row": ["a", "b"], "content": ["a", "b"], "x": [1.0, 2.0], "y": [0.0, 1.0]})

    def evaluated(shift, data="d"):
        io.write_table(folder.root / "data/clean.parquet", table.assign(x=table["x"] + shift))
        Digest(sha256=data, rows=2, task="regression", classes=(), columns={}).write(folder.root / "data/digest.json")
        truth = table["y"].to_numpy()
        predicted = {"deep": [truth + shift], "base": [truth + 1.0]}
        entry = plant(tmp_path / f"made-{next(times)}", "001", truth, predicted)
        (folder.root / "evaluation.json").write_bytes((entry.folder / "evaluation.json").read_bytes())
        for run in RUNS:
            values = predicted[run.model][0]
            io.write_columns(
                folder.predictions(run), {"row": table["row"].to_numpy(), "truth": truth, "prediction": values}
            )
        io.write_json(folder.record("evaluate"), {"start": f"2026-11-24T15:0{shift:.0f}:00+00:00"})
        return history.archive(folder, STUDY, GIVEN, {"train/a": record()}, RUNS)

    return SimpleNamespace(folder=folder, evaluated=evaluated)


def test_an_evaluation_is_kept_once_and_another_one_beside_it(made):
    assert [made.evaluated(1).name, made.evaluated(1).name, made.evaluated(2).name] == ["001", "001", "002"]
    first, second = history.entries(made.folder)
    assert first.evaluation.models["deep"].score.value == pytest.approx(1)
    assert second.evaluation.models["deep"].score.value == pytest.approx(2)
    assert (first.time, second.time) == ("2026-11-24T15:01:00+00:00", "2026-11-24T15:02:00+00:00")
    assert second.predictions.groupby("model")["prediction"].mean().to_dict() == {"deep": 2.5, "base": 1.5}


def test_the_same_scores_of_other_data_are_another_evaluation(made):
    made.evaluated(1)
    assert made.evaluated(1, data="e").name == "002"


def test_what_nobody_set_is_remembered_as_inferred(made):
    inferred = made.evaluated(1).made_from.inferred
    assert {"classes", "n_splits", "column_types"} <= set(inferred)
    assert not {"question", "target", "metric"} & set(inferred)


def test_going_back_to_what_was_is_a_change_too(made):
    assert [made.evaluated(shift).name for shift in (1, 2, 1)] == ["001", "002", "003"]


def test_what_a_row_holds_is_kept_even_where_it_is_named_by_an_id(made):
    first, second = made.evaluated(1), made.evaluated(2)
    assert list(first.rows["row"]) == list(second.rows["row"]) == ["a", "b"]
    assert not set(first.rows["content"]) & set(second.rows["content"])


def test_numbers_go_on_after_999_and_after_old_ones_were_removed(made, tmp_path):
    plant(made.folder.root, "999", np.zeros(2), {"deep": [np.ones(2)], "base": [np.ones(2)]})
    assert made.evaluated(1).name == "1000"
    assert made.evaluated(2).name == "1001"
    assert [entry.name for entry in history.entries(made.folder)] == ["999", "1000", "1001"]


def test_a_killed_attempt_leaves_no_half_entry_and_the_next_one_clears_up(made, monkeypatch):
    made.evaluated(1)

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(history, "_predictions", kill)
        made.evaluated(2)
    assert [entry.name for entry in history.entries(made.folder)] == ["001"]
    assert made.evaluated(2).name == "002"
    assert sorted(path.name for path in (made.folder.root / "history").iterdir()) == ["001", "002"]


def test_what_it_was_made_from_is_the_union_over_the_jobs():
    other = record(code=CodeRecord(sha256="t", definitions={"m.f": "2", "m.g": "3"}), libraries={"numpy": "2.4.6"})
    digest = Digest(sha256="d", rows=2, task="regression", classes=(), columns={})
    found = history.made(digest, [record(), other], ["metric"])
    assert (found.data, found.inferred) == ("d", ("metric",))
    assert found.code == {"m.f": "1, 2", "m.g": "3"}
    assert found.libraries == {"numpy": "2.4.5, 2.4.6"}


def test_a_damaged_entry_is_named_with_its_cure(made):
    entry = made.evaluated(1)
    (entry.folder / "rows.parquet").unlink()
    with pytest.raises(DataError, match=r"must be whole; .*001/rows.parquet is missing: restore it, or remove .*001$"):
        _ = entry.rows
    io.write_json(entry.folder / "evaluation.json", {"study": "s"})
    with pytest.raises(DataError, match=r"evaluation.json is not \(\d+ faults\): remove .*001$"):
        _ = history.Entry(entry.folder).evaluation
