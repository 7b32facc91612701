import numpy as np
import pandas as pd
import pytest
from tests.unit.splitting import split
from tests.unit.tabular import clean

from serpens import splits
from serpens.errors import DataError
from serpens.io import COHORT

FRACTIONS = {"validation": 0.15, "calibration": 0.1, "test": 0.2}


def table(n=12, **columns):
    """Return n rows with a target of two classes and one useful column; None leaves one of these out."""
    usual = {"y": ["no", "yes"] * (n // 2), "x": [str(i) for i in range(n)]}
    return pd.DataFrame({name: values for name, values in (usual | columns).items() if values is not None})


def cleaned(frame, target="y", **settings):
    return clean(frame, target=target, **settings)


def refusal(frame, target="y", **settings):
    with pytest.raises(DataError) as caught:
        cleaned(frame, target, **settings)
    return str(caught.value)


def why(result):
    return {entry.name: entry.reason for entry in result.account.columns}


def divided(frame, claim, *, number=0, folds=None, **settings):
    """Clean and split as the jobs do; return parts and schema."""
    roles = {"group": claim.get("new"), "time": claim.get("after"), "split_column": claim.get("column")}
    result = cleaned(frame, **roles, **settings)
    fractions = {part: share for part, share in FRACTIONS.items() if part != "test" or not folds}
    asked = {
        "claim": dict.fromkeys(["new", "after", "column", "file"]) | claim,
        "folds": folds,
        "fractions": fractions,
        "image": None,
        "clean": {"outliers": "keep", "impute": "median", "indicator": True},
        "columns": {},
        "select": None,
        "series": None,
    }
    return split(asked, number, result.columns, result.digest)


def test_every_row_is_accounted_for():
    frame = table(8, y=["no", "yes", "", "no", "yes", "NA", "no", "yes"], i=list("abcdeffa"), x=list("12345671"))
    frame.loc[7, "y"] = "no"
    result = cleaned(frame, id="i")
    assert result.account.rows.model_dump() == {
        "read": 8,
        "kept": 5,
        "inserted": 0,
        "dropped": {"no target": 2, "same id, same content": 1},
        "duplicates": 0,
    }
    assert len(result.frame) == 5


def test_every_column_is_accounted_for():
    n = 60
    frame = table(
        n,
        x=["1", "NA", "unknown"] * 20,
        europe=["yes"] * n,
        nothing=["", "NA"] * 30,
        note=[f"patient {i} felt much better after the second visit" for i in range(n)],
        code=[f"c{i}" for i in range(n)],
        secret=["a", "b"] * 30,
        w=["1", "2"] * 30,
        once=["5", ""] * 30,
    )
    result = cleaned(frame, drop=["secr*"], weight="w")
    assert why(result) == {
        "y": None,
        "x": None,
        "europe": "constant: the same in every row",
        "nothing": "empty: no row has a value",
        "note": "text: no model family reads it yet",
        "code": "identifier: a different value in nearly every row",
        "secret": "named in drop",
        "w": None,
        "once": None,
    }
    entries = {entry.name: entry for entry in result.account.columns}
    assert set(entries) == set(frame.columns)
    assert {name for name, entry in entries.items() if entry.kept} == set(result.frame.columns) - {"row", "content"}
    assert {name: entry.role for name, entry in entries.items() if entry.role != "feature"} == {
        "y": "target",
        "w": "weight",
    }
    assert entries["x"].missing_words == {"NA": 20, "unknown": 20}
    assert (entries["x"].missing, entries["x"].distinct, entries["x"].mean) == (40, 1, 1.0)
    assert entries["y"].levels == (("no", 30), ("yes", 30))
    assert (entries["secret"].type, entries["secret"].how) == (None, None)


def test_numbers_are_described_with_their_histogram():
    result = cleaned(table(x=["0"] * 5 + ["10"] * 7))
    entry = next(entry for entry in result.account.columns if entry.name == "x")
    assert (entry.min, entry.max, entry.mean) == (0, 10, pytest.approx(70 / 12))
    assert entry.sd == pytest.approx(np.std([0] * 5 + [10] * 7))
    assert (entry.histogram.counts[0], entry.histogram.counts[-1]) == (5, 7)


def test_features_are_those_named():
    frame = table(gene_1=["1", "2"] * 6, gene_2=["2", "3"] * 6)
    assert why(cleaned(frame, features=["gene_*"], drop=["gene_2"])) == {
        "y": None,
        "x": "not named in features",
        "gene_1": None,
        "gene_2": "named in drop",
    }


def test_a_column_with_a_role_is_no_feature():
    frame = table(p=list("aabbccddeeff"), d=[f"2024-01-{i + 1:02d}" for i in range(12)], i=[f"r{i}" for i in range(12)])
    result = cleaned(frame, group="p", time="d", id="i")
    roles = result.digest.columns
    assert {name: column["role"] for name, column in roles.items()} == {
        "y": "target",
        "x": "feature",
        "p": "group",
        "d": "time",
        "i": "id",
    }
    assert list(result.frame["row"]) == [f"r{i}" for i in range(12)]


def test_rows_come_in_canonical_order_with_columns_by_name():
    frame = table(z=["1", "2", "3"] * 4)
    shuffled = frame.sample(frac=1, random_state=0)[["z", "x", "y"]]
    result = cleaned(frame)
    assert list(result.frame.columns) == ["row", "content", "x", "y", "z"]
    pd.testing.assert_frame_equal(result.frame, cleaned(shuffled).frame)


def test_exact_duplicates_are_kept_counted_and_told_apart():
    frame = pd.concat([table(), table().iloc[[3, 3, 7]]])
    result = cleaned(frame)
    assert result.account.rows.kept == 15
    assert result.account.rows.duplicates == 3
    assert result.frame["row"].is_unique
    assert result.frame["content"].nunique() == 12
    assert sorted(result.frame["row"].str.extract(r"-(\d)$")[0].dropna()) == ["2", "2", "3"]


def test_exact_duplicates_are_on_one_side_in_every_fold():
    frame = pd.concat([table(300)] * 3)
    result = cleaned(frame)
    for number in range(5):
        parts, _ = divided(frame, {}, number=number, folds=5)
        side = {row: part for part, columns in parts.items() for row in columns["row"]}
        assert len(side) == 900
        labels = result.frame["row"].map(side)
        assert labels.groupby(result.frame["content"]).nunique().max() == 1


def test_numbers_that_are_equal_are_one_content_however_written():
    frame = table(x=["1.50", "1.5"] + ["2"] * 10, y=["no", "no"] + ["yes"] * 10)
    assert cleaned(frame).account.rows.duplicates == 1 + 9


@pytest.mark.parametrize("later", [{"site": "B"}, {"note": "seen"}, {"note": "5"}, {"x": "NA"}, {"x": "2024"}])
def test_rows_keep_their_name_when_others_come(later):
    frame = table(site=["A"] * 12, note=[""] * 12)
    more = pd.concat([frame, table(2, site=["A"] * 2, note=[""] * 2).assign(**later)])
    before, after = cleaned(frame).frame["row"], cleaned(more).frame["row"]
    assert set(before) <= set(after)


def test_rows_of_one_id_that_agree_are_one_observation():
    frame = pd.concat([table(i=[f"r{i}" for i in range(12)])] * 2)
    result = cleaned(frame, id="i")
    assert result.account.rows.dropped == {"same id, same content": 12}
    assert result.account.rows.duplicates == 0


def test_rows_of_one_id_that_differ_are_refused():
    frame = table(i=[f"r{i}" for i in range(11)] + ["r4"], z=["1", "2"] * 6)
    assert refusal(frame, id="i") == (
        "rows of one id must agree; column 'i' is 'r4' in rows 5, 12, which differ in y, x, z: "
        "correct them, or name another column"
    )


def test_an_id_may_be_the_group_too():
    frame = table(p=[f"p{i}" for i in range(12)])
    result = cleaned(frame, id="p", group="p")
    assert list(result.frame["p"]) == list(result.frame["row"])


@pytest.mark.parametrize(
    ("frame", "settings", "message"),
    [
        (table(), {"target": "z"}, "the target column 'z' must be among the columns; it is not; there are: y, x"),
        (
            table(outcome=["a", "b"] * 6),
            {"target": "outcom"},
            "the target column 'outcom' must be among the columns; it is not; did you mean 'outcome'? "
            "there are: y, x, outcome",
        ),
        (
            table(**{COHORT: [False] * 12}),
            {"group": "clinic"},
            "the group column 'clinic' must be among the columns; it is not; there are: y, x",
        ),
        (table(y=["", "NA"] * 6), {}, "the target 'y' must have values; it is missing in every row"),
        (table(y=["no"] * 12), {}, "the target 'y' must have at least two classes; every row is 'no'"),
        (
            table(y=[f"2024-01-{i + 1:02d}" for i in range(12)]),
            {},
            "the target must hold numbers or classes; column 'y' holds times: make numbers of them",
        ),
        (table(), {"task": "regression"}, "a target of regression must hold numbers; column 'y' is of type category"),
        (
            table(),
            {"positive_class": "Yes"},
            "positive_class 'Yes' must occur in column 'y'; it does not; did you mean 'yes'? there are: no, yes",
        ),
        (
            table(),
            {"positive_class": "7"},
            "positive_class '7' must occur in column 'y'; it does not; there are: no, yes",
        ),
        (
            table(y=["a", "b", "c"] * 4),
            {"positive_class": "b"},
            "positive_class needs two classes; column 'y' has 3: a, b, c. Drop positive_class, or make two classes of "
            "them",
        ),
        (
            table(y=[i * 1.5 for i in range(12)]),
            {"positive_class": "1.5"},
            "positive_class is for classification; column 'y' holds numbers, and the task is regression: drop "
            "positive_class, or say task: classification",
        ),
        (
            table(i=[f"r{i}" for i in range(10)] + ["", "NA"]),
            {"id": "i"},
            "every row must have an id; column 'i' is missing in rows 11, 12",
        ),
        (
            table(p=["a", "", "b"] * 4),
            {"group": "p"},
            "every row must have a value of the group column 'p'; 4 have none, rows 2, 5, 8, 11: fill them in, or "
            "remove these rows",
        ),
        (
            table(d=["2024-01-31"] * 6 + [""] * 6),
            {"time": "d"},
            "every row must have a value of the time column 'd'; 6 have none, rows 7, 8, 9, 10, 11, … (6 in all): "
            "fill them in, or remove these rows",
        ),
        (
            table(w=["1"] * 11 + [""]),
            {"weight": "w"},
            "every row must have a value of the weight column 'w'; 1 have none, rows 12: fill them in, or remove these "
            "rows",
        ),
        (
            table(part=["train"] * 11 + [""]),
            {"split_column": "part"},
            "every row must have a value of the split column 'part'; 1 have none, rows 12: fill them in, or remove "
            "these rows",
        ),
        (
            table(w=["1"] * 11 + ["0"]),
            {"weight": "w"},
            "the weight column 'w' must hold numbers above 0; it does not: repair it",
        ),
        (
            table(d=["early", "late"] * 6),
            {"time": "d"},
            "the time column 'd' must hold times or numbers; it is of type category: declare its format",
        ),
        (
            table(x=["1"] * 12, z=["2"] * 12),
            {"drop": ["z"]},
            "at least one column must be left to predict from; there is none. "
            "Left out: z (named in drop), x (constant: the same in every row)",
        ),
        (table(x=None), {}, "at least one column must be left to predict from; there is none. Left out: none"),
        (
            table(content=["1", "2"] * 6),
            {},
            "a column in use may not be called 'content', which Serpens adds: rename it, or name it in drop",
        ),
        (
            table(row=["1", "2"] * 6),
            {},
            "a column in use may not be called 'row', which Serpens adds: rename it, or name it in drop",
        ),
    ],
)
def test_what_the_study_cannot_use_is_refused(frame, settings, message):
    assert refusal(frame, **settings) == message


def test_a_column_called_row_may_be_dropped():
    assert list(cleaned(table(row=["1", "2"] * 6), drop=["row"]).frame.columns) == ["row", "content", "x", "y"]


def test_values_are_checked_in_columns_in_use_only():
    frame = table(age=["5", "-1"] * 6)
    assert "row 2 is -1.0" in refusal(frame, columns={"age": {"min": 0}})
    assert cleaned(frame, columns={"age": {"min": 0}}, drop=["age"]).account.rows.kept == 12


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (["1", "0", "1", "1"] * 6, "classification", ("1", "0")),
        (["10", "9", "2"] * 8, "classification", ("2", "9", "10")),
        (["0.5", "1"] * 12, "regression", ()),
        ([str(i) for i in range(24)], "regression", ()),
        ([str(i % 20) for i in range(24)], "classification", tuple(map(str, range(20)))),
        (["b", "a", "a", "a"] * 6, "classification", ("a", "b")),
        (["a", "b"] * 12, "classification", ("a", "b")),
    ],
)
def test_the_target_says_what_the_task_is(y, task, classes):
    result = cleaned(table(24, y=y))
    assert (result.task, result.classes) == (task, classes)


def test_the_positive_class_comes_last():
    assert cleaned(table(), positive_class="no").classes == ("yes", "no")


def test_numbers_may_be_names():
    result = cleaned(table(24, y=[str(i) for i in range(12)] * 2), task="classification")
    assert result.classes == tuple(str(i) for i in range(12))
    assert set(result.frame["y"]) == set(result.classes)


def series(*days, y=None, **columns):
    words = [f"2024-01-{day:02d}" for day in days]
    return pd.DataFrame({"d": words, "y": y or [str(day / 2) for day in days], **columns})


def test_a_series_gets_the_rows_that_are_not_there():
    result = cleaned(series(5, 1, 2, 6), time="d", horizon=1)
    assert result.task == "forecasting"
    assert result.account.rows.model_dump() == {"read": 4, "kept": 6, "inserted": 2, "dropped": {}, "duplicates": 0}
    assert list(result.frame["row"]) == [f"2024-01-0{i}" for i in range(1, 7)]
    assert result.frame["y"].isna().tolist() == [False, False, True, True, False, False]


def test_a_series_keeps_rows_without_a_target():
    result = cleaned(series(1, 2, 3, y=["1.5", "", "2"]), time="d", horizon=1)
    assert result.account.rows.kept == 3
    assert result.account.rows.dropped == {}


def test_rows_of_one_time_must_agree():
    assert cleaned(series(1, 2, 2, 3), time="d", horizon=1).account.rows.dropped == {"same time, same content": 1}
    assert refusal(series(1, 2, 2, 3, y=["1.5", "2", "3", "4"]), time="d", horizon=1) == (
        "rows of one time must agree; column 'd' is Timestamp('2024-01-02 00:00:00') in rows 2, 3, which differ in y: "
        "correct them, or name another column"
    )


def test_a_forecast_uses_further_columns_only_when_they_are_named():
    frame = series(1, 2, 3, wind=["1", "2", "4"])
    assert why(cleaned(frame, time="d", horizon=1))["wind"] == "not named in features"
    assert why(cleaned(frame, time="d", horizon=1, features=["wind"]))["wind"] is None


def test_new_groups_share_no_value_with_training():
    frame = table(600, p=[f"p{i // 6}" for i in range(600)])
    for number in range(3):
        parts, _ = divided(frame, {"new": "p"}, number=number, folds=3)
        groups = {part: set(columns["p"]) for part, columns in parts.items()}
        assert groups["test"]
        assert not any(groups["test"] & groups[part] for part in ("train", "validation", "calibration"))


def test_test_rows_are_later_than_all_others():
    frame = table(100, d=pd.date_range("2024-01-01", periods=100).strftime("%Y-%m-%d"))
    parts, _ = divided(frame, {"after": "d"})
    assert max(parts[part]["d"].max() for part in splits.PARTS[:3]) < parts["test"]["d"].min()


def test_a_column_says_the_part():
    words = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4
    parts, _ = divided(table(part=words), {"column": "part"})
    assert {part: len(columns["row"]) for part, columns in parts.items()} == {
        "train": 6,
        "validation": 2,
        "calibration": 0,
        "test": 4,
    }


def test_a_split_column_with_another_word_is_refused():
    with pytest.raises(DataError) as caught:
        divided(table(part=["train"] * 10 + ["tset", "Test"]), {"column": "part"})
    assert str(caught.value) == (
        "column 'part' says which part a row belongs to and must hold only train, validation, calibration, test; "
        "found 'Test', 'tset': correct these values, or choose another test_on"
    )


def test_all_rows_of_a_cohort_are_tested_and_no_other():
    frame = table(200, **{COHORT: [False] * 150 + [True] * 50})
    parts, _ = divided(frame, {"file": "b.csv"})
    assert sorted(parts["test"]["x"]) == list(range(150, 200))
    assert COHORT not in parts["test"]


def test_the_same_id_in_study_and_cohort_is_refused():
    frame = table(i=[f"r{i}" for i in range(11)] + ["r0"], x=["1"] * 12, y=["a"] * 11 + ["a"])
    frame[COHORT] = [False] * 11 + [True]
    assert refusal(frame, id="i") == (
        "rows of one id must agree; column 'i' is 'r0' in rows 1, 12, which differ in the file they are from: "
        "correct them, or name another column"
    )


@pytest.mark.parametrize(
    ("claim", "folds", "advice"),
    [
        ({}, 5, "use fewer folds than 5 (split: {folds: 3}) or give larger fractions in split"),
        ({}, 3, "use fewer folds than 3 (split: {folds: 2}) or give larger fractions in split"),
        ({}, 2, "give larger fractions in split"),
        ({}, None, "give this part a larger fraction in split"),
        ({"column": "part"}, None, "mend the column 'part'"),
    ],
)
def test_a_class_that_is_missing_from_a_part_says_what_to_do(claim, folds, advice):
    words = (["train"] * 10 + ["validation"] * 5 + ["test"] * 5) * 2
    frame = table(40, y=["a", "b"] * 19 + ["a", "rare"], part=words if claim else None)
    with pytest.raises(DataError) as caught:
        divided(frame, claim, folds=folds)
    assert str(caught.value).startswith(
        "every class must occur in every part; class 'rare' has 1 rows in all and none in the "
    )
    assert str(caught.value).endswith(
        f" part of split 0: merge or remove rare classes, collect more rows of it, or {advice}"
    )


@pytest.mark.parametrize("name", [None, "i"])
def test_the_digest_follows_the_content_alone(name):
    frame = table(z=["1", "2", "3"] * 4, i=[f"r{i}" for i in range(12)] if name else None)
    first = cleaned(frame, drop=["z"], id=name).digest
    assert cleaned(frame.sample(frac=1, random_state=1).assign(z="9"), drop=["z"], id=name).digest == first
    assert cleaned(frame.assign(x=frame["x"].replace("3", "4")), drop=["z"], id=name).digest != first


def test_marks_of_the_file_hold_for_every_column_that_says_nothing_else():
    frame = table(x=["1,5", "2,25"] * 6, z=["1.000,5", "7"] * 6, w=["1.5", "2"] * 6)
    numbers = {"decimal": ",", "thousands": "."}
    result = cleaned(frame, numbers=numbers, columns={"w": {"type": "category"}})
    assert sorted(set(result.frame["x"])) == [1.5, 2.25]
    assert sorted(set(result.frame["z"])) == [7, 1000.5]
    assert "holds numbers with commas; row 1 is '1,5'" in refusal(frame)


def test_a_column_of_a_subgroup_is_kept_whether_or_not_it_is_a_feature():
    frame = table(sex=["f", "m"] * 6, site=["a", "b", "c"] * 4)
    result = cleaned(frame, drop=["s*"], subgroups=("sex",))
    roles = {entry.name: (entry.role, entry.kept) for entry in result.account.columns}
    assert (roles["sex"], roles["site"]) == (("subgroup", True), ("feature", False))
    assert set(result.frame["sex"]) == {"f", "m"}
    without = cleaned(frame, drop=["site"])
    with_ = cleaned(frame, drop=["site"], subgroups=("sex",))
    # of a feature nothing changes, and so nothing is trained again
    assert with_.digest == without.digest
    assert refusal(table(sex=["f"] * 12), subgroups=("sex",)) == (
        "a column of subgroups must tell some rows from others; column 'sex' is left out (constant: the same in every "
        "row): take it out of subgroups"
    )
    assert refusal(frame, subgroups=("sexx",)).startswith(
        "the subgroup column 'sexx' must be among the columns; it is not"
    )


def test_exact_duplicates_may_be_left_out_or_refused():
    frame = pd.concat([table(), table().iloc[[3, 3, 7]]])
    result = cleaned(frame, duplicates="drop")
    assert result.account.rows.dropped == {"exact duplicate": 3}
    assert (result.account.rows.kept, result.account.rows.duplicates) == (12, 0)
    pd.testing.assert_frame_equal(result.frame, cleaned(table()).frame)
    assert refusal(frame.iloc[[0, 1, 2, 3, 12]], duplicates="refuse") == (
        "no row may repeat another one exactly (clean: {duplicates: refuse}); rows 4, 5 are the same, and 0 more "
        "repeat others: remove them, name an id, or say duplicates: drop"
    )
    assert cleaned(table(), duplicates="refuse").account.rows.kept == 12
