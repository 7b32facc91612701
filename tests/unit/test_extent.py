"""How much data a study has, told before they are read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serpens import cleaning, extent, learning
from serpens.config import Study
from serpens.simulators.qubit import simulate
from serpens.simulators.registry import NUMBERS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(**keys):
    return Study.model_validate({"question": "Why?", "data": "t.csv", "target": "y"} | keys)


def table(n_rows=3000, path="t.csv", **columns):
    """Write a table; a column is a function of the number of its row."""
    columns = {"x": lambda i: i / 2, "y": lambda i: i / 3} | columns
    lines = [",".join(columns)]
    lines += [",".join(str(value(i)) for value in columns.values()) for i in range(n_rows)]
    Path(path).write_text("\n".join(lines) + "\n")


def test_rows_are_learned_and_tested_as_they_are_split():
    table(3000)
    told = extent.of(study())  # a tenth for calibration, a fifth for the test
    assert (told.rows, told.columns, told.learned, told.validated, told.tested) == (3000, 2, 2100, 450, 600)
    assert extent.of(study(split={"folds": 5}))[4:7] == (2100, 450, 3000)
    assert extent.of(study(split={"calibration": 0.0, "test": 0.5}))[4:7] == (1500, 450, 1500)
    assert extent.of(study(test_on={"column": "x"}))[4:7] == (3000, 3000, 3000)


def test_of_an_outside_cohort_nothing_is_learned():
    table(2000)
    table(1000, "other.csv")
    told = extent.of(study(test_on={"file": "other.csv"}))
    assert (told.rows, told.learned, told.validated, told.tested) == (3000, 1800, 300, 1000)


def test_a_simulated_table_with_an_outside_cohort():
    table(1000, "other.csv")
    told = extent.of(study(data={"simulator": "qubit", "rows": 4000}, test_on={"file": "other.csv"}))
    assert (told.rows, told.columns, told.learned, told.tested) == (5000, 5, 3600, 1000)


def test_columns_with_a_role_and_those_left_out_are_no_features():
    words = {name: lambda i: i / 2 for name in ("a1", "a2", "b", "who", "when", "heavy", "part", "i")}
    table(30, **words)
    assert extent.of(study()).features == 9
    told = extent.of(
        study(id="i", weight="heavy", test_on={"new": "who", "after": "when"}, drop=["b*"], features=["a*"])
    )
    assert told.features == 2
    assert extent.of(study(drop=["a*"])).features == 7


def test_a_number_is_one_input_and_one_more_where_it_may_be_missing():
    table(300, gap=lambda i: "" if i == 7 else i, word=lambda i: f"w{i % 4}", many=lambda i: f"m{i}")
    # x, gap twice, twice the levels seen, and of too many levels the most frequent
    assert extent.of(study()).input_shape == (1 + 2 + 8 + 50,)
    assert extent.of(study()).words == "300 rows x 4 features as 61 inputs"
    told = extent.of(study(columns={"word": "text", "many": "time"}))
    assert told.input_shape == (1 + 2 + 0 + 1,)


def test_classes_are_those_that_the_first_rows_show():
    table(300, word=lambda i: "abc"[i % 3], ten=lambda i: i % 10, thirty=lambda i: i % 30)
    outputs = {
        target: extent.of(study(target=target, **keys)).outputs
        for target, keys in {"word": {}, "ten": {}, "thirty": {}, "y": {}}.items()
    }
    assert outputs == {"word": 3, "ten": 10, "thirty": 1, "y": 1}
    assert extent.of(study(target="ten", task="regression")).outputs == 1
    assert extent.of(study(target="thirty", task="classification")).outputs == 30
    table(300, same=lambda _: "a")
    assert extent.of(study(target="same")).outputs == 2


def test_windows_multiply_a_series():
    table(300, t=lambda i: i)
    told = extent.of(study(time="t", horizon=4, history=10))
    assert (told.input_shape, told.outputs, told.learned) == ((10,), 4, 210)
    assert told.words == "300 rows, 10 of them to forecast 4"
    further = extent.of(study(time="t", horizon=4, history=10, features=["x"]))
    assert (further.input_shape, further.words) == ((20,), told.words)


def test_an_image_has_its_shape():
    table(300, p1=lambda i: i, p2=lambda i: i, p3=lambda i: i, p4=lambda i: i)
    told = extent.of(study(image={"columns": "p*", "shape": [1, 2, 2]}))
    assert (told.features, told.input_shape, told.inputs) == (4, (1, 2, 2), 4)
    assert told.words == "300 rows with images of 1 x 2 x 2"


def test_our_simulator_gives_what_is_said_of_it():
    assert {"qubit": len(simulate(rows=2, seed=0))} == NUMBERS
    told = extent.of(study(data={"simulator": "qubit", "rows": 20_000}))
    assert (told.rows, told.columns, told.outputs) == (20_000, 5, 1)
    assert told.words == "20,000 rows x 4 features"


def test_what_the_users_simulator_gives_is_assumed_and_said():
    told = extent.of(study(data={"simulator": "sim.py:go", "rows": 3000}))
    assert told.words == "3,000 rows x 29 features, 30 columns assumed, at most 10 classes assumed"
    assert (told.inputs, told.outputs) == (29, 10)
    image = {"columns": "p*", "shape": [1, 3, 4]}
    told = extent.of(study(data={"simulator": "sim.py:go", "rows": 3000}, image=image, task="regression"))
    assert (told.features, told.assumed) == (12, ())
    told = extent.of(study(data={"simulator": "sim.py:go", "rows": 3000}, time="t", horizon=2, features=["a", "b"]))
    assert (told.input_shape, told.assumed) == ((6,), ())


def test_parquet_is_looked_at_too():
    pq.write_table(pa.table({"x": [1.5, None] * 1500, "y": ["a", "b"] * 1500}), "t.parquet")
    told = extent.of(study(data="t.parquet"))
    assert (told.rows, told.inputs, told.outputs) == (3000, 2, 2)


def test_bounds_are_those_of_the_jobs():
    assert learning.MAX_LEVELS == extent.MAX_LEVELS
    assert cleaning.MAX_CLASSES == extent.MAX_CLASSES


def test_of_a_table_that_is_not_here_all_is_assumed_and_said():
    told = extent.of(study(data={"url": "https://a.org/t.csv", "sha256": "0" * 64}, task="regression"))
    assert (told.rows, told.columns, told.features, told.outputs) == (100_000, 30, 29, 1)
    assert told.assumed == ("100,000 rows of 30 columns assumed, since the table is not here yet",)


def test_parts_are_added_up_and_joined_columns_too():
    for name in ("a.csv", "b.csv"):
        table(40, name)
    Path("sheet.csv").write_text("x,site\n0.0,3\n0.5,4\n")
    told = extent.of(study(data={"file": ["a.csv", "b.csv"], "join": [{"file": "sheet.csv", "on": "x"}]}))
    assert (told.rows, told.columns, told.features) == (80, 3, 2)
