"""The privacy guard: which columns look as if they were about a person, told by their name and a few of their values.

Nothing here reads or writes files, and no value leaves: of a column a kind, a share and a masked example are told.
"""

import hashlib
import hmac
import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from serpens.errors import DataError
from serpens.givennames import GIVEN_NAMES, TITLES
from serpens.identifiers import SCHEMES, is_card, is_iban, is_of

if TYPE_CHECKING:
    import pyarrow as pa

How = Literal["values", "name and values"]

# So many distinct words of a column are looked at: the first ones.
MOST_WORDS = 1000
# Values that are looked at in one step until there are as many words.
AT_ONCE = 8192
# A number of at most six digits before the point is nobody's.
PLAIN = re.compile(r"[+-]?\d{0,6}(\.\d*)?([eE][+-]?\d+)?")
EMAIL = re.compile(r"[\w.%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.([A-Za-z]{2,})")
DIGITS = re.compile(r"\d")
ABROAD = re.compile(r"(\+|00)\d{1,3}([ .\-/]?\(?\d{1,5}\)?){2,6}")
AT_HOME = (
    re.compile(r"(1[-. ])?(\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"),
    re.compile(r"\(?0\d{1,4}\)?[ /-]\d{2,8}([ -]\d{2,4})*"),
    re.compile(r"0\d([ .-]\d{2}){4}"),
)
DATE = re.compile(r"(\d{1,4})[-/. ](\d{1,2}|[A-Za-z]{3,9})\.?[-/. ](\d{1,4})|(\d{4})(\d{2})(\d{2})")
# A time of day after a date, as a typed column that holds dates has it.
CLOCK = re.compile(r"[T ]\d{2}:\d{2}.*")
FIRST_YEAR, LAST_YEAR = 1880, 2100
ADDRESSES = (
    re.compile(
        r"\d{1,5}[a-z]?,? [\w .'-]+ (street|st|road|rd|avenue|ave|lane|ln|drive|boulevard|blvd|court|place|square)\b.*"
    ),
    re.compile(r"[^\W\d][\w.\- ]*(straße|strasse|str\.|weg|gasse|platz|allee|straat|laan|plein) ?\d+\s?[a-z]?\b.*"),
    re.compile(r"\d{1,4},? (bis |ter )?(rue|avenue|boulevard|place|chemin|impasse|quai) .+"),
    re.compile(r"(calle|avenida|plaza|paseo|via|viale|piazza|rua) [^\d]+\d+\b.*"),
)

NAMED_NAME = re.compile(
    r"\b(first|last|given|middle|full|maiden|christian|patient|person|customer|client|employee|student|participant"
    r"|physician|doctor|contact|guardian|mother s?|father s?) ?names?\b"
    r"|\b(surname|forename|firstname|lastname|fullname|vorname|nachname|prenom|apellidos?|cognome)\b"
)
NAMED_PHONE = re.compile(r"\b(phone|telephone|telefon|telefono|tel|mobile|cellphone|fax|whatsapp)\b")
NAMED_PASSPORT = re.compile(r"\b(passport|reisepass|passeport|pasaporte)\b")
NAMED_IDENTIFIER = re.compile(
    r"\b(ssn|social security|sozialversicherungsnummer|nino|national insurance|national id|identity (card|number)"
    r"|personalausweis|steuer ?id|tax id|nhs (number|no)|mrn|medical record|aadhaar|cpf|dni|bsn|curp"
    r"|driv\w+ licen[cs]e)\b"
)
NAMED_ADDRESS = re.compile(r"\b(address|street|strasse|adresse|anschrift|direccion|indirizzo)\b")
NO_ADDRESS = re.compile(r"\b(ip|mac|mail|email|web|url|memory|host)\b")
NAMED_BIRTH = re.compile(
    r"\b(birth ?(date|day)|date of birth|dob|born|geburtsdatum|geburtstag|naissance|nacimiento|nascita|geboortedatum)\b"
)
NAMED_IP = re.compile(r"\bip\b")


@dataclass(frozen=True)
class Finding:
    """A column that looks personal.

    Attributes
    ----------
    kind
        What its values look like.
    share
        Of the distinct values that were looked at, in (0, 1].
    example
        The first of them, masked.
    """

    column: str
    kind: str
    share: float
    example: str
    how: How


@dataclass(frozen=True)
class Guard:
    """Looks at the columns of a table, piece by piece.

    Of each column the first ``MOST_WORDS`` distinct words count, each once. Guards that saw the pieces of a table are
    merged, in the order of the pieces, into the guard that saw the table.

    Attributes
    ----------
    words
        What was looked at, by column, in the order in which it came. These are values: they go nowhere.
    """

    words: dict[str, dict[str, None]] = field(default_factory=dict)

    def look(self, name: str, values: "Iterable[str] | pa.Array | pa.ChunkedArray") -> None:
        """Look at values of a column: words (of a mapping, its keys), or an array of any type."""
        seen = self.words.setdefault(name, {})
        if len(seen) >= MOST_WORDS:
            return
        for word in values if not hasattr(values, "null_count") else _words(values):
            if stripped := word.strip():
                seen[stripped] = None
            if len(seen) >= MOST_WORDS:
                return

    def merged(self, other: "Guard") -> "Guard":
        """Return the guard that saw what this one saw, and then what the other one saw."""
        both = Guard({name: dict(words) for name, words in self.words.items()})
        for name, words in other.words.items():
            both.look(name, words)
        return both

    def findings(self) -> tuple[Finding, ...]:
        """Return the columns that look personal, in the order in which they were first looked at."""
        looked = (finding(name, list(words)) for name, words in self.words.items())
        return tuple(found for found in looked if found is not None)


def _words(values: Any) -> Iterable[str]:
    """Yield the distinct words of an Arrow array, a few at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return
    for start in range(0, len(values), AT_ONCE):
        for value in pc.unique(values.slice(start, AT_ONCE)).to_pylist():
            if isinstance(value, float):
                # numbers with a fraction are nobody's, and count: most columns have enough of them early
                if math.isfinite(value):
                    yield str(int(value)) if value.is_integer() else repr(value)
            elif value is not None and not isinstance(value, bytes):
                yield str(value)


def finding(name: str, words: Sequence[str]) -> Finding | None:
    """Return what a column looks like, or None when it looks like no person's.

    Parameters
    ----------
    words
        Distinct values as text, without missing ones.
    """
    telling = [word for word in words if PLAIN.fullmatch(word) is None]
    if not telling:
        return None
    called = _in_words(name)
    for kind, test, least_share, least_words in BY_VALUES:
        if found := _found(name, kind, telling, test, len(words), least_share, least_words):
            return found
    for kind, pattern, test in BY_NAME:
        if pattern.search(called) and (found := _found(name, kind, telling, test, len(words), 0.5, 1)):
            if kind == "postal address" and NO_ADDRESS.search(called):
                continue
            if kind == "birth date" and all(_first_of_month(word) for word in telling):
                continue  # a year, or a month: not the day
            return Finding(name, kind, found.share, found.example, "name and values")
    return None


def _found(
    name: str,
    kind: str,
    words: Sequence[str],
    test: Callable[[str], bool],
    n_words: int,
    least_share: float,
    least_words: int,
) -> Finding | None:
    hits = [word for word in words if test(word)]
    if len(hits) < least_words or not hits or len(hits) < least_share * n_words:
        return None
    return Finding(name, kind, len(hits) / n_words, masked(hits[0], kind), "values")


def _in_words(name: str) -> str:
    """Return a column's name as words without capitals and accents: ``dateOfBirth`` becomes ``date of birth``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", parted) if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", plain).strip().casefold().replace("ß", "ss")


def _is_email(word: str) -> bool:
    return EMAIL.fullmatch(word) is not None


def _holds_email(word: str) -> bool:
    return "@" in word and EMAIL.search(word) is not None


def _is_phone(word: str) -> bool:
    n_digits = len(DIGITS.findall(word))
    if ABROAD.fullmatch(word):
        # one point alone is a decimal point
        return 8 <= n_digits <= 15 and word.count(".") != 1
    return 9 <= n_digits <= 12 and _day(word) is None and any(form.fullmatch(word) for form in AT_HOME)


def _dialled(word: str) -> bool:
    return 7 <= len(DIGITS.findall(word)) <= 15 and not re.sub(r"[\d ()+./-]", "", word)


def _is_ip(word: str) -> bool:
    if word.count(".") != 3 and word.count(":") < 2:
        return False
    try:
        return bool(ipaddress.ip_address(word))
    except ValueError:
        return False


def _is_ip_of_a_host(word: str) -> bool:
    # 1.14.13.25 is an enzyme and 2.0.1.3 a version: their first numbers are small
    return _is_ip(word) and (":" in word or int(word.split(".")[0]) > 7)


def _is_address(word: str) -> bool:
    folded = word.lower()
    return any(form.fullmatch(folded) for form in ADDRESSES)


def _address_like(word: str) -> bool:
    return " " in word and sum(map(str.isalpha, word)) >= 4


def _tokens(word: str) -> list[str]:
    """Return the parts of what can be a name, without capitals and accents; none for what cannot."""
    if not word[0].isalpha() or re.sub(r"[^\W\d_]|[ .,'’()\-]", "", word):
        return []
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))
    tokens = re.findall(r"[^\W\d_]+", plain)
    return tokens if len(tokens) <= 7 else []


def _is_full_name(word: str) -> bool:
    tokens = _tokens(word)
    if len(tokens) < 2:
        return False
    given = tokens[0] if "," not in word else (_tokens(word.split(",")[1].strip() or "0") or [""])[0]
    return given in GIVEN_NAMES or given in TITLES


def _is_given_name(word: str) -> bool:
    return _tokens(word)[:2] != [] and len(_tokens(word)) == 1 and _tokens(word)[0] in GIVEN_NAMES


def _name_like(word: str) -> bool:
    return bool(_tokens(word)) and word[0].isupper()


def _passport_like(word: str) -> bool:
    return re.fullmatch(r"[A-Z0-9]{6,12}", word) is not None and len(DIGITS.findall(word)) >= 4


def _number_like(word: str) -> bool:
    return 5 <= len(DIGITS.findall(word)) <= 18 and len(word) <= 24


def _day(word: str) -> tuple[int, int, int] | None:
    """Return year, a day and a month in some order, of a date that can be a birthday; a month's name is 1."""
    match = DATE.fullmatch(CLOCK.sub("", word))
    if match is None:
        return None
    first, second, third = match.group(4, 5, 6) if match[4] else match.group(1, 2, 3)
    year, day = (first, third) if len(first) == 4 else (third, first)
    month = int(second) if second.isdecimal() else 1
    if not (FIRST_YEAR <= int(year) <= LAST_YEAR and 1 <= int(day) <= 31 and 1 <= month <= 31):
        return None
    return (int(year), int(day), month) if min(int(day), month) <= 12 else None


def _first_of_month(word: str) -> bool:
    day = _day(word)
    return day is None or 1 in day[1:]


def _of(scheme: Any) -> Callable[[str], bool]:
    return lambda word: is_of(scheme, word)


# Kind, test of a word, and the least share and number of distinct words that pass it. Check digits alone are passed by
# one number of ten or eleven by chance, so that several must.
BY_VALUES: tuple[tuple[str, Callable[[str], bool], float, int], ...] = (
    ("e-mail address", _is_email, 0.5, 1),
    ("text with e-mail addresses", _holds_email, 0.0, 1),
    ("bank account (IBAN)", is_iban, 0.5, 1),
    ("payment card", is_card, 0.8, 4),
    *((scheme.name, _of(scheme), 0.9, 5) for scheme in SCHEMES),
    ("phone number", _is_phone, 0.8, 3),
    ("IP address", _is_ip_of_a_host, 0.5, 2),
    ("postal address", _is_address, 0.3, 3),
    ("name of a person", _is_full_name, 0.3, 3),
    ("name of a person", _is_given_name, 0.5, 5),
)
# Kind, how such a column is called, and what half of its words must look like.
BY_NAME: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("birth date", NAMED_BIRTH, lambda word: _day(word) is not None),
    ("phone number", NAMED_PHONE, _dialled),
    ("passport", NAMED_PASSPORT, _passport_like),
    ("identifier of a person", NAMED_IDENTIFIER, _number_like),
    ("IP address", NAMED_IP, _is_ip),
    ("name of a person", NAMED_NAME, _name_like),
    ("postal address", NAMED_ADDRESS, _address_like),
)


def masked(value: str, kind: str = "") -> str:
    """Return a value of which nobody can tell whose it is.

    Of an e-mail address its first letter and its last domain stay, of a name the first letters; of anything else what
    is neither letter nor digit.
    """
    if match := EMAIL.search(value):
        return f"{match[0][0]}***@***.{match[2]}"
    if kind == "name of a person":
        return re.sub(r"(\w)\w*", lambda part: f"{part[1]}***" if len(part[0]) > 2 else "***", value)
    return re.sub(r"\w+", "***", value)


def pseudonyms(words: Iterable[str], key: bytes) -> dict[str, str]:
    """Return 16 hexadecimal digits for each word: its HMAC-SHA256 with a secret key.

    The same word has the same digits in every column and table that is hashed with the key.
    """
    return {word: hmac.new(key, word.encode(), hashlib.sha256).hexdigest()[:16] for word in words}


def fingerprint(key: bytes) -> str:
    """Return 8 hexadecimal digits that tell one key from another, and nothing of the key."""
    return hmac.new(key, b"which key", hashlib.sha256).hexdigest()[:8]


def require_decisions(
    findings: Iterable[Finding], decisions: Mapping[str, str], keys: Iterable[str | None] = ()
) -> None:
    """Refuse columns that look personal and of which the study says nothing.

    Parameters
    ----------
    keys
        Columns whose values only tell rows or groups apart, such as the id: hashed they still do.

    Raises
    ------
    DataError
        With all of these columns, and what to write.
    """
    open_ = [found for found in findings if found.column not in decisions]
    if not open_:
        return
    told = "; ".join(
        f"{found.column!r} ({found.kind}, {found.share:.0%} of the values looked at, such as {found.example}; by its "
        f"{found.how})"
        for found in open_
    )
    advised = ", ".join(f"{found.column}: {'hash' if found.column in set(keys) else 'drop'}" for found in open_)
    msg = (
        f"columns that look personal must be decided on before training; undecided: {told}. Write into the study, for "
        f"instance, personal: {{{advised}}}; drop leaves a column out, hash puts a keyed digest in the place of each "
        "value, keep declares that it may be used as it is"
    )
    raise DataError(msg)
