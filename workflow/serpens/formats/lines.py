"""Lines of a text file, packed or not, with their numbers."""

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from serpens.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def numbered(path: str) -> Iterator[tuple[int, str]]:
    """Yield each line of a UTF-8 text without its end, and its number from 1.

    Raises
    ------
    DataError
        If the file cannot be read to its end, or a line is not UTF-8.
    """
    number = 0
    try:
        with opened(path) as file:
            for number, raw in enumerate(file, start=1):
                line = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
                yield number, line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError as err:
        msg = f"{path}, line {number}: the text must be UTF-8; it is not: convert the file"
        raise DataError(msg) from err
    except (OSError, EOFError, zlib.error) as err:
        where = f" after line {number}" if number else ""
        msg = f"{path}: cannot be read{where}; {err}: get the file anew"
        raise DataError(msg) from err


def opened(path: str) -> BinaryIO:
    """Open a file, and unpack it if its name ends in ``.gz``."""
    return cast(BinaryIO, gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb"))  # noqa: PTH123
