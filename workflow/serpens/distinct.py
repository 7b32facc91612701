"""How many different values there are, counted piece by piece in memory that does not grow."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ConfigDict, PlainSerializer, PlainValidator

# So many are counted exactly.
EXACT = 4096
Hashes = Annotated[
    NDArray[np.uint64],
    PlainValidator(lambda given: np.asarray(given, dtype=np.uint64)),
    PlainSerializer(lambda least: least.tolist(), return_type=list[int]),
]


@dataclass
class Distinct:
    """The least hashes of the values that were seen: all of them, as long as they are few.

    Pieces add up to the same in any order. Above ``EXACT`` values their number is estimated by how densely the least
    hashes lie, with a relative standard error of ``1 / sqrt(EXACT)``, 1.6 %.

    References
    ----------
    Bar-Yossef, Jayram, Kumar, Sivakumar and Trevisan (2002), "Counting distinct elements in a data stream", RANDOM.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    least: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def add(self, values: pa.Array, *, known: "Distinct | None" = None) -> None:
        """Add the values of a piece; null is none.

        Parameters
        ----------
        known
            What this will be merged into: what is too great for that need not be looked at.
        """
        if values.null_count:
            values = values.drop_null()
        if len(values):
            more = hashes(values)
            self._merge(more if known is None else known.below(more))

    def merge(self, other: "Distinct") -> None:
        """Add what another count has seen."""
        if len(other.least):
            self._merge(other.least)

    def below(self, more: Hashes) -> Hashes:
        """Return the hashes that may be among the least."""
        least = self.least
        return more[more < least[-1]] if len(least) == EXACT else more

    def _merge(self, more: Hashes) -> None:
        together = np.sort(np.concatenate([self.least, self.below(more)]))
        # np.unique hashes what it has, which is slower than to sort it
        first = np.ones(len(together), dtype=bool)
        first[1:] = together[1:] != together[:-1]
        self.least = together[first][:EXACT]

    @property
    def exact(self) -> bool:
        """Whether ``n`` is a count."""
        return len(self.least) < EXACT

    @property
    def n(self) -> int:
        """How many different values there were."""
        if self.exact:
            return len(self.least)
        return round((EXACT - 1) / (float(self.least[-1]) / 2.0**64))


def hashes(values: pa.Array) -> Hashes:
    """Return 64 bits for each value, or for each different one: the same for equal values."""
    if pa.types.is_string(values.type):
        return _words(values)
    bits = values.to_numpy(zero_copy_only=False)
    if bits.dtype.kind == "f":
        bits = bits + 0.0  # one zero, not two
    return _mixed(np.ascontiguousarray(bits).view(np.uint64))


def _words(words: pa.Array) -> Hashes:
    once = pc.unique(words).to_numpy(zero_copy_only=False)
    found: Hashes = pd.util.hash_array(once, categorize=False)  # SipHash
    return found


def _mixed(bits: Hashes) -> Hashes:
    """Return well mixed bits: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    bits = bits ^ (bits >> np.uint64(30))
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
