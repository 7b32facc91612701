"""Which rows a model may learn from, and which judge it: the split follows the claim.

Rows are dealt out by a hash of what identifies them against fixed bounds, so that adding rows or correcting a
value moves no other row, and two people with the same data have the same split. Nothing here is tuned.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serpens.errors import DataError, listed

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = ("train", "validation", "calibration", "test")
SALT = "serpens"
LEFT_OUT = ""
# Of the keys that are left to a test on new keys at later times: the most that is not for training.
MAX_HELD_OUT = 0.7

# Of so many keys at the start of a piece: if less than half of them differ, each is hashed once.
LOOKED_AT = 1000

# Words, in a sequence or an array of NumPy's or Arrow's.
Keys = Any
Labels = NDArray[np.str_]
# Moments, or numbers that stand for them.
Times = NDArray[Any]


def uniform(keys: Keys, purpose: str = "") -> NDArray[np.float64]:
    """Map each key to a number in [0, 1) that depends on nothing but the key and the purpose.

    Parameters
    ----------
    purpose
        Keys are dealt out independently for different purposes.
    """
    import pyarrow as pa

    salted, words = f"{SALT}{purpose}", pa.array(keys, pa.string())
    first = words[:LOOKED_AT]
    if 2 * len(first.unique()) < len(first):
        once = words.dictionary_encode()
        of_each: NDArray[np.float64] = _shares(salted, once.dictionary)[once.indices.to_numpy()]
        return of_each
    return _shares(salted, words)


def _shares(salt: str, keys: "pa.Array") -> NDArray[np.float64]:
    import pyarrow.compute as pc

    salted = pc.binary_join_element_wise(salt, keys, "").cast("binary").to_pylist()
    sha256 = hashlib.sha256
    digests = b"".join([sha256(key).digest() for key in salted])
    heads = np.frombuffer(digests, dtype=">u8").reshape(-1, 4)[:, 0]
    # 53 bits fill a double's mantissa exactly: no rounding up to 1
    share: NDArray[np.float64] = (heads >> np.uint64(11)).astype(np.float64) / 2**53
    return share


def deal(share: NDArray[np.float64], *, validation: float, calibration: float, test: float = 0.0) -> Labels:
    """Deal rows out by their share in [0, 1): test lowest, then calibration, validation, training."""
    bounds = np.cumsum([test, calibration, validation])
    names = np.array(["test", "calibration", "validation", "train"])
    return names[np.searchsorted(bounds, share, side="right")]


def by_key(
    keys: "NDArray[np.object_] | pa.Array", *, split: int, folds: int | None, fractions: dict[str, float]
) -> Labels:
    """Assign rows by their key (the row itself, or its group): no key is on two sides.

    Parameters
    ----------
    folds
        With folds, fold ``split`` is the test part and each key is tested exactly once; the other folds are
        divided by an independent hash, so that a row's part does not follow from its fold.
    fractions
        Of all rows: ``validation``, ``calibration`` and, without folds, ``test``.
    """
    share = uniform(keys)
    if folds is None:
        return deal(share, **fractions)
    rest = 1 - 1 / folds
    labels = deal(
        uniform(keys, "part"),
        validation=fractions["validation"] / rest,
        calibration=fractions["calibration"] / rest,
    )
    labels[np.floor(share * folds) == split] = "test"
    return labels


def cuts(pieces: Iterable[Times], n_rows: int, *, fractions: Mapping[str, float]) -> dict[str, Any]:
    """Return the moments at which validation, calibration and test begin; a part with no fraction has none.

    Parameters
    ----------
    pieces
        The times of all rows in order, piece by piece; no more than one piece is held.
    n_rows
        How many they are.

    Raises
    ------
    DataError
        If the times are not in order.
    """
    before, wanted = 1.0, {}
    for part in ("test", "calibration", "validation"):
        if fractions[part] > 0:
            before -= fractions[part]
            wanted[part] = min(math.floor(before * n_rows + 0.5), n_rows - 1)
    found: dict[str, Any] = {}
    start, last = 0, None
    for times in pieces:
        if not len(times):
            continue
        if (times[1:] < times[:-1]).any() or (last is not None and times[0] < last):
            msg = "the cleaned rows must be in order of time; they are not: delete data/clean.parquet and run again"
            raise DataError(msg)
        for part, row in wanted.items():
            if start <= row < start + len(times):
                found[part] = times[row - start]
        start, last = start + len(times), times[-1]
    return found


def by_time(time: Times, *, cuts: Mapping[str, Any]) -> Labels:
    """Cut at three moments: training, validation, calibration, test, each later than the one before.

    Rows of one moment stay together, on the later side of a cut that would fall between them.

    Parameters
    ----------
    cuts
        When each part begins, as :func:`cuts` returns it. They depend on all rows, so a row that is added may move
        others to another part: the claim is about time, not about rows.
    """
    labels = np.full(len(time), "train", dtype="<U11")
    for part in ("test", "calibration", "validation"):
        if part in cuts:
            labels[(time >= cuts[part]) & (labels == "train")] = part
    return labels


def late_side(fractions: Mapping[str, float]) -> dict[str, float]:
    """Return the fractions by which times are cut where a test is on new keys at later times."""
    return {"test": math.sqrt(fractions["test"]), "calibration": 0.0, "validation": 0.0}


def by_key_and_time(keys: Keys, time: Times, *, cuts: Mapping[str, Any], fractions: Mapping[str, float]) -> Labels:
    """Test on new keys at later times; rows that are new in one sense only are left out of both sides.

    Of keys and of times the square root of the test fraction is set apart, so that their meeting, the test part,
    holds about the fraction that was asked for.

    Parameters
    ----------
    cuts
        When the late side begins: :func:`cuts` with the fractions of :func:`late_side`.

    Raises
    ------
    DataError
        If the fractions leave too little of the old keys at earlier times for training.
    """
    side = math.sqrt(fractions["test"])
    new = uniform(keys) < side
    late = by_time(time, cuts=cuts) == "test"
    rest = 1 - side
    held_out = {part: fractions[part] / rest for part in ("validation", "calibration")}
    if sum(held_out.values()) > MAX_HELD_OUT:
        msg = (
            f"a test on new keys at later times leaves {rest:.0%} of the keys; validation and calibration must take at "
            f"most {MAX_HELD_OUT:.0%} of them, and would take {sum(held_out.values()):.0%}: give smaller fractions in "
            "split"
        )
        raise DataError(msg)
    labels = deal(uniform(keys, "part"), **held_out)
    labels[new != late] = LEFT_OUT
    labels[new & late] = "test"
    return labels


def by_column(values: NDArray[np.object_], *, column: str) -> Labels:
    """Take the parts from a column that names them; calibration may be absent."""
    found = sorted({str(value) for value in values})
    if unknown := [value for value in found if value not in PARTS]:
        msg = (
            f"column {column!r} says which part a row belongs to and must hold only {listed(PARTS)}; "
            f"found {listed(map(repr, unknown))}: correct these values, or choose another test_on"
        )
        raise DataError(msg)
    return np.array([str(value) for value in values], dtype="<U11")


def check_parts(
    rows: Mapping[str, int], classes: Mapping[str, Mapping[str, int]] | None, *, split: int, advice: Callable[[], str]
) -> None:
    """Raise unless each part that is asked for has rows, and rows of every class.

    Parameters
    ----------
    rows
        Rows of each part.
    classes
        For each part the rows of each class; None when the target is not a class.
    advice
        Tells what the user can do, in words that fit the claim.
    """
    for part in PARTS:
        if part == "calibration" and not rows[part]:
            continue
        if not rows[part]:
            msg = (
                f"the {part} part of split {split} must have rows; it has none of the {sum(rows.values())}: {advice()}"
            )
            raise DataError(msg)
        if classes is None:
            continue
        for missing in sorted({name for each in classes.values() for name in each} - set(classes[part])):
            n = sum(each.get(missing, 0) for each in classes.values())
            msg = (
                f"every class must occur in every part; class {missing!r} has {n} "
                f"rows in all and none in the {part} part of split {split}: merge or remove rare classes, "
                f"collect more rows of it, or {advice()}"
            )
            raise DataError(msg)
