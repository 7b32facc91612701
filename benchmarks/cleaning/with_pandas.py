"""pandas: the text is read in pieces, since Python's memory does not hold it whole, and the typed table is whole."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.cleaning import task

AT_ONCE = 500_000


def main(csv: Path, folder: Path) -> None:
    """Clean a table into a folder."""
    pieces, writer = [], None
    missing_words: dict[str, pd.Series] = {}
    for text in pd.read_csv(csv, dtype=str, keep_default_na=False, chunksize=AT_ONCE):
        table = pa.Table.from_pandas(text, preserve_index=False)
        writer = writer or pq.ParquetWriter(folder / "raw.parquet", table.schema)
        writer.write_table(table)
        pieces.append(_typed(text, missing_words))
    assert writer is not None
    writer.close()
    frame = pd.concat(pieces, ignore_index=True)
    pieces.clear()
    frame = frame[frame["outcome"].notna()].sort_values("id", ignore_index=True)
    repeated = frame[frame["id"].duplicated(keep=False)]
    assert len(repeated.drop_duplicates()) == repeated["id"].nunique(), "rows of one id must agree"
    frame = frame.drop_duplicates("id", ignore_index=True)
    _write(frame, folder / "clean.parquet")
    part = task.dealt(frame["id"])
    account = {
        name: {"missing_words": missing_words[name].astype(int).to_dict()} | _described(frame[name])
        for name in task.COLUMNS[1:]
    }
    parts = {}
    for each in task.PARTS:
        parts[each] = frame[part == each]
        _write(parts[each], folder / f"{each}.parquet")
    del frame
    train, learned = parts["train"], {}
    for name in task.NUMBERS:
        low, high = task.fences(*train[name].quantile([0.25, 0.75]))
        clipped = train[name].clip(low, high)
        median = clipped.median()
        filled = clipped.fillna(median)
        learned[name] = {"low": low, "high": high, "fill": median, "center": filled.mean(), "scale": filled.std(ddof=0)}
    days = _days(train["day"])
    learned["day"] = {"center": days.mean(), "scale": days.std(ddof=0)}
    for name in task.WORDS:
        learned[name] = {"levels": sorted(train[name].fillna("").unique())}
    for each in ("train", "validation"):
        np.save(folder / f"{each}.npy", _inputs(parts[each], learned))
    task.write_account(folder, account, learned)


def _typed(text: pd.DataFrame, missing_words: dict) -> pd.DataFrame:
    columns = {}
    for name in task.COLUMNS:
        words = text[name].str.strip()
        gaps = words.isin(task.NO_NUMBER if name in (*task.NUMBERS, "day") else task.MISSING)
        counts = words[gaps].value_counts()
        missing_words[name] = counts.add(missing_words[name], fill_value=0) if name in missing_words else counts
        known = words.mask(gaps)
        if name in task.NUMBERS:
            columns[name] = known.astype("float64")
        elif name == "day":
            columns[name] = pd.to_datetime(known, format="%Y-%m-%d").astype("datetime64[us]")
        else:
            columns[name] = known if name == "id" else known.astype("category")
    frame = pd.DataFrame(columns)
    # pieces differ in their levels
    return frame.astype(dict.fromkeys(task.CATEGORIES, "str"))


def _write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def _described(values: pd.Series) -> dict:
    known, entry = values.dropna(), {"missing": int(values.isna().sum()), "distinct": int(values.nunique())}
    if values.dtype == np.float64:
        counts = np.histogram(known, bins=task.BINS)[0].tolist()
        moments = {"mean": known.mean(), "sd": known.std(ddof=0)}
        return entry | {"min": known.min(), "max": known.max(), "histogram": counts} | moments
    if values.dtype.kind == "M":
        return entry | {"min": known.min().isoformat(), "max": known.max().isoformat()}
    return entry | {"levels": known.value_counts().head(task.SHOWN).to_dict()}


def _days(times: pd.Series) -> pd.Series:
    return (times - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)


def _inputs(rows: pd.DataFrame, learned: dict) -> np.ndarray:
    columns = []
    for name in task.features(learned):
        own = learned[name]
        if "levels" in own:
            words = rows[name].fillna("")
            columns += [(words == level).to_numpy(np.float32) for level in own["levels"]]
            continue
        values = _days(rows[name]) if name == "day" else rows[name].clip(own["low"], own["high"]).fillna(own["fill"])
        columns.append(((values - own["center"]) / own["scale"]).to_numpy(np.float32))
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
