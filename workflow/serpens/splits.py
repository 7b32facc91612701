"""Which rows a model may learn from, and which judge it: the split follows the claim.

Rows are dealt out by a hash of what identifies them against fixed bounds, so that adding rows or correcting a
value moves no other row, and two people with the same data have the same split. Nothing here is tuned.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serpens.errors import DataError, listed

PARTS = ("train", "validation", "calibration", "test")
SALT = "serpens"
LEFT_OUT = ""
# Of the keys that are left to a test on new keys at later times: the most that is not for training.
MAX_HELD_OUT = 0.7

Labels = NDArray[np.str_]


def uniform(keys: Sequence[str] | NDArray[np.object_], purpose: str = "") -> NDArray[np.float64]:
    """Map each key to a number in [0, 1) that depends on nothing but the key and the purpose.

    Parameters
    ----------
    purpose
        Keys are dealt out independently for different purposes.
    """
    prefix = hashlib.sha256(f"{SALT}{purpose}".encode())

    def one(key: str) -> float:
        digest = prefix.copy()
        digest.update(key.encode())
        # 53 bits fill a double's mantissa exactly: no rounding up to 1
        return (int.from_bytes(digest.digest()[:8], "big") >> 11) / 2**53

    values = {key: one(key) for key in set(keys)}
    return np.array([values[key] for key in keys], dtype=np.float64)


def deal(share: NDArray[np.float64], *, validation: float, calibration: float, test: float = 0.0) -> Labels:
    """Deal rows out by their share in [0, 1): test lowest, then calibration, validation, training."""
    bounds = np.cumsum([test, calibration, validation])
    names = np.array(["test", "calibration", "validation", "train"])
    return names[np.searchsorted(bounds, share, side="right")]


def by_key(keys: NDArray[np.object_], *, split: int, folds: int | None, fractions: dict[str, float]) -> Labels:
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


def by_time(time: NDArray[np.datetime64], *, fractions: dict[str, float]) -> Labels:
    """Cut at three moments: training, validation, calibration, test, each later than the one before.

    Rows of one moment stay together, on the later side of a cut that would fall between them.
    """
    ordered = np.sort(time)
    labels = np.full(len(time), "train", dtype="<U11")
    before = 1.0
    for part in ("test", "calibration", "validation"):
        if fractions[part] == 0:
            continue
        before -= fractions[part]
        cut = ordered[min(math.floor(before * len(time) + 0.5), len(time) - 1)]
        labels[(time >= cut) & (labels == "train")] = part
    return labels


def by_key_and_time(keys: NDArray[np.object_], time: NDArray[np.datetime64], *, fractions: dict[str, float]) -> Labels:
    """Test on new keys at later times; rows that are new in one sense only are left out of both sides.

    Of keys and of times the square root of the test fraction is set apart, so that their meeting, the test part,
    holds about the fraction that was asked for.

    Raises
    ------
    DataError
        If the fractions leave too little of the old keys at earlier times for training.
    """
    side = math.sqrt(fractions["test"])
    new = uniform(keys) < side
    late = by_time(time, fractions={"test": side, "calibration": 0, "validation": 0}) == "test"
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


def check_parts(labels: Labels, classes: NDArray[np.object_] | None, *, split: int, advice: str) -> None:
    """Raise unless each part that is asked for has rows, and rows of every class.

    Parameters
    ----------
    classes
        The target's class of each row; None when the target is not a class.
    advice
        What the user can do, in words that fit the claim.
    """
    used = [part for part in PARTS if part != "calibration" or (labels == part).any()]
    for part in used:
        inside = labels == part
        if not inside.any():
            msg = f"the {part} part of split {split} must have rows; it has none of the {len(labels)}: {advice}"
            raise DataError(msg)
        if classes is None:
            continue
        for missing in sorted(set(classes) - set(classes[inside])):
            msg = (
                f"every class must occur in every part; class {missing!r} has {int((classes == missing).sum())} "
                f"rows in all and none in the {part} part of split {split}: merge or remove rare classes, "
                f"collect more rows of it, or {advice}"
            )
            raise DataError(msg)
