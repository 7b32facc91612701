"""The rows of a study dealt out to the parts of a split, piece by piece."""

import numpy as np
import pytest
from tests.unit.splitting import split

from serpens.artefacts import Digest
from serpens.errors import DataError

NOTHING = dict.fromkeys(["new", "after", "column", "file"])


def rows(n, **more):
    rng = np.random.default_rng(0)
    return {
        "row": np.array([f"r{i:05}" for i in range(n)], dtype=object),
        "content": np.array([f"r{i:05}" for i in range(n)], dtype=object),
        "x": rng.normal(size=n),
        "y": rng.normal(size=n),
    } | more


def known(table, task="regression", classes=()):
    columns = {"x": {"role": "feature", "type": "number"}, "y": {"role": "target", "type": "number"}}
    return Digest(sha256="0", rows=len(table["row"]), task=task, classes=classes, columns=columns)


def asked(claim, folds=None):
    fractions = {"validation": 0.15, "calibration": 0.1} | ({} if folds else {"test": 0.2})
    return {
        "claim": NOTHING | claim,
        "folds": folds,
        "fractions": fractions,
        "image": None,
        "series": None,
        "clean": {"outliers": "keep", "impute": "median", "indicator": True},
        "columns": {},
        "select": None,
    }


def dealt(table, claim, *, folds=None, number=0, **more):
    parts, schema = split(asked(claim, folds), number, table, known(table), **more)
    return {name: part for part, columns in parts.items() for name in columns["row"]}, schema


def groups(n):
    return np.array([f"p{i % 37}" for i in range(n)], dtype=object)


@pytest.mark.parametrize(("claim", "folds"), [({}, None), ({}, 5), ({"new": "g"}, None), ({"new": "g"}, 5)])
def test_five_percent_more_rows_move_no_old_row(claim, folds):
    # not with {after: time}: the cuts are moments such that each part has its share of all rows
    for number in range(folds or 1):
        before, _ = dealt(rows(1000, g=groups(1000)), claim, folds=folds, number=number)
        after, _ = dealt(rows(1050, g=groups(1050)), claim, folds=folds, number=number)
        assert len(after) == 1050
        assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("claim", [{}, {"new": "g"}, {"after": "when"}, {"new": "g", "after": "when"}])
def test_parts_and_what_is_learned_do_not_depend_on_the_pieces(claim):
    when = np.sort(np.random.default_rng(1).integers(0, 500, 1000)).astype("datetime64[D]").astype("datetime64[us]")
    table = rows(1000, g=groups(1000), when=when)
    found = [dealt(table, claim, rows_a_piece=size) for size in (1000, 1, 333)]
    assert all(each == found[0] for each in found)


def test_the_account_says_what_each_part_got():
    _, schema = dealt(rows(1000), {})
    assert sum(part.rows for part in schema.parts.values()) == 1000
    assert {name: part.asked for name, part in schema.parts.items()} == {
        "train": 0.55,
        "validation": 0.15,
        "calibration": 0.1,
        "test": 0.2,
    }
    assert schema.parts["test"].fraction == schema.parts["test"].rows / 1000


def test_rows_that_are_in_no_part_are_counted():
    when = np.arange(1000).astype("datetime64[D]").astype("datetime64[us]")
    placed, schema = dealt(rows(1000, g=groups(1000), when=when), {"new": "g", "after": "when"})
    assert schema.parts["left_out"].rows == 1000 - len(placed) > 0


def test_a_group_that_holds_half_of_the_rows_is_told_when_a_part_is_empty():
    group = np.array([f"p{i}" if i % 2 else "big" for i in range(6)], dtype=object)
    with pytest.raises(DataError) as caught:
        dealt(rows(6, g=group), {"new": "g"})
    assert str(caught.value) == (
        "the validation part of split 0 must have rows; it has none of the 6: give this part a larger fraction in "
        "split. Whole groups are dealt out: 'g' has 4 values, and 'big' alone holds 50% of the rows"
    )


def test_a_group_that_holds_half_of_the_rows_stays_whole_and_the_account_tells():
    group = np.array([f"p{i}" if i % 2 else "big" for i in range(2000)], dtype=object)
    placed, schema = dealt(rows(2000, g=group), {"new": "g"})
    parts = {placed[name] for name, g in zip(rows(2000)["row"], group, strict=True) if g == "big"}
    assert len(parts) == 1
    assert schema.parts[parts.pop()].fraction > 0.5
