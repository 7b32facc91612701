from itertools import pairwise

import numpy as np
import pytest

from serpens import splits
from serpens.errors import DataError

FRACTIONS = {"validation": 0.15, "calibration": 0.1, "test": 0.2}


def keys(n, prefix="row"):
    return np.array([f"{prefix}{i}" for i in range(n)], dtype=object)


def test_uniform_is_the_documented_hash():
    # sha256("serpens" + "a"), first 8 bytes, 53 bits
    import hashlib

    expected = (int(hashlib.sha256(b"serpensa").hexdigest()[:16], 16) >> 11) / 2**53
    assert splits.uniform(["a"])[0] == expected


def test_uniform_fills_the_interval_evenly():
    share = splits.uniform(keys(20_000))
    counts, _ = np.histogram(share, bins=20, range=(0, 1))
    assert abs(counts - 1000).max() < 150


def test_fractions_are_those_asked_for():
    labels = splits.by_key(keys(20_000), split=0, folds=None, fractions=FRACTIONS)
    for part, fraction in FRACTIONS.items():
        assert (labels == part).mean() == pytest.approx(fraction, abs=0.01)


def test_each_row_is_tested_once_in_folds():
    labels = np.array([splits.by_key(keys(1000), split=k, folds=5, fractions=FRACTIONS) for k in range(5)])
    assert ((labels == "test").sum(axis=0) == 1).all()
    assert (labels == "validation").mean() == pytest.approx(0.15, abs=0.02)
    assert (labels == "calibration").mean() == pytest.approx(0.10, abs=0.02)


def test_adding_rows_moves_no_row():
    few = splits.by_key(keys(100), split=1, folds=5, fractions=FRACTIONS)
    many = splits.by_key(keys(150), split=1, folds=5, fractions=FRACTIONS)
    assert (many[:100] == few).all()


def test_a_group_is_on_one_side():
    group = np.array([f"p{i % 40}" for i in range(1000)], dtype=object)
    labels = splits.by_key(group, split=0, folds=None, fractions=FRACTIONS)
    assert all(len(set(labels[group == g])) == 1 for g in set(group))


def test_test_is_later_than_all_training():
    time = np.arange("2000-01-01", "2003-01-01", dtype="datetime64[D]").repeat(3)
    labels = splits.by_time(time, cuts=splits.cuts([time], len(time), fractions=FRACTIONS))
    edges = [(time[labels == part].min(), time[labels == part].max()) for part in splits.PARTS]
    assert all(earlier[1] < later[0] for earlier, later in pairwise(edges))
    assert (labels == "test").mean() == pytest.approx(0.2, abs=0.01)


def test_new_groups_at_later_times_share_neither_with_training():
    rng = np.random.default_rng(0)
    group = np.array([f"p{i}" for i in rng.integers(0, 100, 5000)], dtype=object)
    time = np.datetime64("2000-01-01") + rng.integers(0, 1000, 5000).astype("timedelta64[D]")
    cuts = splits.cuts([np.sort(time)], 5000, fractions=splits.late_side(FRACTIONS))
    labels = splits.by_key_and_time(group, time, cuts=cuts, fractions=FRACTIONS)
    seen, test = labels == "train", labels == "test"
    assert not set(group[seen]) & set(group[test])
    assert time[seen].max() < time[test].min()
    assert test.mean() == pytest.approx(0.2, abs=0.05)
    assert (labels == splits.LEFT_OUT).any()


def test_a_column_with_another_word_is_refused():
    with pytest.raises(DataError, match=r"must hold only train, validation, calibration, test; found 'tset'"):
        splits.by_column(np.array(["train", "tset"], dtype=object), column="part")


def test_a_class_that_is_missing_from_a_part_says_what_to_do():
    rows = {"train": 2, "validation": 1, "calibration": 0, "test": 1}
    classes = {"train": {"a": 1, "b": 1}, "validation": {"a": 1}, "calibration": {}, "test": {"a": 1}}
    with pytest.raises(DataError) as caught:
        splits.check_parts(rows, classes, split=2, advice=lambda: "use fewer folds")
    assert str(caught.value) == (
        "every class must occur in every part; class 'b' has 1 rows in all and none in the validation part of "
        "split 2: merge or remove rare classes, collect more rows of it, or use fewer folds"
    )


def test_an_empty_part_says_what_to_do():
    rows = {"train": 1, "validation": 1, "calibration": 0, "test": 0}
    with pytest.raises(DataError, match="the test part of split 0 must have rows; it has none of the 2: more"):
        splits.check_parts(rows, None, split=0, advice=lambda: "more")


def test_new_keys_at_later_times_leave_enough_for_training():
    fractions = {"test": 0.4, "validation": 0.2, "calibration": 0.1}
    with pytest.raises(DataError) as caught:
        splits.by_key_and_time(keys(100), np.arange(100), cuts={"test": 50}, fractions=fractions)
    assert str(caught.value) == (
        "a test on new keys at later times leaves 37% of the keys; validation and calibration must take at most 70% of "
        "them, and would take 82%: give smaller fractions in split"
    )


def test_groups_are_hashed_once_each_to_the_same_numbers():
    group = np.array([f"p{i % 7}" for i in range(3000)], dtype=object)
    assert (splits.uniform(group) == [splits.uniform([name])[0] for name in group]).all()


def test_times_that_are_not_in_order_are_refused():
    pieces = [np.array([1.0, 2.0]), np.array([1.5, 3.0])]
    with pytest.raises(DataError) as caught:
        splits.cuts(pieces, 4, fractions=FRACTIONS)
    assert str(caught.value) == (
        "the cleaned rows must be in order of time; they are not: delete data/clean.parquet and run again"
    )


def test_cuts_do_not_depend_on_the_pieces():
    time = np.sort(np.random.default_rng(0).integers(0, 300, 1000)).astype(float)
    found = [splits.cuts(np.array_split(time, k), 1000, fractions=FRACTIONS) for k in (1, 3, 500, 1500)]
    assert all(cuts == found[0] for cuts in found)
    assert found[0]["test"] == time[800]
