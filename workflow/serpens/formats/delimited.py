"""Delimited text as a table: every column is text, exactly what stands there.

A file is read in blocks of whole rows. pyarrow's reader takes them where it can; where it cannot, or would read
something else than stands there, Python's csv module reads that block, and says what is wrong and on which line:

- of ``"2"3`` pyarrow makes 23; that is an error;
- to a quote that is not closed at the end of the file it gives what is left, last line end and all;
- a byte order mark at the start of a block it drops; files that were joined hold some.
"""

import codecs
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serpens.errors import DataError
from serpens.formats import dialect as dialects
from serpens.formats import encoding as encodings
from serpens.formats.dialect import SPACE, Dialect
from serpens.streams import Stream

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 1_048_576
# To start a column takes pyarrow about 10 µs a block (measured with 20,000): a wide table comes in larger ones.
COLUMN_BYTES, MOST_BLOCK_BYTES = 800, 8_388_608
# A row may be as long; a quote that is opened and never closed would else take the whole file into memory.
MOST_ROW_BYTES = 67_108_864
MARK = codecs.BOM_UTF8


class Block(NamedTuple):
    """Whole rows.

    Attributes
    ----------
    line
        Lines before them.
    held, end
        They are these bytes up to ``end``, in UTF-8. What is after it belongs to the next block; to cut it off would be
        a copy.
    rows
        Their fields, where only Python's csv module could tell where a row ends.
    """

    line: int
    held: bytes
    end: int
    rows: list[list[str]] | None = None


def header(path: str, read: Mapping[str, Any]) -> list[str]:
    """Return the column names of a text, and read no more than its beginning.

    Raises
    ------
    DataError
        As :func:`serpens.formats.dialect.find`.
    """
    return list(dialects.find(path, read).names)


def count(path: str, read: Mapping[str, Any]) -> int:
    """Count the rows of a text.

    Raises
    ------
    DataError
        As :func:`serpens.formats.dialect.find`, or if quotes are wrong.
    """
    return sum(1 for _ in dialects.rows(path, dialects.find(path, read)))


def open_table(path: str, read: Mapping[str, Any]) -> Stream:
    """Return a text as a table of text, with as many threads as Arrow has.

    Parameters
    ----------
    read
        What is declared, as :func:`serpens.formats.dialect.find` takes it.

    Raises
    ------
    DataError
        As :func:`serpens.formats.dialect.find`; the stream raises it where a row has another number of fields than the
        table has columns, quotes are wrong, or a byte is no character.
    """
    import pyarrow as pa

    dialect = dialects.find(path, read)
    schema = pa.schema([(name, pa.string()) for name in dialect.names])
    return Stream(schema, lambda: _batches(path, dialect, schema))


def _batches(path: str, dialect: Dialect, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    parse = _parser(path, dialect, schema)
    at_once = pa.cpu_count()
    if at_once == 1:
        yield from map(parse, _blocks(path, dialect))
        return
    waiting: deque[Future[pa.RecordBatch]] = deque()
    # one of the threads is this one, which reads and looks for the ends of rows
    with ThreadPoolExecutor(at_once - 1) as pool:
        fault: DataError | None = None
        blocks = _blocks(path, dialect)
        while True:
            try:
                block = next(blocks, None)
            except DataError as err:
                block, fault = None, err  # what is wrong further up is told first
            if block is None:
                break
            waiting.append(pool.submit(parse, block))
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if fault is not None:
            raise fault


def _parser(path: str, dialect: Dialect, schema: "pa.Schema") -> "Callable[[Block], pa.RecordBatch]":
    """Return what makes a piece of the table of a block."""
    import pyarrow as pa
    from pyarrow import csv

    names = schema.names
    convert = csv.ConvertOptions(column_types=schema, strings_can_be_null=False, check_utf8=True)
    quote = (dialect.quote or "").encode()

    def parse(block: Block) -> "pa.RecordBatch":
        if block.rows is None:
            if (place := block.held.find(b"\0", 0, block.end)) >= 0:
                raise encodings.nul(path, block.held[:place], block.line)
            reading = csv.ReadOptions(column_names=names, use_threads=False, block_size=block.end + 1)
            parsing = csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                newlines_in_values=bool(quote) and block.held.find(quote, 0, block.end) >= 0,
            )
            try:
                table = csv.read_csv(
                    pa.BufferReader(pa.py_buffer(block.held).slice(0, block.end)), reading, parsing, convert
                )
                if table.num_rows:
                    return table.combine_chunks().to_batches()[0]
            except pa.ArrowInvalid:
                pass  # the exact reader says which line, and why
        rows = block.rows
        if rows is None:
            rows, _ = _exact(path, dialect, block.held[: block.end], block.line, final=True)
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return pa.record_batch([pa.array(values, pa.string()) for values in columns], schema=schema)

    return parse


def _exact(path: str, dialect: Dialect, data: bytes, line: int, *, final: bool) -> tuple[list[list[str]], int]:
    """Read rows with Python's csv module; return them, and how many bytes they took.

    The last one is left, unless ``final``: it may go on after these bytes.
    """
    lines = StringIO(encodings.decode(path, data, "utf-8", final=True, line=line), newline="")
    if "\0" in lines.getvalue():
        raise encodings.nul(path, data[: data.index(b"\0")], line)
    taken, whole, rows = 0, 0, list[list[str]]()

    def counted() -> Iterator[str]:
        nonlocal taken
        for text in lines:
            taken += len(text.encode())
            yield text

    found = dialects.records(counted(), dialect, path, line)
    while True:
        try:
            record = next(found, None)
        except dialects.QuoteError as err:
            if err.unfinished and not final:
                return rows, whole
            raise
        if record is None:
            return rows, taken
        if len(record.fields) != len(dialect.names):
            raise _misfit(path, dialect, record)
        rows.append(record.fields)
        whole = taken


def _misfit(path: str, dialect: Dialect, record: dialects.Record) -> DataError:
    n_names, cure = len(dialect.names), ""
    if record.fields[0].startswith("#"):
        cure = ', or if it is a comment, declare read: {comment: "#"}'
    elif n_names == 1:
        cure = ", or declare another delimiter"
    return DataError(
        f"{path}: every row must have {n_names} field{'' if n_names == 1 else 's'}, one for each column; line "
        f"{record.line} has {len(record.fields)}: mend that line, or the header{cure}"
    )


def _blocks(path: str, dialect: Dialect) -> Iterator[Block]:
    """Yield the rows of data of a file in blocks that end where a row ends."""
    ends = _RowEnds(dialect)
    held, line = b"", dialect.lines
    for piece, final in _utf8(path, dialect):
        held = held + piece if held else piece
        end = len(held) if final else _after_line_end(held, len(held))
        cut = ends.find(held, end, final=final)
        rows = None
        if cut is None:
            rows, cut = _exact(path, dialect, held[:end], line, final=final)
        if cut:
            yield Block(line, held, cut, rows)
            line += _count_lines(held, cut)
            held = held[cut:]
        elif len(held) > MOST_ROW_BYTES:
            msg = (
                f"{path}: a row must end within {MOST_ROW_BYTES >> 20} MB; that from line {line + 1} on does not: "
                "close the quote that is opened there, or declare read: {quote: false}"
            )
            raise DataError(msg)


class _RowEnds:
    """Finds where rows end, by the quotes alone."""

    def __init__(self, dialect: Dialect) -> None:
        self.quote = (dialect.quote or "").encode()
        self.comment = (dialect.comment or "").encode()
        # what pyarrow does not know, or takes in another sense
        signs = (dialect.delimiter, dialect.quote or "")
        self.unknown = dialect.escape is not None or dialect.delimiter == SPACE or not all(map(str.isascii, signs))
        self.separates = np.zeros(256, bool)
        self.separates[list(b"\r\n" + dialect.delimiter.encode())] = True

    def find(self, data: bytes, end: int, *, final: bool) -> int | None:
        """Return the last place, up to ``end``, where a row ends; None if pyarrow may read these bytes differently.

        Mostly the quotes open and close in turn, each where a field begins or ends, a doubled one closing and opening
        again. Else some stand in fields that are not quoted, or are wrong, which is told by one after the other.
        """
        if not end:
            return 0
        if self.unknown or data.startswith(MARK) or self._has_comment(data):
            return None
        if not self.quote or data.find(self.quote, 0, end) < 0:
            return end
        characters = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(characters[:end] == self.quote[0])
        begins = self.separates[characters[quotes - 1]]
        begins[0] |= quotes[0] == 0
        ends = self.separates[characters[np.minimum(quotes + 1, len(data) - 1)]]
        ends[-1] |= quotes[-1] + 1 == len(data)
        doubled = quotes[1::2][: len(quotes[2::2])] + 1 == quotes[2::2]
        opened, closed = begins[::2].copy(), ends[1::2].copy()
        opened[1:] |= doubled
        closed[: len(doubled)] |= doubled
        if not (opened.all() and closed.all()):
            one_by_one = _opening_and_closing(quotes, begins, ends)
            if one_by_one is None:
                return None
            quotes = one_by_one
        if len(quotes) % 2 == 0:
            return end
        if final:
            return None
        n_before = len(quotes)
        while n_before % 2:
            end = _after_line_end(data, int(quotes[n_before - 1]))
            n_before = int(np.searchsorted(quotes, end))
        return end

    def _has_comment(self, data: bytes) -> bool:
        sign = self.comment
        return bool(sign) and (data.startswith(sign) or b"\n" + sign in data or b"\r" + sign in data)


def _opening_and_closing(
    quotes: NDArray[np.intp], begins: NDArray[np.bool_], ends: NDArray[np.bool_]
) -> NDArray[np.intp] | None:
    """Return those of all quotes that open and close fields; None if a field goes on after its closing quote.

    Parameters
    ----------
    begins, ends
        Whether a field would begin, or end, with each quote.
    """
    found: list[int] = []
    inside, second = False, -1
    for place, begin, end, following in zip(
        quotes.tolist(), begins.tolist(), ends.tolist(), [*quotes[1:].tolist(), -1], strict=True
    ):
        if place == second:
            continue
        if inside and not end:
            if following != place + 1:
                return None
            second = following
        elif inside or begin:
            found.append(place)
            inside = not inside
    return np.array(found, np.intp)


def _after_line_end(data: bytes, end: int) -> int:
    """Return the place after the last line end before ``end``, or 0.

    The last byte may be the first half of a line end in two bytes.
    """
    return (data.rfind(b"\n", 0, end) + 1) or (data.rfind(b"\r", 0, max(0, end - 1)) + 1)


def _count_lines(data: bytes, end: int) -> int:
    r"""Count the line ends before ``end``, faster than ``bytes.count``: ``\n``, ``\r\n`` and ``\r``."""
    characters = np.frombuffer(data, np.uint8)[:end]
    feeds = characters == ord("\n")
    if data.find(b"\r", 0, end) < 0:
        return int(np.count_nonzero(feeds))
    returns = characters == ord("\r")
    return int(np.count_nonzero(feeds) + np.count_nonzero(returns) - np.count_nonzero(returns[:-1] & feeds[1:]))


def _utf8(path: str, dialect: Dialect) -> Iterator[tuple[bytes, bool]]:
    """Yield a file from its first row of data on as UTF-8, and with each piece whether it is the last."""
    decoder = None if dialect.encoding == "utf-8" else codecs.getincrementaldecoder(dialect.encoding)()
    line, skipped, first, before = 0, dialect.start, True, b""
    at_once = max(BLOCK_BYTES, min(COLUMN_BYTES * len(dialect.names), MOST_BLOCK_BYTES))
    with encodings.unpacked(path) as file:
        final = False
        while not final:
            data = file.read(at_once)
            final = not data
            if decoder is not None:
                try:
                    data = decoder.decode(data, final).encode()
                except UnicodeDecodeError as err:
                    raise encodings.undecodable(path, err, dialect.encoding, line) from err
            if first:
                data, first = data.removeprefix(MARK), False
            if decoder is not None:
                line += _count_lines(data, len(data)) - (before.endswith(b"\r") and data.startswith(b"\n"))
                before = data
            rest = data[skipped:]
            skipped = max(0, skipped - len(data))
            yield rest, final
