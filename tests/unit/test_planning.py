"""What is read of the files before any job."""

from pathlib import Path

import pytest

from serpens import contents, glance, planning
from serpens.config import Study
from serpens.glance import header
from serpens.planning import columns, faults, n_splits, runs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(**keys):
    return Study.model_validate({"question": "Why?", "data": "t.csv", "target": "y"} | keys)


def table(n_rows, path="t.csv"):
    Path(path).write_text("x,y\n" + "1,2\n" * n_rows, encoding="utf-8")


@pytest.mark.parametrize(("n_rows", "n"), [(1999, 5), (2000, 1)])
def test_five_folds_below_two_thousand_rows(n_rows, n):
    table(n_rows)
    assert n_splits(study()) == n
    assert n_splits(study(test_on={"new": "x"})) == n
    assert n_splits(study(data={"simulator": "qubit", "rows": n_rows})) == n


@pytest.mark.parametrize(
    ("keys", "n"),
    [
        ({"split": {"folds": 7}}, 7),
        ({"split": {"validation": 0.2}}, 1),
        ({"test_on": {"after": "x"}}, 1),
        ({"test_on": {"new": "x", "after": "y2"}}, 1),
        ({"test_on": {"column": "x"}}, 1),
        ({"test_on": {"file": "other.csv"}}, 1),
        ({"time": "x", "horizon": 2}, 1),
    ],
)
def test_splits_that_do_not_depend_on_the_rows(keys, n):
    table(10)
    assert n_splits(study(**keys)) == n


def test_what_has_no_chance_runs_once():
    given = study(models=["mlp", {"name": "flat", "family": "linear"}], baselines=["trivial"], repeats=2)
    assert runs(given, 2) == [
        ("mlp", 0, 0),
        ("mlp", 0, 1),
        ("mlp", 1, 0),
        ("mlp", 1, 1),
        ("flat", 0, 0),
        ("flat", 1, 0),
        ("trivial", 0, 0),
        ("trivial", 1, 0),
    ]


def test_every_missing_column_is_told():
    table(3)
    given = study(
        target="z",
        id="i",
        weight="w",
        test_on={"new": "g"},
        columns={"c": "number"},
        features=["f*"],
        drop=["d"],
    )
    assert [key for key, _ in faults(given)] == [
        ("target",),
        ("id",),
        ("weight",),
        ("test_on", "new"),
        ("columns", "c"),
        ("features", 0),
        ("drop", 0),
    ]


def test_a_time_column_that_is_not_there_is_told_once():
    table(3)
    assert [key for key, _ in faults(study(time="t", horizon=2))] == [("time",)]


def test_the_pixels_of_an_image_are_all_there():
    Path("t.csv").write_text("p1,p2,p3,p4,y\n0,0,0,0,1\n", encoding="utf-8")
    assert list(faults(study(image={"columns": "p*", "shape": [1, 2, 2]}))) == []
    assert [key for key, _ in faults(study(image={"columns": "p*", "shape": [2, 2, 2]}))] == [("image", "columns")]


def test_an_outside_cohort_has_the_same_columns():
    table(3)
    Path("other.csv").write_text("y\n1\n", encoding="utf-8")
    assert list(faults(study(test_on={"file": "other.csv"}))) == [
        (("test_on", "file"), "other.csv lacks columns of t.csv: x")
    ]
    table(3, "other.csv")
    assert list(faults(study(test_on={"file": "other.csv"}))) == []


def test_the_users_code_is_read_and_not_run(folder):
    Path("net.py").write_text("raise SystemExit\nfrom a import B\nC = B\nclass D: ...\n", encoding="utf-8")
    table(3)
    for name in "BCD":
        assert list(faults(study(models=[{"family": "custom", "path": f"net.py:{name}"}]))) == []
    assert list(faults(study(models=["mlp", {"family": "custom", "path": "nett.py:D"}]))) == [
        (("models", 1, "path"), f"there is no file 'nett.py' in {folder}; did you mean 'net.py'?")
    ]


def test_a_simulator_with_open_arguments_takes_any():
    Path("sim.py").write_text("def go(rows, seed, **more): ...\n", encoding="utf-8")
    assert list(faults(study(data={"simulator": "sim.py:go", "rows": 5, "anything": 1}))) == []


def test_a_table_is_opened_once_for_each_content(monkeypatch):
    monkeypatch.setattr(contents, "RACY_NS", -(10**18))  # what was written just now counts as written long ago
    opened = []
    find = glance._dialect
    monkeypatch.setattr(glance, "_dialect", lambda path, read: opened.append(path) or find(path, read))
    table(10)
    for _ in range(2):
        assert header("t.csv") == ["x", "y"]
        assert n_splits(study()) == 5
    assert opened == ["t.csv", "t.csv"]  # its header, its rows
    table(2500)
    assert n_splits(study()) == 1
    assert len(opened) == 3


def test_rows_that_nobody_has_seen_are_not_split_into_folds_unless_they_shall_be():
    far = {"url": "https://a.org/t.csv", "sha256": "0" * 64}
    assert n_splits(study(data=far)) == 1
    assert n_splits(study(data=far, split={"folds": 3})) == 3
    assert list(faults(study(data=far, target="no column that anybody knows"))) == []


def test_rows_of_all_parts_count():
    table(1000, "a.csv")
    table(999, "b.csv")
    assert n_splits(study(data={"file": ["a.csv", "b.csv"]})) == 5
    table(1000, "b.csv")
    assert n_splits(study(data={"file": ["a.csv", "b.csv"]})) == 1


def test_columns_of_folders_and_joined_tables_are_known():
    for year in ("2020", "2021"):
        Path(f"sales/year={year}").mkdir(parents=True)
        table(3, f"sales/year={year}/a.csv")
    Path("sheet.csv").write_text("k,site\n1,a\n")
    data = {"file": "sales/", "join": [{"file": "sheet.csv", "on": {"x": "k"}}]}
    assert columns(study(data=data)) == ["x", "y", "year", "site"]
    assert list(faults(study(data=data, test_on={"new": "site"}, drop=["year"]))) == []


def test_a_storage_without_its_plugin_is_named_with_its_cure():
    assert list(faults(study(data={"storage": "gs://bucket/t.csv"}))) == [
        (
            ("data", "storage", 0),
            "needs Snakemake's storage plugin gcs, which is not installed: "
            ".venv/bin/python -m pip install snakemake-storage-plugin-gcs",
        )
    ]


def test_a_large_table_of_several_files_is_washed_by_a_job_for_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        Path(f"part-{number}.csv").write_text("x,y\n1,2\n")
    asked = {"question": "Why?", "target": "y", "data": {"file": "part-*.csv"}}
    assert planning.n_shards(Study.model_validate(asked)) == 0
    monkeypatch.setattr(planning, "SHARDED_BYTES", 24)
    assert planning.n_shards(Study.model_validate(asked)) == 3
    assert planning.n_shards(Study.model_validate(asked | {"resources": {"shards": 7}})) == 7
    assert planning.n_shards(Study.model_validate(asked | {"data": "part-0.csv"})) == 0
