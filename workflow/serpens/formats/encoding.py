"""From the bytes of a text file to its characters: unpacking it, finding out its encoding, saying what is not text.

Runs when Snakemake plans, so it imports nothing heavy.
"""

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from serpens.errors import DataError
from serpens.formats.registry import PACKERS

MARK = "\ufeff"
"""A byte order mark, once it is decoded; it is no part of the text."""
# In this order: the mark of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Half of the bytes of a text in UTF-16 that is mostly ASCII are zero, all of them on the same side.
ZEROS = 0.4
# What the beginning of a file may unpack to: a small one can hold gigabytes.
MOST_BYTES = 16_777_216
STEP_BYTES = 65_536
FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError)
DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".bz2": bz2.BZ2Decompressor,
    ".xz": lzma.LZMADecompressor,
}


class Head(NamedTuple):
    """The beginning of a text.

    Attributes
    ----------
    data
        Its bytes, unpacked.
    whole
        Whether there is no more.
    packed_bytes
        Bytes of the file that hold it.
    """

    data: bytes
    whole: bool
    packed_bytes: int


def suffix(path: str) -> str:
    """Return the ending that names the format, without that of a packer."""
    name = Path(path)
    return Path(name.stem).suffix if name.suffix in PACKERS else name.suffix


@contextmanager
def unpacked(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes, unpacked.

    Raises
    ------
    DataError
        If it cannot be read, is not packed as its name says, or is cut off.
    """
    openers: dict[str, Callable[[str], object]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}
    opened = openers.get(Path(path).suffix, _plain)
    try:
        with cast(BinaryIO, opened(path)) as file:
            yield file
    except FAULTS as err:
        msg = f"{path}: cannot be read; {err}"
        raise DataError(msg) from err


def _plain(path: str) -> object:
    return Path(path).open("rb")


def _zstd(path: str) -> object:
    import pyarrow as pa  # Python's own library has no zstd before 3.14

    return pa.CompressedInputStream(pa.OSFile(path), "zstd")


def read_head(path: str, wanted: int) -> Head:
    """Return the beginning of a text: what the first ``wanted`` bytes of its file hold, which may be packed.

    Raises
    ------
    DataError
        As :func:`unpacked`.
    """
    try:
        with Path(path).open("rb") as file:
            packed = file.read(wanted + 1)
        whole, packed = len(packed) <= wanted, packed[:wanted]
        packer = Path(path).suffix
        if packer not in PACKERS:
            return Head(packed, whole, len(packed))
        if packer == ".zst":
            return _zstd_head(packed, whole)
        data, used, ended = _unpack(packed, DECOMPRESSORS[packer])
        if whole and not ended:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return Head(data, whole and len(data) < MOST_BYTES, used)
    except FAULTS as err:
        msg = f"{path}: cannot be read; {err}"
        raise DataError(msg) from err


def _unpack(packed: bytes, decompressor: Callable[[], Any]) -> tuple[bytes, int, bool]:
    """Return what the beginning of a file holds, how much of it was used, and whether it ends there.

    It may be packed in several parts.
    """
    data, rest, ended = b"", packed, True
    while rest.strip(b"\0") and len(data) < MOST_BYTES:
        part = decompressor()
        data += part.decompress(rest, MOST_BYTES - len(data))
        ended = part.eof
        rest = part.unused_data
        if not ended:
            return data, len(packed) - len(getattr(part, "unconsumed_tail", b"")), len(data) >= MOST_BYTES
    return data, len(packed) - len(rest), ended


def _zstd_head(packed: bytes, whole: bool) -> Head:
    import pyarrow as pa

    data = b""
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        try:
            while len(data) < MOST_BYTES and (more := stream.read(STEP_BYTES)):
                data += more
        except OSError:
            if whole or not data:  # cut off where we cut it, else
                raise
    return Head(data, whole and len(data) < MOST_BYTES, len(packed))


def find(path: str, head: bytes, declared: str | None) -> str:
    """Return the encoding of a text: the declared one, that of its byte order mark, that of its zero bytes, or UTF-8.

    Raises
    ------
    DataError
        If the mark contradicts what is declared.
    """
    marked = next((encoding for mark, encoding in MARKS if head.startswith(mark)), None)
    if declared is not None:
        name = codecs.lookup(declared).name
        if name in ("utf-16", "utf-32"):
            if marked is None or not marked.startswith(name):
                msg = f"{path}: {name} must begin with a byte order mark; it has none: declare {name}-le or {name}-be"
                raise DataError(msg)
            return marked
        return "utf-8" if name == "utf-8-sig" else name
    if marked is not None:
        return marked
    even, odd = head[::2], head[1::2]
    if odd.count(0) >= ZEROS * len(odd) > 0 == even.count(0):
        return "utf-16-le"
    if even.count(0) >= ZEROS * len(even) > 0 == odd.count(0):
        return "utf-16-be"
    return "utf-8"


def decode(path: str, data: bytes, encoding: str, *, final: bool, line: int = 0) -> str:
    """Decode the beginning or a block of a text; a character that is cut off at its end is left out unless ``final``.

    Raises
    ------
    DataError
        If it holds bytes that are no characters; ``line`` lines stand before it.
    """
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final)
    except UnicodeDecodeError as err:
        raise undecodable(path, err, encoding, line) from err


def undecodable(path: str, err: UnicodeDecodeError, encoding: str, line: int) -> DataError:
    """Say which byte is no character; ``line`` lines stand before the block in which it is."""
    data = bytes(err.object)
    before = data[: err.start]
    if encoding.startswith(("utf-16", "utf-32")):
        at = line + 1 + before.decode(encoding, errors="ignore").count("\n")
        return DataError(f"{path}: the text must be {encoding}; line {at} is not ({err.reason}): the file is damaged")
    at = line + 1 + count_lines(before)
    found = f"{path}: the text must be {encoding}; byte {data[err.start]:#04x} in line {at} is not"
    if encoding != "utf-8":
        return DataError(f"{found}: declare another encoding in read, or mend the line")
    # what stands between 0x80 and 0x9f is a sign in Windows' code page, and in latin-1 no character that anyone writes
    likely = "cp1252" if re.search(rb"[\x80-\x9f]", data) else "latin-1"
    return DataError(
        f"{found}: if the file is {likely}, declare read: {{encoding: {likely}}}, else its own encoding, or mend the "
        "line"
    )


def nul(path: str, before: bytes, line: int) -> DataError:
    """Say where a zero byte is; ``line`` lines stand before the block, and ``before`` in it."""
    at = line + 1 + count_lines(before)
    return DataError(
        f"{path}: a text must hold no NUL; line {at} has one: the file is damaged, or in another encoding, which can "
        "be declared, such as read: {encoding: utf-16-le}"
    )


def count_lines(data: bytes) -> int:
    r"""Count the line ends: ``\n``, ``\r\n`` and ``\r``."""
    return data.count(b"\n") + (data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0)
