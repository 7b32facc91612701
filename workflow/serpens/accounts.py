"""The account of the data as tables: where every row went, what every column is, and how far its values moved."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from serpens.artefacts import Feature, Schema
from serpens.dataartefacts import Cleaning, ColumnAccount, ColumnDrift, DataChanges
from serpens.wording import number

SHOWN_LEVELS, SHOWN_WORDS = 3, 5
COLUMNS = (
    "column",
    "role",
    "type",
    "how",
    "kept",
    "missing",
    "distinct",
    "distinct_exact",
    "min",
    "max",
    "mean",
    "sd",
    "levels",
    "spellings",
    "done",
)
DRIFT = (
    "column",
    "role",
    "type",
    "missing_then",
    "missing_now",
    "mean_then",
    "mean_now",
    "measure",
    "distance",
    "by_chance",
    "new_levels",
    "lost_levels",
)


def rows(cleaning: Cleaning, parts: Sequence[Mapping[str, int]]) -> pd.DataFrame:
    """Return where every row went, step by step.

    Parameters
    ----------
    parts
        For each split, how many rows each part has.

    Returns
    -------
    table
        ``step``, ``kind`` (read, removed, inserted, kept, part), ``split``, ``rows``, and ``start`` and ``end``: where
        the step begins and ends on the line from 0 to the rows that were read.
    """
    account = cleaning.rows
    left = account.read
    made: list[dict[str, Any]] = [_step("read", "read", account.read, 0)]
    for reason, n in account.dropped.items():
        left -= n
        made.append(_step(reason, "removed", n, left))
    if account.inserted:
        made.append(_step("gaps of the series filled in", "inserted", account.inserted, left))
        left += account.inserted
    made.append(_step("kept", "kept", account.kept, 0))
    for split, sizes in enumerate(parts):
        start = 0
        for part, n in (*sizes.items(), ("in no part", left - sum(sizes.values()))):
            if n or part in sizes:
                made.append(_step(part, "part", n, start) | {"split": split})
                start += n
    table = pd.DataFrame(made, columns=["step", "kind", "split", "rows", "start", "end"])
    return table.astype({"split": "Int64"})


def _step(step: str, kind: str, n: int, start: int) -> dict[str, Any]:
    return {"step": step, "kind": kind, "split": None, "rows": n, "start": start, "end": start + n}


def columns(cleaning: Cleaning, schema: Schema) -> pd.DataFrame:
    """Return a row for each column: what it is, and what was done with it.

    Parameters
    ----------
    schema
        What preprocessing learned on the training rows of one split.
    """
    learned = {feature.name: feature for feature in schema.features}
    # a forecast learns of other series alone, and an image has as many features as pixels
    selects = schema.series is None and schema.image is None
    table = [
        {
            "column": column.name,
            "role": column.role,
            "type": column.type,
            "how": column.how,
            "kept": column.kept,
            "missing": column.missing,
            "distinct": column.distinct,
            "distinct_exact": column.distinct_exact,
            "min": column.min,
            "max": column.max,
            "mean": column.mean,
            "sd": column.sd,
            "levels": _levels(dict((column.levels or ())[:SHOWN_LEVELS]), 0) if column.role != "id" else None,
            "spellings": "; ".join(" = ".join(group) for group in column.spellings) or None,
            "done": "; ".join(_done(column, learned.get(column.name), selects=selects)),
        }
        for column in cleaning.columns
    ]
    return pd.DataFrame(table, columns=list(COLUMNS), dtype=object)


def _done(column: ColumnAccount, learned: Feature | None, *, selects: bool) -> list[str]:
    """Return what was done with a column, in words."""
    done = {"hash": ["hashed"], "keep": ["personal, declared"]}.get(column.personal or "", [])
    if not column.kept:
        return [*done, f"left out: {column.reason}"]
    words = {repr(word) if word else "empty": n for word, n in column.missing_words.items()}
    if words:
        shown = ", ".join(f"{word} {n:,}" for word, n in list(words.items())[:SHOWN_WORDS])
        more = f", and {len(words) - SHOWN_WORDS} more" if len(words) > SHOWN_WORDS else ""
        done.append(f"read as missing: {shown}{more}")
    done += column.done
    if column.role != "feature" or not selects:
        return done
    if learned is None:
        return [*done, "not selected"]
    if learned.indicator:
        filled = (
            f"filled with {number(learned.fill)}, with an indicator" if learned.type == "number" else "an indicator"
        )
        done.append(f"missing: {filled}")
    return done


def unnamed(predicted: pd.DataFrame, cleaning: Cleaning) -> pd.DataFrame:
    """Return predictions whose rows are numbers where what they are called is about people."""
    if any(column.role == "id" and column.personal == "keep" for column in cleaning.columns):
        return predicted.assign(row=pd.factorize(predicted["row"])[0])
    return predicted


def drift(changes: DataChanges) -> pd.DataFrame:
    """Return a row for each column that can be compared, those first that moved furthest beyond what chance does."""
    table = [
        {
            "column": each.name,
            "role": each.role,
            "type": each.type,
            "missing_then": each.missing_then,
            "missing_now": each.missing_now,
            "mean_then": each.mean_then,
            "mean_now": each.mean_now,
            "measure": each.measure,
            "distance": each.distance,
            "by_chance": each.by_chance,
            "new_levels": _levels(each.new_levels, each.n_new),
            "lost_levels": _levels(each.lost_levels, each.n_lost),
        }
        for each in sorted(changes.drift, key=_beyond_chance, reverse=True)
    ]
    return pd.DataFrame(table, columns=list(DRIFT), dtype=object)


def _beyond_chance(drift: ColumnDrift) -> float:
    if drift.distance is None or drift.by_chance is None:
        return -1.0
    # where no row differs, chance does nothing, and nothing moved
    return drift.distance / drift.by_chance if drift.by_chance else 0.0


def _levels(levels: Mapping[str, int], n: int) -> str | None:
    more = f", and {n - len(levels)} more" if n > len(levels) else ""
    return ", ".join(f"{level} ({count:,})" for level, count in levels.items()) + more or None
