"""Polars: the table is read by its streaming engine, and held in memory from there."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from benchmarks.cleaning import task


def main(csv: Path, folder: Path) -> None:
    """Clean a table into a folder."""
    text = pl.scan_csv(csv, infer_schema=False)
    text = text.with_columns(pl.all().fill_null(""))
    text.sink_parquet(folder / "raw.parquet")
    trimmed = pl.scan_parquet(folder / "raw.parquet").with_columns(pl.all().str.strip_chars())
    gaps = {
        name: pl.col(name).is_in(task.NO_NUMBER if name in (*task.NUMBERS, "day") else task.MISSING)
        for name in task.COLUMNS
    }
    words = trimmed.select(
        pl.col(name).filter(gap).value_counts().implode().alias(name) for name, gap in gaps.items()
    ).collect(engine="streaming")
    missing_words = {name: {row[name]: row["count"] for row in words[name][0].to_list()} for name in task.COLUMNS}
    known = trimmed.with_columns(pl.when(~gap).then(pl.col(name)).alias(name) for name, gap in gaps.items())
    typed = known.with_columns(pl.col(task.NUMBERS).cast(pl.Float64), pl.col("day").str.to_datetime("%Y-%m-%d"))
    frame = typed.filter(pl.col("outcome").is_not_null()).collect(engine="streaming").sort("id")
    same = frame["id"] == frame["id"].shift(1)
    same = same.fill_null(value=False)
    repeated = frame.filter(same | same.shift(-1, fill_value=False))
    assert repeated.unique().height == repeated["id"].n_unique(), "rows of one id must agree"
    frame = frame.filter(~same)
    frame.write_parquet(folder / "clean.parquet")
    frame = frame.with_columns(part=pl.Series(task.dealt(frame["id"])))
    account = {name: {"missing_words": missing_words[name]} | _described(frame[name]) for name in task.COLUMNS[1:]}
    parts = {part: frame.filter(pl.col("part") == part).drop("part") for part in task.PARTS}
    for part, rows in parts.items():
        rows.write_parquet(folder / f"{part}.parquet")
    train, learned = parts["train"], {}
    quartiles = {
        share: train.select(pl.col(task.NUMBERS).quantile(share, "linear")).row(0, named=True) for share in (0.25, 0.75)
    }
    for name in task.NUMBERS:
        low, high = task.fences(quartiles[0.25][name], quartiles[0.75][name])
        clipped = train[name].clip(low, high)
        median = clipped.median()
        filled = clipped.fill_null(median)
        learned[name] = {"low": low, "high": high, "fill": median, "center": filled.mean(), "scale": filled.std(ddof=0)}
    days = train["day"].dt.epoch("d").cast(pl.Float64)
    learned["day"] = {"center": days.mean(), "scale": days.std(ddof=0)}
    for name in task.WORDS:
        learned[name] = {"levels": sorted(train[name].fill_null("").unique())}
    for part in ("train", "validation"):
        np.save(folder / f"{part}.npy", _inputs(parts[part], learned))
    task.write_account(folder, account, learned)


def _described(values: pl.Series) -> dict:
    known, entry = values.drop_nulls(), {"missing": values.null_count(), "distinct": values.n_unique()}
    entry["distinct"] -= bool(values.null_count())
    if values.dtype == pl.Float64:
        counts, _ = np.histogram(known.to_numpy(), bins=task.BINS)
        moments = {"mean": known.mean(), "sd": known.std(ddof=0)}
        return entry | {"min": known.min(), "max": known.max(), "histogram": counts.tolist()} | moments
    if values.dtype == pl.Datetime:
        return entry | {"min": known.min().isoformat(), "max": known.max().isoformat()}
    return entry | {"levels": dict(known.value_counts(sort=True).head(task.SHOWN).rows())}


def _inputs(rows: pl.DataFrame, learned: dict) -> np.ndarray:
    columns = []
    for name in task.features(learned):
        own = learned[name]
        if "levels" in own:
            columns += [
                pl.col(name).fill_null("").eq(level).cast(pl.Float32).alias(name + level) for level in own["levels"]
            ]
            continue
        values = (
            pl.col(name).dt.epoch("d").cast(pl.Float64) if name == "day" else pl.col(name).clip(own["low"], own["high"])
        )
        values = values if name == "day" else values.fill_null(own["fill"])
        columns.append(((values - own["center"]) / own["scale"]).cast(pl.Float32).alias(name))
    return rows.select(columns).to_numpy(order="c")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
