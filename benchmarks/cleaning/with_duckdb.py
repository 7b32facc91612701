"""DuckDB: a database on disk, in SQL, with a limit to its memory."""

import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from benchmarks.cleaning import task

MEMORY = "1GB"


def main(csv: Path, folder: Path) -> None:
    """Clean a table into a folder."""
    con = duckdb.connect(str(folder / "work.db"))
    con.execute(f"set memory_limit='{MEMORY}'; set temp_directory='{folder}/spill'; set threads=2")
    as_text = ", ".join(f"coalesce({name}, '') as {name}" for name in task.COLUMNS)
    con.execute(f"copy (select {as_text} from read_csv('{csv}', all_varchar=true)) to '{folder}/raw.parquet' {PARQUET}")
    con.execute(
        f"create view raw as select {', '.join(f'trim({n}) as {n}' for n in task.COLUMNS)} from '{folder}/raw.parquet'"
    )
    missing_words = {}
    for name in task.COLUMNS[1:]:
        found = con.execute(f"select {name}, count(*) from raw where {name} in {_gaps(name)} group by 1").fetchall()
        missing_words[name] = dict(found)
    typed = ", ".join(f"{_typed(name)} as {name}" for name in task.COLUMNS)
    digest = f"hash({', '.join(task.COLUMNS)}) as digest"
    con.execute(f"create view typed as select *, {digest} from (select {typed} from raw) where outcome is not null")
    once = ", ".join(f"any_value({name}) as {name}" for name in task.COLUMNS[1:])
    con.execute(f"create table once as select id, {once}, min(digest) <> max(digest) as differs from typed group by id")
    assert not con.execute("select bool_or(differs) from once").fetchone()[0], "rows of one id must agree"
    share = "(('0x' || substr(sha256('serpens' || id), 1, 16))::ubigint >> 11) / 9007199254740992.0"
    bounds = {"test": ".2", "calibration": ".2 + .1", "validation": ".2 + .1 + .15"}
    part = "case " + " ".join(f"when {share} < {bound} then '{name}'" for name, bound in bounds.items())
    part += " else 'train' end"
    names = ", ".join(task.COLUMNS)
    con.execute(f"create table clean as select {names}, {part} as part from once order by id")
    con.execute("drop table once")
    con.execute(f"copy (select {names} from clean) to '{folder}/clean.parquet' {PARQUET}")
    for each in task.PARTS:
        con.execute(f"copy (select {names} from clean where part = '{each}') to '{folder}/{each}.parquet' {PARQUET}")
    account = {name: {"missing_words": missing_words[name]} | _described(con, name) for name in task.COLUMNS[1:]}
    learned = _learned(con)
    for each in ("train", "validation"):
        _write_inputs(con, each, learned, folder / f"{each}.npy")
    task.write_account(folder, account, learned)


PARQUET = "(format parquet)"


def _gaps(name: str) -> str:
    words = task.NO_NUMBER if name in (*task.NUMBERS, "day") else task.MISSING
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


def _typed(name: str) -> str:
    known = f"case when {name} in {_gaps(name)} then null else {name} end"
    kind = "double" if name in task.NUMBERS else "timestamp" if name == "day" else "varchar"
    return f"({known})::{kind}"


def _described(con: duckdb.DuckDBPyConnection, name: str) -> dict:
    missing, distinct = con.execute(f"select count(*) - count({name}), count(distinct {name}) from clean").fetchone()
    entry = {"missing": missing, "distinct": distinct}
    if name in task.NUMBERS:
        low, high, mean, sd = con.execute(
            f"select min({name}), max({name}), avg({name}), stddev_pop({name}) from clean"
        ).fetchone()
        values = con.execute(f"select {name} from clean where {name} is not null").fetchnumpy()[name]
        counts = np.histogram(values, bins=task.BINS)[0].tolist()
        return entry | {"min": low, "max": high, "mean": mean, "sd": sd, "histogram": counts}
    if name == "day":
        low, high = con.execute("select min(day), max(day) from clean").fetchone()
        return entry | {"min": low.isoformat(), "max": high.isoformat()}
    levels = (
        f"select {name}, count(*) from clean where {name} is not null group by 1 order by 2 desc, 1 limit {task.SHOWN}"
    )
    return entry | {"levels": dict(con.execute(levels).fetchall())}


def _learned(con: duckdb.DuckDBPyConnection) -> dict:
    learned = {}
    for name in task.NUMBERS:
        quartiles = con.execute(f"select quantile_cont({name}, [.25, .75]) from clean where part = 'train'").fetchone()[
            0
        ]
        low, high = task.fences(*quartiles)
        clipped = f"least(greatest({name}, {low!r}), {high!r})"
        known = f"from clean where part = 'train' and {name} is not null"
        median = con.execute(f"select quantile_cont({clipped}, .5) {known}").fetchone()[0]
        filled = f"case when {name} is null then {median!r} else {clipped} end"
        center, scale = con.execute(
            f"select avg({filled}), stddev_pop({filled}) from clean where part = 'train'"
        ).fetchone()
        learned[name] = {"low": low, "high": high, "fill": median, "center": center, "scale": scale}
    center, scale = con.execute(f"select avg({DAYS}), stddev_pop({DAYS}) from clean where part = 'train'").fetchone()
    learned["day"] = {"center": center, "scale": scale}
    for name in task.WORDS:
        levels = con.execute(f"select distinct coalesce({name}, '') from clean where part = 'train'").fetchall()
        learned[name] = {"levels": sorted(level for (level,) in levels)}
    return learned


DAYS = "(epoch(day) / 86400)"


def _write_inputs(con: duckdb.DuckDBPyConnection, part: str, learned: dict, path: Path) -> None:
    columns = []
    for name in task.features(learned):
        own = learned[name]
        if "levels" in own:
            columns += [
                f"(coalesce({name}, '') = '{level.replace(chr(39), chr(39) * 2)}')::float" for level in own["levels"]
            ]
            continue
        value = DAYS
        if name != "day":
            clipped = f"least(greatest({name}, {own['low']!r}), {own['high']!r})"
            value = f"case when {name} is null then {own['fill']!r} else {clipped} end"
        columns.append(f"(({value} - {own['center']!r}) / {own['scale']!r})::float")
    n_rows = con.execute(f"select count(*) from clean where part = '{part}'").fetchone()[0]
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n_rows, len(columns)))
    inputs = ", ".join(f"{each} as c{place}" for place, each in enumerate(columns))
    query = f"select {inputs} from clean where part = '{part}'"
    start = 0
    for batch in con.cursor().sql(query).to_arrow_reader(100_000):
        table = pa.Table.from_batches([batch])
        for place, column in enumerate(table.columns):
            X[start : start + len(table), place] = column.to_numpy()
        start += len(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
