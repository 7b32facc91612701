"""Numbers that stand for a person: how they are written, and the check digits that tell them from other numbers."""

import re
from collections.abc import Callable
from dataclasses import dataclass

SEPARATORS = re.compile(r"[ .\-/]")
CARD = re.compile(r"\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}|\d{4}[ -]?\d{6}[ -]?\d{4,5}")
# First digits of the large issuers of cards.
ISSUERS = re.compile(r"4|5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|3(0[0-5]|[68])|35|6(011|5|4[4-9])")
IBAN = re.compile(r"[A-Z]{2}\d{2}( ?[A-Z0-9]){11,30}")


def luhn(digits: str) -> bool:
    """Return whether the last digit is the one that Luhn's sum asks for (ISO/IEC 7812-1)."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    return sum(doubled[int(d)] if k % 2 else int(d) for k, d in enumerate(reversed(digits))) % 10 == 0


def is_card(word: str) -> bool:
    """Return whether a word is a card's number: an issuer's first digits, 13 to 19 digits, Luhn's sum."""
    digits = SEPARATORS.sub("", word)
    return (
        CARD.fullmatch(word) is not None
        and 13 <= len(digits) <= 19
        and ISSUERS.match(digits) is not None
        and luhn(digits)
    )


def is_iban(word: str) -> bool:
    """Return whether a word is an account's number with the check digits of ISO 13616."""
    if IBAN.fullmatch(word) is None:
        return False
    bare = word.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in bare[4:] + bare[:4])) % 97 == 1


def _weighted(weights: tuple[int, ...], modulus: int) -> Callable[[str], bool]:
    """Return the check that the weighted sum of all digits is a multiple of the modulus."""
    return lambda digits: sum(w * int(d) for w, d in zip(weights, digits, strict=True)) % modulus == 0


def _nir(text: str) -> bool:
    # the two departments of Corsica are written with a letter
    digits = text.replace("2A", "19").replace("2B", "18")
    return int(digits[-2:]) == 97 - int(digits[:-2]) % 97


def _german_tax(digits: str) -> bool:
    """Check ISO 7064 mod 11,10, and that one digit alone comes two or three times."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    counts = sorted((digits[:-1].count(d) for d in set(digits[:-1])), reverse=True)
    return (11 - product) % 10 == int(digits[-1]) and 2 <= counts[0] <= 3 and counts[1] == 1


def _brazilian(digits: str) -> bool:
    for length in (9, 10):
        total = sum((length + 1 - k) * int(d) for k, d in enumerate(digits[:length]))
        if total * 10 % 11 % 10 != int(digits[length]):
            return False
    return len(set(digits)) > 1


def _chinese(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return text[-1] == "10X98765432"[sum(w * int(d) for w, d in zip(weights, text[:-1], strict=True)) % 11]


def _spanish(text: str) -> bool:
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return text[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _nhs(digits: str) -> bool:
    return sum((10 - k) * int(d) for k, d in enumerate(digits[:9])) % 11 == (11 - int(digits[9])) % 11


@dataclass(frozen=True)
class Scheme:
    """How a state numbers people.

    Attributes
    ----------
    form
        What the whole word looks like, separators and all.
    holds
        The check on the word without separators.
    """

    name: str
    form: re.Pattern[str]
    holds: Callable[[str], bool] = lambda _: True


_MONTH, _DAY = r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
SCHEMES = (
    Scheme("US social security number", re.compile(r"(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}")),
    Scheme(
        "UK national insurance number",
        re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]"),
    ),
    Scheme("UK NHS number", re.compile(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), _nhs),
    Scheme(
        "French social security number",
        re.compile(rf"[12] ?\d\d ?({_MONTH}|[2-9]\d) ?(\d\d|2[AB]) ?\d{{3}} ?\d{{3}} ?\d\d"),
        _nir,
    ),
    Scheme("German tax number", re.compile(r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}"), _german_tax),
    Scheme("Spanish identity number", re.compile(r"[XYZ\d]\d{7}-?[A-Z]"), _spanish),
    Scheme("Italian tax code", re.compile(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]")),
    Scheme("Dutch citizen number", re.compile(r"\d{9}"), _weighted((9, 8, 7, 6, 5, 4, 3, 2, -1), 11)),
    Scheme(
        "Swedish personal number",
        re.compile(rf"(19|20)?\d\d{_MONTH}{_DAY}[-+]\d{{4}}"),
        lambda bare: luhn(bare.replace("+", "")[-10:]),
    ),
    Scheme("Brazilian tax number", re.compile(r"\d{3}\.?\d{3}\.?\d{3}-?\d\d"), _brazilian),
    Scheme("Chinese identity number", re.compile(rf"\d{{6}}(19|20)\d\d{_MONTH}{_DAY}\d{{3}}[\dX]"), _chinese),
)


def is_of(scheme: Scheme, word: str) -> bool:
    """Return whether a word is written as a scheme asks and passes its check."""
    return scheme.form.fullmatch(word) is not None and scheme.holds(SEPARATORS.sub("", word))
