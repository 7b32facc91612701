"""What changed when a study was collected again: planted changes, counted exactly."""

import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.unit.tabular import clean

from serpens import io, recollection, rowdigests, streams
from serpens.dataartefacts import DataChanges, Source
from serpens.drift import kolmogorov_smirnov_by_chance, spread
from serpens.errors import DataError
from serpens.layout import StudyFolder

KEY = bytes(32)


def table(n=200):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(n)],
            "y": ["no", "yes"] * (n // 2),
            "x": rng.normal(size=2000)[:n].round(4).astype(str),
            "city": rng.choice(["Rome", "Oslo"], 2000)[:n],
            "when": [f"2024-01-{1 + i % 28:02d}" for i in range(n)],
        }
    )


@pytest.fixture
def collected(tmp_path):
    """Return a function that collects a table into a study's folder, and says what changed."""
    folder = StudyFolder(tmp_path / "s")

    def again(frame, *, named_by="id", name="sha", time="2026-11-25T00:00:00+00:00", **settings):
        if named_by == "id":
            settings = {"id": "key"} | settings
        elif named_by == "content":
            settings = {"drop": ["key"]} | settings
        result = clean(frame, target="y", **settings)
        io.write_table(folder.root / "data/clean.parquet", result.frame)
        result.account.write(folder.root / "data/cleaning.json")
        result.digest.write(folder.root / "data/digest.json")
        described = {"kind": "file", "origin": "t.csv", "bytes": 10, "rows": len(frame), "columns": 5}
        Source(sha256=name, time=time, **described).write(folder.root / "data/source.json")
        return recollection.keep(folder, named_by)

    again.home = folder.root / "collections"
    return again


def counts(found):
    return found.added, found.removed, found.changed


def drift_of(found, name):
    return next(each for each in found.drift if each.name == name)


def test_the_first_collection_has_none_before_it(collected):
    found = collected(table())
    assert found.then is None
    assert found.now.model_dump() == {"time": "2026-11-25T00:00:00+00:00", "bytes": 10, "rows_read": 200, "rows": 200}
    assert counts(found) == (None, None, None)
    assert [path.name for path in collected.home.iterdir()] == ["001"]


def edited():
    """Return the table with 10 rows more, 2 corrected and 1 removed, in another order."""
    more = table(210).iloc[200:]
    whole = pd.concat([table(), more], ignore_index=True)
    whole.loc[[3, 150], "x"] = ["99.5", "-99.5"]
    return whole.drop(index=77).sample(frac=1, random_state=1)


def test_rows_are_followed_by_their_id(collected):
    collected(table(), name="one", time="2026-11-01T00:00:00+00:00")
    found = collected(edited(), name="two")
    assert counts(found) == (10, 1, 2)
    chance = kolmogorov_smirnov_by_chance(spread(200, 209, 197 / 200, 197 / 209))
    assert drift_of(found, "x").by_chance == pytest.approx(chance)
    assert (found.then.rows, found.now.rows, found.then.time) == (200, 209, "2026-11-01T00:00:00+00:00")
    assert found.untold is None


def test_without_an_id_a_changed_row_goes_and_comes(collected):
    collected(table(), name="one", named_by="content")
    found = collected(edited(), name="two", named_by="content")
    assert counts(found) == (12, 3, None)
    assert found.untold == "without an id a row is known by what it holds: one that changed is removed and added"


def test_the_same_rows_in_another_order_did_not_change(collected):
    collected(table(), name="one")
    found = collected(table().sample(frac=1, random_state=2)[["when", "x", "y", "key", "city"]], name="two")
    assert counts(found) == (0, 0, 0)
    assert {each.distance for each in found.drift} == {0.0}


def test_the_same_collection_is_compared_with_the_one_before_however_often(collected):
    collected(table(), name="one")
    first = collected(edited(), name="two")
    kept = {path: path.read_bytes() for path in collected.home.rglob("*.*")}
    assert collected(edited(), name="two") == first
    assert {path: path.read_bytes() for path in collected.home.rglob("*.*")} == kept


def test_two_collections_are_kept(collected):
    for place, name in enumerate(["one", "two", "three", "one"]):
        found = collected(table(200 + 2 * place), name=name)
    assert counts(found) == (2, 0, 0)
    assert sorted(path.name for path in collected.home.iterdir()) == ["003", "004"]
    assert sorted(path.name for path in (collected.home / "004").iterdir()) == [
        "collection.json",
        "rows.parquet",
        "values.parquet",
    ]


def test_what_is_killed_half_way_is_swept(collected):
    collected(table(), name="one")
    (collected.home / ".002.1.part").mkdir()
    assert counts(collected(table(202), name="two")) == (2, 0, 0)
    assert sorted(path.name for path in collected.home.iterdir()) == ["001", "002"]


def test_drift_of_numbers_is_scipys(collected):
    collected(table(), name="one")
    moved = table().assign(x=(np.random.default_rng(5).normal(0.7, 1, size=200)).round(4).astype(str))
    moved.loc[:19, "x"] = ""
    found = drift_of(collected(moved, name="two"), "x")
    expected = stats.ks_2samp(table()["x"].astype(float), moved["x"][20:].astype(float)).statistic
    assert found.measure == "Kolmogorov-Smirnov"
    assert found.distance == pytest.approx(expected, abs=1e-12)
    assert found.by_chance == pytest.approx(stats.kstwobign.isf(0.01) * np.sqrt(1 / 200 + 1 / 180), rel=1e-3)
    assert (found.missing_then, found.missing_now) == (0, 0.1)
    assert found.mean_now == pytest.approx(moved["x"][20:].astype(float).mean())


def test_drift_of_categories_tells_new_and_lost_levels(collected):
    then = table().assign(city=["Rome"] * 100 + ["Oslo"] * 100)
    collected(then, name="one")
    found = drift_of(collected(then.assign(city=["Rome"] * 100 + ["Bern"] * 60 + ["Graz"] * 40), name="two"), "city")
    assert (found.measure, found.distance) == ("total variation", 0.5)
    assert (found.new_levels, found.lost_levels, found.n_new, found.n_lost) == (
        {"Bern": 60, "Graz": 40},
        {"Oslo": 100},
        2,
        1,
    )


def test_drift_of_times_is_that_of_their_days(collected):
    collected(table(), name="one")
    found = drift_of(collected(table().assign(when=table()["when"].str.replace("2024", "2025")), name="two"), "when")
    assert (found.measure, found.distance) == ("Kolmogorov-Smirnov", 1.0)


def test_other_columns_in_use_leave_changes_untold(collected):
    collected(table(), name="one")
    found = collected(table(202).drop(columns="when").assign(z=range(202)), name="two")
    assert counts(found) == (2, 0, None)
    assert found.untold == "how many rows changed cannot be told, because the columns in use did"
    assert (found.columns_added, found.columns_removed, found.columns_retyped) == (("z",), ("when",), ())
    retyped = collected(table().assign(when=[f"w{i % 9}" for i in range(200)]), name="three")
    assert (retyped.columns_added, retyped.columns_removed) == (("when",), ("z",))


def test_a_column_of_another_type_is_told(collected):
    collected(table(), name="one")
    found = collected(table().assign(when=[f"w{i % 9}" for i in range(200)]), name="two")
    assert found.columns_retyped == ("when",)
    assert "when" not in {each.name for each in found.drift}


def test_rows_of_another_name_are_not_followed(collected):
    collected(table(), name="one")
    found = collected(table(), name="two", named_by="content")
    assert counts(found) == (None, None, None)
    assert found.untold == "rows are named by other columns now, so that none can be followed"
    found = collected(table().drop(columns="when"), name="three", named_by="content")
    assert found.untold == "rows are named by other columns now, so that none can be followed"


def test_rows_hashed_with_another_key_are_not_followed(collected):
    collected(table(), name="one", personal={"key": "hash"}, key=KEY)
    again = collected(table(202), name="two", personal={"key": "hash"}, key=KEY)
    assert counts(again) == (2, 0, 0)
    other = collected(table(), name="three", personal={"key": "hash"}, key=bytes(31) + b"1")
    assert counts(other) == (None, None, None)
    assert other.untold == "columns were hashed with another key, so that no row can be followed"


def test_nothing_personal_is_kept(collected):
    people = table().assign(nurse=np.random.default_rng(1).choice(["Anna", "Ivan", "Sophie", "Omar", "Priya"], 200))
    people["key"] = [f"secret{i}@b.org" for i in range(200)]
    said = {"key": "keep", "nurse": "keep"}
    collected(people, name="one", personal=said)
    moved = people.assign(nurse=["Olga", *people["nurse"][1:]], city=["Bern", *people["city"][1:]])
    found = collected(moved, name="two", personal=said)
    kept = b"".join(path.read_bytes() for path in collected.home.rglob("*.*"))
    values = str(pd.read_parquet(collected.home / "002/values.parquet").to_dict()) + found.model_dump_json()
    for value in ("secret", "Anna", "Olga"):
        assert value.encode() not in kept
        assert value not in values
    assert "Bern" in values
    nurse = drift_of(found, "nurse")
    assert (nurse.measure, nurse.distance, nurse.missing_now) == (None, None, 0)
    assert counts(found) == (0, 0, 1)


def test_a_kept_collection_that_is_damaged_is_refused(collected):
    collected(table(), name="one")
    (collected.home / "001/rows.parquet").unlink()
    with pytest.raises(DataError) as caught:
        collected(table(202), name="two")
    entry = collected.home / "001"
    assert str(caught.value) == (
        f"a kept collection must be whole; {entry} is not: restore it, or remove it and forget the one before"
    )
    shutil.rmtree(entry)
    assert collected(table(202), name="two").then is None


def test_a_kept_collection_of_another_version_is_refused(collected):
    collected(table(), name="one")
    path = collected.home / "001/collection.json"
    io.write_json(path, io.read_json(path) | {"other": 1})
    with pytest.raises(DataError) as caught:
        collected(table(202), name="two")
    assert str(caught.value) == (
        f"a kept collection must be of a form that this version of Serpens reads; {path} is not (1 faults): remove "
        f"{path.parent}"
    )


def test_the_account_is_read_as_it_was_written(collected, tmp_path):
    collected(table(), name="one")
    found = collected(edited(), name="two")
    found.write(tmp_path / "changes.json")
    assert DataChanges.read(tmp_path / "changes.json") == found


# --- digests of rows --------------------------------------------------------------------------------------------------


def pairs(names, contents):
    made = np.zeros(len(names), dtype=rowdigests.PAIR)
    made["name"], made["content"] = names, contents
    return made


@pytest.mark.parametrize("at_once", [7, 64, 10_000])
def test_pieces_are_sorted_and_compared_as_sets(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(rowdigests, "SORTED_ROWS", at_once)
    rng = np.random.default_rng(0)
    names = np.unique(rng.integers(0, 2**64, 1000, dtype=np.uint64))
    contents = rng.integers(0, 2**32, len(names), dtype=np.uint32)
    then, now = pairs(names[:800], contents[:800]), pairs(names[100:], contents[100:])
    now["content"][:5] += np.uint32(1)
    ordered = []
    for place, whole in enumerate((then, now)):
        shuffled = rng.permutation(whole)
        scratch = tmp_path / str(place)
        scratch.mkdir()
        ordered.append(rowdigests.sort(np.array_split(shuffled, 9), len(whole), scratch))
        got = [batch.column("name").to_numpy() for batch in ordered[-1].batches()]
        assert (len(got) > 1) == (at_once < 1000)
        np.testing.assert_array_equal(np.concatenate(got), whole["name"])
    assert rowdigests.compare(*ordered) == (len(names) - 800, 100, 5)
    nothing = streams.Stream(ordered[0].schema, lambda: iter(()))
    assert rowdigests.compare(nothing, ordered[1]) == (len(now), 0, 0)
    assert rowdigests.compare(ordered[0], nothing) == (0, 800, 0)


def test_a_row_is_what_it_holds():
    frame = pd.DataFrame(
        {"row": ["a", "b"], "x": [0.0, np.nan], "t": pd.to_datetime(["2024-01-01", None]), "w": ["u", None]}
    )
    first = rowdigests.digested(frame, "row")
    same = frame.assign(x=[-0.0, -np.nan], t=frame["t"].astype("datetime64[ns]"), w=frame["w"].astype("str"))
    np.testing.assert_array_equal(rowdigests.digested(same[["w", "t", "row", "x"]], "row"), first)
    for column, values in {"x": [1.0, np.nan], "w": ["v", None], "t": [frame["t"][1], frame["t"][1]]}.items():
        other = rowdigests.digested(frame.assign(**{column: values}), "row")
        assert other["content"][0] != first["content"][0]
        assert other["content"][1] == first["content"][1]
    swapped = frame.assign(p=["1", "1"], q=["2", "2"])
    assert (
        rowdigests.digested(swapped, "row")["content"][0]
        != rowdigests.digested(swapped.assign(p="2", q="1"), "row")["content"][0]
    )


def test_a_sample_holds_the_same_rows_each_time(collected, monkeypatch):
    monkeypatch.setattr(recollection, "SAMPLED_CELLS", 300)
    monkeypatch.setattr(recollection, "LEAST_SAMPLE", 100)
    collected(table(1000), name="one")
    grown = collected(table(1000).iloc[:990], name="two")
    kept = pd.read_parquet(collected.home / "001/values.parquet")
    n = kept.loc[kept["column"] == "x", "count"].max()
    assert 60 < n < 140
    assert drift_of(grown, "x").distance < 0.03
    assert kept.loc[kept["column"] == "city", "count"].sum() == 1000
