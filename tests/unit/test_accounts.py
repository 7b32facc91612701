"""The account of the data as tables."""

import pandas as pd
import pytest
from tests.unit.tabular import clean

from serpens import accounts, pages, plotting
from serpens.artefacts import Feature, Schema, Series, Target
from serpens.dataartefacts import Cleaning, Collected, ColumnAccount, ColumnDrift, DataChanges, RowAccount
from serpens.report import SHOWN_COLUMNS, SHOWN_DRIFT

PARTS = [{"train": 60, "validation": 15, "calibration": 0, "test": 20}]


def cleaning(columns=(), **rows):
    usual = {"read": 100, "kept": 95, "inserted": 0, "dropped": {"no target": 3, "same id, same content": 2}}
    return Cleaning(rows=RowAccount(**(usual | {"duplicates": 0} | rows)), columns=tuple(columns))


def account(name, **told):
    return ColumnAccount(**({"name": name, "role": "feature", "kept": True, "reason": None} | told))


def schema(*features, **more):
    return Schema(task="regression", target=Target(name="y"), features=features, n_train=60, **more)


def steps(table):
    named = table[["step", "kind", "rows", "start", "end"]]
    return [tuple(row) for row in named.itertuples(index=False)]


def test_rows_fall_from_what_was_read_to_what_was_kept():
    assert steps(accounts.rows(cleaning(), PARTS)) == [
        ("read", "read", 100, 0, 100),
        ("no target", "removed", 3, 97, 100),
        ("same id, same content", "removed", 2, 95, 97),
        ("kept", "kept", 95, 0, 95),
        ("train", "part", 60, 0, 60),
        ("validation", "part", 15, 60, 75),
        ("calibration", "part", 0, 75, 75),
        ("test", "part", 20, 75, 95),
    ]


def test_rows_that_were_inserted_or_are_in_no_part_are_told():
    made = accounts.rows(cleaning(kept=105, inserted=10), [PARTS[0], PARTS[0] | {"test": 30}])
    assert ("gaps of the series filled in", "inserted", 10, 95, 105) in steps(made)
    assert steps(made[made["split"] == 0])[-1] == ("in no part", "part", 10, 95, 105)
    assert steps(made[made["split"] == 1])[-1] == ("test", "part", 30, 75, 105)


def test_the_waterfall_is_drawn_with_its_numbers():
    svg = plotting.to_svg(plotting.draw("rows", accounts.rows(cleaning(), PARTS * 3)), stem="rows")
    for text in ("no target", "\N{MINUS SIGN}3", "100", "95", "split 3 of 3", "validation"):
        assert f">{text}<" in svg


def done(column, *features, **more):
    return accounts.columns(cleaning([column]), schema(*features, **more))["done"][0]


@pytest.mark.parametrize(
    ("told", "features", "expected"),
    [
        ({"kept": False, "reason": "constant"}, [], "left out: constant"),
        ({"kept": False, "reason": "identifier", "personal": "hash"}, [], "hashed; left out: identifier"),
        ({"personal": "keep"}, [Feature(name="x", type="number")], "personal, declared"),
        (
            {"missing_words": {"": 1200, "NA": 3}, "done": ("3 values clipped to 0 to 9",)},
            [Feature(name="x", type="number", fill=2.5, indicator=True)],
            "read as missing: empty 1,200, 'NA' 3; 3 values clipped to 0 to 9; missing: filled with 2.50, with an "
            "indicator",
        ),
        (
            {"missing_words": dict.fromkeys("abcdefg", 1)},
            [Feature(name="x", type="category", indicator=True)],
            "read as missing: 'a' 1, 'b' 1, 'c' 1, 'd' 1, 'e' 1, and 2 more; missing: an indicator",
        ),
        ({}, [], "not selected"),
        ({"role": "weight"}, [], ""),
    ],
)
def test_what_was_done_with_a_column_in_words(told, features, expected):
    assert done(account("x", **told), *features) == expected


def test_a_forecast_selects_no_columns():
    assert done(account("x"), series=Series(time="t", horizon=1, history=2)) == ""


def test_a_column_is_a_row_of_plain_values():
    frame = pd.DataFrame({"y": ["1.5", "2", "3"] * 10, "city": ["Rome", "rome", "Oslo"] * 10, "k": range(30)})
    told = clean(frame, target="y", task="regression", id="k").account
    table = accounts.columns(told, schema(Feature(name="city", type="category")))
    rows = {row["column"]: row for row in table.to_dict("records")}
    assert list(table.columns) == list(accounts.COLUMNS)
    assert (rows["y"]["min"], rows["y"]["max"], rows["y"]["missing"], rows["y"]["how"]) == (1.5, 3.0, 0, "inferred")
    assert rows["city"]["levels"] == "Oslo (10), Rome (10), rome (10)"
    assert rows["city"]["spellings"] == "Rome = rome"
    # which rows there are is nobody's business here
    assert rows["k"]["levels"] is None


def test_rows_that_are_called_by_a_persons_id_are_numbered():
    predicted = pd.DataFrame({"model": ["a", "a", "b", "b"], "row": ["x@b.org", "y@b.org", "x@b.org", "y@b.org"]})
    for decision, expected in (
        ("keep", [0, 1, 0, 1]),
        ("hash", predicted["row"].tolist()),
        (None, predicted["row"].tolist()),
    ):
        told = cleaning([account("mail", role="id", personal=decision)])
        assert accounts.unnamed(predicted, told)["row"].tolist() == expected


def drift(name, distance, by_chance, **more):
    usual = {"role": "feature", "type": "number", "missing_then": 0.0, "missing_now": 0.0}
    means = {"mean_then": None, "mean_now": None, "measure": None}
    return ColumnDrift(name=name, distance=distance, by_chance=by_chance, **(usual | means | more))


def test_what_moved_furthest_beyond_chance_comes_first():
    now = Collected(time="t", bytes=1, rows_read=1, rows=1)
    moved = (
        drift("a", 0.1, 0.2),
        drift("b", None, None),
        drift("c", 0.3, 0.1, new_levels={"u": 3, "v": 1}, n_new=4),
        drift("same", 0.0, 0.0),
    )
    table = accounts.drift(DataChanges(then=now, now=now, drift=moved))
    assert table["column"].tolist() == ["c", "a", "same", "b"]
    assert table["new_levels"].tolist() == ["u (3), v (1), and 2 more", None, None, None]
    assert [each.beyond_chance for each in moved] == [False, False, True, False]
    assert list(accounts.drift(DataChanges(then=None, now=now)).columns) == list(accounts.DRIFT)


def page(told, schema_, changes):
    """Return the section of a report that shows the account."""
    return pages.render(
        "account.html",
        cleaning=told,
        columns=accounts.columns(told, schema_).head(SHOWN_COLUMNS).to_dict("records"),
        collected=changes,
        drift=accounts.drift(changes).head(SHOWN_DRIFT).to_dict("records"),
        moved=[each.name for each in changes.drift if each.beyond_chance],
        spelled=[],
    )


def test_thousands_of_columns_make_no_heavy_page():
    names = [f"gene_{k}" for k in range(3000)]
    told = cleaning(
        [account(name, type="number", missing=7, distinct=90, min=0.0, max=1.5, mean=0.5) for name in names]
    )
    now = Collected(time="2026-11-25T00:00:00", bytes=1, rows_read=100, rows=95)
    moved = tuple(drift(name, 0.5, 0.1, type="category", new_levels={"u": 3}, n_new=1) for name in names)
    changes = DataChanges(then=now, now=now, drift=moved, columns_added=tuple(names), columns_removed=tuple(names))
    html = page(told, schema(*(Feature(name=name, type="number") for name in names)), changes)
    assert len(html) < 200_000
    assert "The first 200; all 3,000 stand in <code>tables/columns.csv</code>." in html
    assert "The 40 that moved most beyond chance; all 3000 stand in <code>tables/drift.csv</code>." in html
    assert "gene_199<" in html
    assert "gene_200<" not in html


def test_names_and_levels_are_text():
    told = cleaning([account("<b>", levels=(("<script>", 1),), spellings=(("<i>", "<I>"),), done=("<u>",))])
    now = Collected(time="2026-11-25T00:00:00", bytes=1, rows_read=100, rows=95)
    changes = DataChanges(then=now, now=now, drift=(drift("<b>", 0.5, 0.1, new_levels={"<script>": 1}, n_new=1),))
    html = page(told, schema(Feature(name="<b>", type="category")), changes)
    assert not [tag for tag in ("<b>", "<script>", "<u>", "<i>") if tag in html]
    assert html.count("&lt;script&gt;") == 2
