"""Parts of a table that are washed apart give the same as the whole."""

import numpy as np
import pandas as pd
import pytest
from tests.unit.tabular import stream

from serpens import cleaning, io, ordering, shards
from serpens.errors import DataError

ROWS = 400


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(io, "GROUP_CELLS", 300)
    monkeypatch.setattr(ordering, "RANGE_CELLS", 500)


def frame(**columns):
    rng = np.random.default_rng(0)
    usual = {
        "i": [f"r{place}" for place in rng.permutation(ROWS)],
        "x": [f" {value:.3f}" if value > -1 else "NA" for value in rng.normal(size=ROWS)],
        "c": rng.choice(["red", "blue ", "Red", ""], ROWS),
        "d": [f"2024-01-{day:02d}" for day in rng.integers(1, 29, ROWS)],
        "y": rng.choice(["yes", "no", ""], ROWS, p=[0.4, 0.5, 0.1]),
    }
    return pd.DataFrame(usual | columns)


def cleaned(raw, folder, n_shards, **settings):
    """Return the bytes of the cleaned table, its account and its digest."""
    parts = None
    if n_shards:
        paths = [
            (folder / f"{n_shards}-{number}.arrow", folder / f"{n_shards}-{number}.json") for number in range(n_shards)
        ]
        for number, (rows, about) in enumerate(paths):
            before, part = io.read_part(raw, number, of=n_shards)
            table = cleaning.raw_table(io.read_stream(raw), **settings)
            shards.write(rows, about, *table.shard(part, before, threads=2))
        parts = shards.read([rows for rows, _ in paths], [about for _, about in paths])
    with io.workspace(folder / "clean.parquet") as work:
        table = cleaning.raw_table(io.read_stream(raw), **settings)
        made = cleaning.clean(table, folder=work, shards=parts)
        io.write_stream(folder / "clean.parquet", made.rows)
    return (folder / "clean.parquet").read_bytes(), made.account, made.digest


@pytest.mark.parametrize("roles", [{}, {"id": "i"}, {"time": "d"}, {"id": "i", "time": "d"}])
@pytest.mark.parametrize("n_shards", [1, 3, 16, 100])
def test_shards_give_what_one_job_gives(tmp_path, roles, n_shards):
    raw = tmp_path / "raw.parquet"
    again = pd.concat([frame(), frame().iloc[[5, 5, 17]]])
    io.write_stream(raw, stream(again))
    settings = {"target": "y", "columns": {"x": {"missing": ["-9.99"]}}} | roles
    assert cleaned(raw, tmp_path, n_shards, **settings) == cleaned(raw, tmp_path, 0, **settings)


def test_a_column_that_later_shards_make_another_type_is_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("serpens.rawtable.GUESSED", 20)
    words = [str(place) for place in range(ROWS // 2)] + ["low", "high"] * (ROWS // 4)
    raw = tmp_path / "raw.parquet"
    io.write_stream(raw, stream(frame(x=words)))
    table, account, _ = cleaned(raw, tmp_path, 4, target="y")
    assert (table, account) == cleaned(raw, tmp_path, 0, target="y")[:2]
    assert next(entry for entry in account.columns if entry.name == "x").type == "category"


def test_rows_that_are_wrong_are_named_by_their_place_in_the_whole_table(tmp_path):
    raw = tmp_path / "raw.parquet"
    io.write_stream(raw, stream(frame(x=["1"] * 300 + ["many"] + ["2"] * 98 + ["few"])))
    messages = []
    for n_shards in (0, 4):
        with pytest.raises(DataError) as caught:
            cleaned(raw, tmp_path, n_shards, target="y", columns={"x": {"type": "number"}})
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith("column 'x' must hold numbers; row 301 is 'many', row 400 is 'few': repair")
