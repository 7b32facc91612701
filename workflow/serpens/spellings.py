"""Words that may be one word in several spellings."""

import re
import unicodedata
from collections.abc import Iterable

BETWEEN = re.compile(r"(?<=\w)[\s_-]+(?=\w)")
# So many groups are told.
SHOWN_GROUPS = 12


def same_but_spelling(levels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of levels that differ in capitals, accents, or what parts their words, and in nothing else.

    Each group is in the order in which its levels are given. Signs count, except between letters or digits: the blood
    groups A+ and A- are two.
    """
    groups: dict[str, list[str]] = {}
    for level in levels:
        groups.setdefault(_folded(level), []).append(level)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)[:SHOWN_GROUPS]


def _folded(level: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", level) if not unicodedata.combining(c))
    return BETWEEN.sub(" ", plain.strip()).casefold()
