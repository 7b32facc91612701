"""The dialect of a delimited text: what separates its fields, how they are quoted, and which line names the columns.

Found out from the beginning of the file, or declared in the study's section ``read``; what cannot be decided is
refused. It runs when Snakemake plans and again in the job, so it imports nothing heavy.
"""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from typing import Any, NamedTuple

from serpens.errors import DataError, listed
from serpens.formats import encoding as encodings

HEAD_BYTES = 65_536
CANDIDATES = (",", ";", "\t", "|")
DELIMITERS = {".tsv": "\t"}
"""What a file's name says of its delimiter."""
# Names that a message writes out.
SHOWN = 8
PLAIN = re.compile(r"[A-Za-z_]\w*")
SPACE = " "

# Else a field of more than 131,072 characters is refused, which the fast reader takes.
csv.field_size_limit(sys.maxsize)


class Record(NamedTuple):
    """Fields, and the lines on which they begin and end, from 1."""

    line: int
    fields: list[str]
    last: int


@dataclass(frozen=True)
class Dialect:
    """How a text is read.

    Attributes
    ----------
    delimiter
        Separates fields; a space stands for runs of spaces.
    quote, escape, comment
        None where there is none.
    names
        Of the columns.
    lines
        Lines before the first row of data.
    start
        Bytes of these lines as UTF-8, without a byte order mark.
    """

    delimiter: str
    quote: str | None
    escape: str | None
    comment: str | None
    encoding: str
    names: tuple[str, ...] = ()
    lines: int = 0
    start: int = 0

    @property
    def csv(self) -> dict[str, Any]:
        """The arguments of Python's csv module."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "quoting": csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            "escapechar": self.escape,
            "skipinitialspace": self.delimiter == SPACE,
            "strict": True,
        }


def records(lines: Iterable[str], dialect: Dialect, path: str, line: int = 0) -> Iterator[Record]:
    """Yield the rows of a text; blank lines and comments are none.

    Parameters
    ----------
    lines
        With their ends.
    line
        Lines before them.

    Raises
    ------
    DataError
        If quotes are not closed, or not doubled inside.
    """
    first, fresh = line, True

    def counted() -> Iterator[str]:
        nonlocal line, first, fresh
        for text in lines:
            line += 1
            if fresh:
                first = line
                if dialect.comment and text.startswith(dialect.comment):
                    continue
            fresh = False
            yield text

    reader = csv.reader(counted(), **dialect.csv)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            msg = f"{path}: quotes must be closed and doubled inside; line {first}: {err}"
            raise QuoteError(msg, unfinished=str(err) == "unexpected end of data") from err
        fresh = True
        if dialect.delimiter == SPACE and len(fields) > 1 and not fields[-1]:
            fields.pop()  # spaces at the end of the line
        if fields and (len(fields) > 1 or len(dialect.names) < 2 or fields[0].strip()):
            yield Record(first, fields, line)


class QuoteError(DataError):
    """Quotes are wrong; ``unfinished`` when there may only be more to come."""

    def __init__(self, message: str, *, unfinished: bool) -> None:
        super().__init__(message)
        self.unfinished = unfinished


def lines_of(text: str, *, whole: bool) -> list[str]:
    """Return the lines of a text with their ends; the last is left out where it may be cut."""
    lines = list(StringIO(text, newline=""))
    return lines if whole else lines[:-1]


def first_records(
    lines: Sequence[str], dialect: Dialect, path: str, line: int = 0, *, whole: bool = False
) -> list[Record | None]:
    """Return the rows of the beginning of a text; None stands for one whose quotes are wrong, where it ends.

    Unless these lines are the ``whole`` text, quotes that are not closed at their end are not wrong.
    """
    found: list[Record | None] = []
    try:
        found.extend(records(lines, dialect, path, line))
    except QuoteError as err:
        if whole or not err.unfinished:
            found.append(None)
    return found


def rows(path: str, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows of data of a file, with characters that cannot be decoded replaced.

    Raises
    ------
    DataError
        If the file cannot be read, or quotes are wrong.
    """
    with (
        encodings.unpacked(path) as file,
        TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline="") as lines,
    ):
        for _ in range(dialect.lines):
            lines.readline()
        for record in records(lines, dialect, path, dialect.lines):
            yield record.fields


def find(path: str, read: Mapping[str, Any]) -> Dialect:
    """Find out the dialect of a text.

    Parameters
    ----------
    read
        What is declared: ``delimiter``, ``quote``, ``escape``, ``encoding``, ``header``, ``names``, ``comment``,
        ``skip_rows``; what is missing or None is found out.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, is not in the encoding, fits two delimiters, or has a header that does not
        name every column once.
    """
    wanted = HEAD_BYTES
    while True:
        head = encodings.read_head(path, wanted)
        if len(head.data) > wanted:  # what is packed may hold a thousand times as much
            head = head._replace(data=head.data[:wanted], whole=False)
        sample = _Sample(path, head, read)
        if sample.whole or len(sample.first(CANDIDATES[0])) > 2 or wanted >= encodings.MOST_BYTES:
            return sample.dialect()
        wanted *= 4  # the header alone is longer


class _Sample:
    """The beginning of a text, and what is declared of it."""

    def __init__(self, path: str, head: encodings.Head, read: Mapping[str, Any]) -> None:
        self.path, self.read, self.whole = path, read, head.whole
        self.encoding = encodings.find(path, head.data, read.get("encoding"))
        text = encodings.decode(path, head.data, self.encoding, final=head.whole).removeprefix(encodings.MARK)
        if "\0" in text:
            raise encodings.nul(path, text[: text.index("\0")].encode(), 0)
        self.lines = lines_of(text, whole=head.whole)
        self.skipped = read.get("skip_rows") or 0
        quote = read.get("quote")
        self.quote = '"' if quote is None else quote or None
        self.given = tuple(read.get("names") or ())

    def plain(self, delimiter: str) -> Dialect:
        return Dialect(delimiter, self.quote, self.read.get("escape"), self.read.get("comment"), self.encoding)

    def first(self, delimiter: str) -> list[Record | None]:
        """Return the first records that a delimiter makes."""
        plain, lines = self.plain(delimiter), self.lines[self.skipped :]
        return first_records(lines, plain, self.path, self.skipped, whole=self.whole)

    def dialect(self) -> Dialect:
        delimiter = self.read.get("delimiter") or self.delimiter()
        found = self.first(delimiter)
        if not found and not self.whole:
            msg = (
                f"{self.path}: the header must end within {encodings.MOST_BYTES >> 20} MB; it does not: close its "
                "quotes, or declare read: {quote: false}"
            )
            raise DataError(msg)
        if not found:
            after = f" after {self.skipped} lines that are skipped" if self.skipped else ""
            msg = f"{self.path}: the first line must name the columns; the file is empty{after}"
            raise DataError(msg)
        if found[0] is None:
            list(records(self.lines[self.skipped :], self.plain(delimiter), self.path, self.skipped))
        whole = [record for record in found if record is not None]
        header = None if self.read.get("header") is False else whole[0]
        data = whole[1:] if header else whole
        if header is not None:
            self.check_kind(header)
        names = [name.strip() for name in self.given or (header.fields if header else ())]
        self.check_counts(names, header, data, delimiter)
        self.check_names(names, data, delimiter)
        n_lines = self.skipped if header is None else header.last
        return Dialect(
            delimiter,
            self.quote,
            self.read.get("escape"),
            self.read.get("comment"),
            self.encoding,
            tuple(names),
            n_lines,
            sum(len(line.encode()) for line in self.lines[:n_lines]),
        )

    def delimiter(self) -> str:
        """Return the delimiter that fits best.

        It makes as many fields of the rows as the header has names, of most rows; or of all rows from some line on the
        same number; or it occurs in the header.
        """
        usual = DELIMITERS.get(encodings.suffix(self.path), ",")
        scores = {each: self.score(each) for each in CANDIDATES}
        best = max(scores.values())
        if best == (0.0, 0.0, False):
            self.check_spaces()
            return usual
        fitting = [each for each in CANDIDATES if scores[each] == best]
        if len(fitting) > 1 and usual == "\t" and usual in fitting:
            return usual
        if len(fitting) > 1:
            both = " and ".join(map(json.dumps, fitting))
            cures = " or ".join(f"read: {{delimiter: {json.dumps(each)}}}" for each in fitting)
            msg = f"{self.path}: one delimiter must fit; {both} fit equally: declare {cures}"
            raise DataError(msg)
        return fitting[0]

    def score(self, delimiter: str) -> tuple[float, float, bool]:
        found = self.first(delimiter)
        if not found or found[0] is None:
            return 0.0, 0.0, False
        n_header = len(found[0].fields)
        data = found if self.read.get("header") is False else found[1:]
        n_expected = len(self.given) or n_header
        counts = [0 if record is None else len(record.fields) for record in data]
        if n_expected < 2 and self.given:
            return 0.0, 0.0, False
        share = counts.count(n_expected) / len(counts) if counts else 1.0
        return (share if n_expected > 1 else 0.0), _even(counts), n_header > 1

    def check_spaces(self) -> None:
        """Refuse a text whose lines are one field each, and the same number of words."""
        words = [len(record.fields[0].split()) for record in self.first(CANDIDATES[0]) if record and record.fields]
        if len(words) > 1 and words[0] > 1 and len(set(words)) == 1 and not self.given:
            msg = (
                f"{self.path}: a delimiter must separate the fields; there is no comma, semicolon, tab or bar, and "
                f'every line has {words[0]} words: if spaces separate them, declare read: {{delimiter: " "}}, '
                'else the one column with read: {delimiter: ","}'
            )
            raise DataError(msg)

    def check_kind(self, header: Record) -> None:
        """Refuse a first line that looks like data."""
        if self.read.get("header") is None and all(map(_is_number, header.fields)):
            names = _written([f"column_{number}" for number in range(1, len(header.fields) + 1)])
            msg = (
                f"{self.path}: the first line must name the columns; line {header.line} holds numbers alone: if they "
                f"are data, declare read: {{header: false, names: {names}}} with the right names; if they are names, "
                "read: {header: true}"
            )
            raise DataError(msg)
        if self.quote == '"' and all(len(name) > 1 and name[0] == name[-1] == "'" for name in header.fields):
            msg = (
                f"{self.path}: quotes must be known; every name in line {header.line} stands in ': declare "
                'read: {quote: "\'"}, or if they belong to the names, read: {quote: false}'
            )
            raise DataError(msg)

    def check_counts(self, names: Sequence[str], header: Record | None, data: Sequence[Record], delimiter: str) -> None:
        """Refuse a header that has not as many names as the rows have fields, where these agree."""
        counts = [len(record.fields) for record in data]
        if not counts or len(names) in counts:
            return
        start, n_fields = _even_from(counts), counts[-1]
        if len(counts) - start < max(1, len(counts) / 2):
            return  # rows of all lengths: the job names the first one
        if self.given:
            msg = (
                f"{self.path}: every column must have a name; read.names has {len(names)}, and the rows from line "
                f"{data[start].line} on have {n_fields} fields: correct it, or declare another delimiter than "
                f"{json.dumps(delimiter)}"
            )
            raise DataError(msg)
        assert header is not None
        cures = []
        if n_fields == len(names) + 1 and not start:
            if all(not record.fields[-1] for record in data):
                cures.append(f"if every row ends in a delimiter, declare {_named([*names, 'rest'])}")
            else:
                cures.append(f"if the first column names the rows, declare {_named(['row', *names])}")
        skipped = data[start].line - 1
        if self.lines[header.line - 1].startswith("#"):
            cures.append('if it is a comment, declare read: {comment: "#"}')
        elif n_fields > 1:
            cures.append(f"if it is a title, declare read: {{skip_rows: {skipped}}}")
        cures.append(f"if {json.dumps(delimiter)} is not the delimiter, declare another")
        msg = (
            f"{self.path}: the header must name every column; line {header.line} has {_count(len(names), 'name')}, and "
            f"the rows from line {data[start].line} on have {_count(n_fields, 'field')}: {'; '.join(cures)}"
        )
        raise DataError(msg)

    def check_names(self, names: Sequence[str], data: Sequence[Record], delimiter: str) -> None:
        """Refuse columns without a name of their own."""
        if "" in names:
            place = names.index("")
            full = [
                name or ("rest" if number == len(names) else f"column_{number}") for number, name in enumerate(names, 1)
            ]
            ends = place == len(names) - 1 and all(not "".join(record.fields[place:]) for record in data)
            why = f"; every line ends in {json.dumps(delimiter)}" if ends and delimiter != SPACE else ""
            msg = (
                f"{self.path}: every column must have a name; column {place + 1} of {len(names)} has none{why}: name "
                f"it there, or declare {_named(full)}"
            )
            raise DataError(msg)
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            msg = (
                f"{self.path}: a column name must occur once; {listed(map(repr, twice))} occurs more often: rename "
                "it there, or declare read: {header: true, names: […]}"
            )
            raise DataError(msg)


def _even(counts: Sequence[int]) -> float:
    """Return the share of the rows at the end that have the same number of fields, at least two."""
    if not counts or counts[-1] < 2:
        return 0.0
    return 1 - _even_from(counts) / len(counts)


def _even_from(counts: Sequence[int]) -> int:
    """Return from which row on all have the same number of fields."""
    other = (place for place in range(len(counts) - 1, -1, -1) if counts[place] != counts[-1])
    return next(other, -1) + 1


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    return f"read: {{header: true, names: {_written(names)}}}"


def _written(names: Sequence[str]) -> str:
    """Write names as YAML."""
    shown = [name if PLAIN.fullmatch(name) or name == "…" else json.dumps(name, ensure_ascii=False) for name in names]
    return f"[{', '.join(shown[:SHOWN])}{', …' if len(shown) > SHOWN else ''}]"
