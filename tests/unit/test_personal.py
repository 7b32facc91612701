"""The privacy guard: what it finds, what it leaves alone, what it tells."""

import hashlib
import hmac
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.datasets
import statsmodels.datasets
from tests.unit.tabular import clean

from serpens import personal, secret
from serpens.errors import DataError
from serpens.identifiers import SCHEMES, is_card, is_iban, is_of, luhn
from serpens.personal import Guard, finding, fingerprint, masked, pseudonyms

RANDOM = random.Random(0)
ROOT = Path(__file__).parents[2]
GIVEN = ["Anna", "José", "Mohammed", "Sophie", "Jürgen", "Priya", "Ivan", "Chloé"]
FAMILY = ["Müller", "García", "al-Sayed", "O'Neill", "Dubois", "Iyer", "Petrov", "van Dijk"]


@pytest.fixture(autouse=True)
def seeded():
    RANDOM.seed(0)


def digits(n):
    return "".join(str(RANDOM.randrange(10)) for _ in range(n))


def many(make, n=40):
    return list(dict.fromkeys(make() for _ in range(n)))


def with_luhn(start, length):
    body = start + digits(length - 1 - len(start))
    return next(body + d for d in "0123456789" if luhn(body + d))


def iban(country, length):
    body = digits(length)
    rest = int("".join(str(int(letter, 36)) for letter in body + country + "00")) % 97
    return f"{country}{98 - rest:02d}{body}"


def date(form, first=1930):
    day = (RANDOM.randrange(first, 2010), RANDOM.randrange(1, 13), RANDOM.randrange(1, 29))
    return form.format(y=day[0], m=day[1], d=day[2])


def person():
    return f"{RANDOM.choice(GIVEN)} {RANDOM.choice(FAMILY)}"


PERSONAL = {
    "e-mail address": [
        ("contact", lambda: f"{digits(5)}.x@uni-{RANDOM.choice('abc')}.example.org"),
        ("v1", lambda: f"a{digits(4)}@b.co"),
    ],
    "text with e-mail addresses": [
        ("note", lambda: f"call back {digits(2)}, or write to x{digits(3)}@clinic.org today")
    ],
    "phone number": [
        ("a", lambda: f"+44 20 {digits(4)} {digits(4)}"),
        ("a", lambda: f"+1 ({digits(3)}) {digits(3)}-{digits(4)}"),
        ("a", lambda: f"+49{digits(10)}"),
        ("a", lambda: f"({digits(3)}) {digits(3)}-{digits(4)}"),
        ("a", lambda: f"{digits(3)}-{digits(3)}-{digits(4)}"),
        ("a", lambda: f"089/{digits(7)}"),
        ("a", lambda: f"020 {digits(4)} {digits(4)}"),
        ("a", lambda: " ".join(["06", *(digits(2) for _ in range(4))])),
        ("mobilePhone", lambda: f"7{digits(9)}"),
        ("Tel.", lambda: f"5{digits(6)}"),
    ],
    "payment card": [("a", lambda: with_luhn("4", 16)), ("a", lambda: with_luhn("37", 15))],
    "bank account (IBAN)": [("a", lambda: iban("DE", 18)), ("a", lambda: iban("FR", 23))],
    "IP address": [
        ("a", lambda: f"{RANDOM.randrange(10, 223)}.{RANDOM.randrange(256)}.0.{RANDOM.randrange(256)}"),
        ("a", lambda: f"2001:db8::{digits(4)}"),
        ("client_ip", lambda: f"1.2.3.{RANDOM.randrange(256)}"),
    ],
    "postal address": [
        ("a", lambda: f"{digits(2)} {RANDOM.choice(['Oak', 'High', 'St. James'])} Street, Leeds"),
        ("a", lambda: f"{RANDOM.choice(['Linden', 'Goethe'])}straße {digits(2)}"),
        ("a", lambda: f"{digits(2)} rue de la {RANDOM.choice(['Paix', 'Gare'])}"),
        ("a", lambda: f"Calle Mayor {digits(2)}"),
        ("home_address", lambda: f"Flat {digits(1)}, Rosewood, Kent"),
    ],
    "name of a person": [
        ("who", person),
        ("who", lambda: ", ".join(reversed(person().split(" ", 1)))),
        ("who", lambda: f"{RANDOM.choice(FAMILY)}, Mr. {RANDOM.choice(GIVEN)} X"),
        ("who", lambda: RANDOM.choice(GIVEN)),
        ("lastName", lambda: RANDOM.choice(FAMILY)),
        ("Prénom", lambda: RANDOM.choice(["Ségolène", "Maëlys", "Yaël"])),
    ],
    "birth date": [
        ("date_of_birth", lambda: date("{y}-{m:02d}-{d:02d}")),
        ("DOB", lambda: date("{d:02d}/{m:02d}/{y}")),
        ("birthDate", lambda: date("{m:02d}/{d:02d}/{y}")),
        ("Geburtsdatum", lambda: date("{d}.{m}.{y}")),
        ("born", lambda: date("{y}{m:02d}{d:02d}")),
        ("dob", lambda: date("{y}-{m:02d}-{d:02d} 00:00:00")),
    ],
    "passport": [("passport_no", lambda: f"C{digits(8)}")],
    "identifier of a person": [("SSN", lambda: digits(9)), ("mrn", lambda: f"MR-{digits(6)}")],
    "US social security number": [("a", lambda: f"1{digits(2)}-4{digits(1)}-5{digits(3)}")],
    "UK national insurance number": [("a", lambda: f"AB {digits(2)} {digits(2)} {digits(2)} C")],
}


@pytest.mark.parametrize(
    ("kind", "name", "make"),
    [(kind, name, make) for kind, columns in PERSONAL.items() for name, make in columns],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_personal_is_found(kind, name, make):
    words = many(make)
    found = finding(name, words)
    assert found is not None
    assert (found.column, found.kind) == (name, kind)
    assert 0.3 <= found.share <= 1
    assert not {word for word in words if found.example in word}


@pytest.mark.parametrize(
    ("name", "number", "wrong"),
    [
        ("US social security number", "078-05-1120", "900-05-1120"),
        ("UK national insurance number", "AB 12 34 56 C", "BG 12 34 56 C"),
        ("UK NHS number", "943 476 5919", "943 476 5918"),
        ("French social security number", "2 55 08 14 168 025 38", "255081416802539"),
        ("German tax number", "86095742719", "86095742718"),
        ("Spanish identity number", "12345678Z", "12345678A"),
        ("Italian tax code", "RSSMRA85T10A562S", "RSSMRA85F10A562S"),
        ("Dutch citizen number", "111222333", "111222334"),
        ("Swedish personal number", "811228-9874", "811228-9875"),
        ("Brazilian tax number", "529.982.247-25", "529.982.247-26"),
        ("Chinese identity number", "11010519491231002X", "110105194912310021"),
    ],
)
def test_an_identifier_has_its_check_digits(name, number, wrong):
    scheme = next(scheme for scheme in SCHEMES if scheme.name == name)
    assert is_of(scheme, number)
    assert not is_of(scheme, wrong)


def test_every_scheme_has_a_known_number():
    covered = test_an_identifier_has_its_check_digits.pytestmark[0].args[1]
    assert {name for name, _, _ in covered} == {scheme.name for scheme in SCHEMES}


def test_cards_and_accounts_have_their_check_digits():
    assert is_card("4111 1111 1111 1111")
    assert is_card("378282246310005")
    assert not is_card("4111 1111 1111 1112")
    assert not is_card("9111111111111111")
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not is_iban("GB82 WEST 1234 5698 7654 33")


ORDINARY = {
    "enzyme": lambda: f"{RANDOM.randrange(1, 8)}.{RANDOM.randrange(20)}.{RANDOM.randrange(99)}.{RANDOM.randrange(99)}",
    "version": lambda: f"2.{digits(1)}.{digits(1)}.{digits(2)}",
    "cas number": lambda: f"{digits(4)}-{digits(2)}-{digits(1)}",
    "isbn": lambda: f"978-0-{digits(3)}-{digits(5)}-{digits(1)}",
    "date": lambda: date("{y}-{m:02d}-{d:02d}"),
    "measured": lambda: date("{d:02d}-{m:02d}-{y}"),
    "birth_year": lambda: str(RANDOM.randrange(1930, 2000)),
    "birth date": lambda: f"{RANDOM.randrange(1930, 2000)}-01-01",
    "birth_weight": lambda: digits(4),
    "seconds since 1970": lambda: f"16{digits(8)}",
    "time": lambda: f"2024-03-05T{RANDOM.randrange(10, 24)}:{RANDOM.randrange(10, 60)}:00",
    "nanoseconds": lambda: f"17{digits(17)}",
    "gene": lambda: f"ENSG{digits(11)}",
    "accession": lambda: f"NM_{digits(6)}.{digits(1)}",
    "sample": lambda: f"S-{digits(3)}-{digits(4)}",
    "patient": lambda: f"P{digits(4)}",
    "x": lambda: repr(RANDOM.gauss(0, 1e9)),
    "signed": lambda: f"+{RANDOM.random() * 1e8:.6f}",
    "large": lambda: digits(12),
    "nine digits": lambda: digits(9),
    "ten digits": lambda: digits(10),
    "species": lambda: RANDOM.choice(["setosa", "versicolor", "Homo sapiens", "E. coli", "Rosa canina"]),
    "city": lambda: RANDOM.choice(["Paris", "Sydney", "San José", "Austin", "Florence", "Santa Maria", "Victoria"]),
    "state": lambda: RANDOM.choice(["Virginia", "Georgia", "Maryland", "North Carolina", "Louisiana"]),
    "month": lambda: RANDOM.choice(["April", "May", "June", "August"]),
    "car name": lambda: RANDOM.choice(["ford torino", "Mazda RX4", "chevrolet monte carlo", "amc gremlin"]),
    "diagnosis": lambda: RANDOM.choice(["Crohn disease", "Morbus Basedow", "Down syndrome", "none"]),
    "blood": lambda: RANDOM.choice(["A+", "A-", "0+", "AB-"]),
    "mail": lambda: RANDOM.choice(["yes", "no"]),
    "email_opened": lambda: str(RANDOM.randrange(9)),
    "phone_calls": lambda: digits(2),
    "memory address": lambda: f"0x{digits(8)}",
    "method": lambda: RANDOM.choice(["a@b", "x @ 3", "grid@1.5"]),
    "smiles": lambda: RANDOM.choice(["CC(=O)O", "C[C@H](N)C(=O)O", "c1ccccc1", "C[C@@H](O)C"]),
    "coordinate": lambda: f"{digits(2)} {digits(2)} {digits(2)}.{digits(1)}",
    "subject": lambda: RANDOM.choice(["physics", "biology", "art"]),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_column_is_left_alone(name):
    assert finding(name, many(ORDINARY[name], 300)) is None


def bundled():
    """Return the tables of text that scikit-learn and statsmodels bring along, and those of the built-in studies."""
    folders = [Path(module.__file__).parent for module in (sklearn.datasets, statsmodels.datasets)]
    files = [path for folder in folders for path in sorted(folder.rglob("*.csv*")) if "src" not in path.parts]
    return [*files, *sorted((ROOT / "resources").glob("*.csv"))]


def test_tables_of_science_raise_no_alarm():
    files = bundled()
    n_columns, found = 0, []
    for path in files:
        table = pd.read_csv(path, dtype=str)
        guard = Guard()
        for name in table:
            guard.look(name, table[name].dropna())
        n_columns += len(table.columns)
        found += [(path.name, each) for each in guard.findings()]
    assert len(files) > 30
    assert n_columns > 250
    assert found == []


def test_arrays_are_looked_at_as_what_they_hold():
    people = many(lambda: f"a{digits(6)}@b.org", 50)
    born = [np.datetime64("1950-01-02") + 401 * k for k in range(50)]
    guard = Guard()
    guard.look("m", pa.array(people))
    guard.look("coded", pa.array(people).dictionary_encode())
    guard.look("chunked", pa.chunked_array([people[:9], people[9:]]))
    guard.look("tel", pa.array([int(f"5{digits(9)}") for _ in range(30)]))
    guard.look("phone", pa.array([float(f"5{digits(9)}") for _ in range(30)] + [None, 0.5, float("nan"), float("inf")]))
    guard.look("born", pa.array(np.array(born, "datetime64[D]")))
    guard.look("dob", pa.array(np.array(born, "datetime64[us]")))
    guard.look("x", pa.array(np.random.default_rng(0).normal(size=50)))
    guard.look("flag", pa.array([True, False]))
    guard.look("none", pa.nulls(5))
    guard.look("list", pa.array([[1], [2]]))
    kinds = {found.column: found.kind for found in guard.findings()}
    assert kinds == (
        dict.fromkeys(["m", "coded", "chunked"], "e-mail address")
        | dict.fromkeys(["tel", "phone"], "phone number")
        | dict.fromkeys(["born", "dob"], "birth date")
    )


def test_pieces_and_shards_are_looked_at_as_the_whole():
    words = [f"w{k % 700}" if k % 3 else f"a{k}@b.org" for k in range(6000)]
    whole = Guard()
    whole.look("x", words)
    in_pieces = Guard()
    for start in range(0, 6000, 170):
        in_pieces.look("x", pa.array(words[start : start + 170]))
    one, two, three = Guard(), Guard(), Guard()
    one.look("x", words[:900])
    two.look("x", words[900:2000])
    two.look("y", ["1"])
    three.look("x", words[2000:])
    merged = one.merged(two).merged(three)
    assert in_pieces == whole
    assert one.merged(two.merged(three)) == merged
    assert list(merged.words["x"]) == list(whole.words["x"])
    assert len(whole.words["x"]) == personal.MOST_WORDS
    assert merged.findings() == whole.findings()
    assert list(merged.words) == ["x", "y"]


def test_a_share_is_of_distinct_words():
    guard = Guard()
    guard.look("x", {"a@b.org": 1, "unknown": 10_000, "c@d.org": 1, " ": 3})
    assert guard.findings()[0].share == pytest.approx(2 / 3)


def test_no_more_is_read_than_is_looked_at():
    def words():
        yield from (f"w{k}" for k in range(personal.MOST_WORDS))
        raise AssertionError("read on")

    guard = Guard()
    guard.look("x", words())
    guard.look("x", words())


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("anna.mueller@mail.example.org", "e-mail address", "a***@***.org"),
        ("please write to anna@x.de soon", "text with e-mail addresses", "a***@***.de"),
        ("Anna Maria O'Neill", "name of a person", "A*** M*** ***'N***"),
        ("+44 20 7946 0958", "phone number", "+*** *** *** ***"),
        ("1950-03-07", "birth date", "***-***-***"),
        ("12 High Street", "postal address", "*** *** ***"),
    ],
)
def test_an_example_is_masked(value, kind, expected):
    assert masked(value, kind) == expected


def test_a_pseudonym_is_a_keyed_digest():
    key = bytes(range(32))
    expected = hmac.new(key, "Ä@b.org".encode(), hashlib.sha256).hexdigest()[:16]
    assert pseudonyms(["Ä@b.org", "x"], key)["Ä@b.org"] == expected
    assert pseudonyms(["x"], key) != pseudonyms(["x"], bytes(32))
    assert re.fullmatch(r"[0-9a-f]{8}", fingerprint(key))
    assert fingerprint(key) != fingerprint(bytes(32))


def test_a_key_is_made_once_and_is_its_owners(tmp_path):
    path = tmp_path / "key"
    first = secret.key(path)
    assert len(first) == secret.KEY_BYTES
    assert secret.key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]
    assert secret.key(tmp_path / "other") != first


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path):
    path = tmp_path / "key"
    secret.key(path)
    path.chmod(0o640)
    with pytest.raises(DataError) as caught:
        secret.key(path)
    assert str(caught.value) == (
        f"the key of the pseudonyms, {path}, must be readable by its owner alone; others can: chmod 600 {path}"
    )
    path.chmod(0o600)
    path.write_text("abc")
    with pytest.raises(DataError) as caught:
        secret.key(path)
    assert str(caught.value) == (
        f"the key of the pseudonyms, {path}, must be 64 hexadecimal digits; it is not: restore it, or remove it for a "
        "new key, with which every pseudonym becomes another one"
    )


# --- in the cleaning --------------------------------------------------------------------------------------------------

KEY = bytes(32)


def people(n=60):
    return pd.DataFrame(
        {
            "y": ["no", "yes"] * (n // 2),
            "x": [str(k) for k in range(n)],
            "email": [f"a{k}@b.org" for k in range(n)],
            "doctor": [GIVEN[k % 8] for k in range(n)],
            "born": [f"19{40 + k % 50}-0{1 + k % 9}-1{k % 9}" for k in range(n)],
        }
    )


def test_what_looks_personal_must_be_decided_on():
    with pytest.raises(DataError) as caught:
        clean(people(), target="y", id="email", personal={"born": "keep"})
    assert str(caught.value) == (
        "columns that look personal must be decided on before training; undecided: 'email' (e-mail address, 100% of "
        "the values looked at, such as a***@***.org; by its values); 'doctor' (name of a person, 100% of the values "
        "looked at, such as A***; by its values). Write into the study, for instance, personal: {email: hash, doctor: "
        "drop}; drop leaves a column out, hash puts a keyed digest in the place of each value, keep declares that it "
        "may be used as it is"
    )


def test_a_column_that_is_left_out_needs_no_decision():
    settings = {"target": "y", "drop": ["email", "born"], "features": ["x", "doc*"], "personal": {"doctor": "keep"}}
    account = clean(people(), **settings).account
    assert [found.column for found in account.personal] == ["doctor"]


def test_the_three_decisions():
    said = {"email": "hash", "doctor": "drop", "born": "keep"}
    result = clean(people(), target="y", id="email", personal=said, key=KEY)
    assert sorted(result.frame["row"]) == sorted(pseudonyms(people()["email"], KEY).values())
    entries = {entry.name: entry for entry in result.account.columns}
    assert "doctor" not in result.frame
    assert (entries["doctor"].kept, entries["doctor"].reason) == (False, "personal: the study drops it")
    assert str(result.frame["born"].dtype).startswith("datetime64")
    assert {name: entry.personal for name, entry in entries.items()} == {"y": None, "x": None} | said
    assert (entries["born"].min, entries["born"].max, entries["born"].levels) == (None, None, None)
    assert entries["born"].distinct > 40
    assert {(found.column, found.decision) for found in result.account.personal} == set(said.items())
    assert result.account.key == fingerprint(KEY)
    told = result.account.model_dump_json()
    assert not [word for column in said for word in people()[column] if word in told]


def test_a_hashed_group_still_groups_and_missing_stays_missing():
    table = people().assign(doctor=[*people()["doctor"][:-2], "NA", "ask"], site=["1", "2", "3"] * 20)
    said = {"email": "drop", "doctor": "hash", "born": "drop", "site": "hash"}
    result = clean(table, target="y", group="site", personal=said, key=KEY, columns={"doctor": {"missing": ["ask"]}})
    assert result.frame.groupby("site").size().tolist() == [20, 20, 20]
    assert set(result.frame["site"]) == set(pseudonyms("123", KEY).values())
    assert result.frame["doctor"].isna().sum() == 2
    assert next(c for c in result.account.columns if c.name == "doctor").missing_words == {"NA": 1, "ask": 1}


def test_digits_alone_are_a_pseudonym_too():
    table = people().assign(site=pd.Series([f"s{k}" for k in range(60)]).where(lambda s: s != "s1", "s0"))
    result = clean(table.drop(columns=["email", "doctor", "born"]), target="y", personal={"site": "hash"}, key=KEY)
    assert next(c for c in result.account.columns if c.name == "site").type == "category"


def test_a_message_shows_no_value_of_a_personal_column():
    table = people().assign(email=["a0@b.org", *people()["email"][:-1]])
    said = {"email": "keep", "doctor": "drop", "born": "keep"}
    with pytest.raises(DataError) as caught:
        clean(table, target="y", id="email", personal=said)
    assert str(caught.value) == (
        "rows of one id must agree; column 'email' is a***@***.org in rows 1, 2, which differ in y, x, born: correct "
        "them, or name another column"
    )
    table = people().assign(born=["long ago", *people()["born"][1:]])
    with pytest.raises(DataError) as caught:
        clean(table, target="y", id="email", personal=said, columns={"born": {"format": "%Y-%m-%d"}})
    assert str(caught.value) == ("column 'born' must hold times as '%Y-%m-%d'; row 1 is '*** ***': repair these rows")


def test_a_typed_column_is_hashed_as_its_text():
    table = people().assign(code=[1_000_000 + k for k in range(60)])
    said = {"email": "drop", "doctor": "drop", "born": "drop", "code": "hash"}
    result = clean(table, target="y", id="code", personal=said, key=KEY)
    assert pseudonyms(["1000000"], KEY)["1000000"] in set(result.frame["row"])


def test_numbers_with_a_fraction_are_enough_to_stop_looking():
    guard = Guard()
    guard.look("x", pa.array(np.random.default_rng(0).normal(size=5000) * 1e9))
    assert len(guard.words["x"]) == personal.MOST_WORDS
    assert guard.findings() == ()
    table = people().assign(z=[float("inf"), *np.random.default_rng(0).normal(size=59)])
    said = {"email": "drop", "doctor": "drop", "born": "drop"}
    with pytest.raises(DataError, match="column 'z' must be finite; row 1 is inf: repair these rows"):
        clean(table, target="y", personal=said)
