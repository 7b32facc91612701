import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from serpens import columns
from serpens.columns import number_as_text
from serpens.errors import DataError
from serpens.words import MISSING, MISSING_AMONG_VALUES, Words


def read(values, **spec):
    """Read a whole column in one piece."""
    return Column(values, spec)


class Column:
    def __init__(self, values, spec):
        raw = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
        survey = columns.survey_of(spec)
        if columns.reads_words("x", raw.type, spec):
            survey.add(Words.of(columns.as_words(raw)))
        how = columns.reading("x", raw.type, spec, survey)
        found = columns.read(how, raw)
        for fault, rows in found.faults.items():
            raise columns.explain(how, fault, columns.examples(how, fault, raw, found, rows))
        self.type, self.how = how.type, how.how
        self.values = found.values.to_pylist()
        self.missing_words = found.missing_words


def refusal(values, **spec):
    with pytest.raises(DataError) as caught:
        read(values, **spec)
    return str(caught.value)


def moment(text):
    return pd.Timestamp(text).to_pydatetime()


@pytest.mark.parametrize(
    ("words", "kind", "values"),
    [
        (["1", "-2.5", "+3", ".5", "1e-3", " 7 "], "number", [1, -2.5, 3, 0.5, 0.001, 7]),
        (["red", "blue", "red"], "category", ["red", "blue", "red"]),
        (["1", "2", "many"], "category", ["1", "2", "many"]),
        (["0x1F", "1_000"], "category", ["0x1F", "1_000"]),
        (["2024-01-31", "2024-02-01"], "time", ["2024-01-31", "2024-02-01"]),
        (["2024-01-31T10:00:00+02:00", "2024-01-31 10:00"], "time", ["2024-01-31T08:00", "2024-01-31T10:00"]),
        (["2024-01", "2024-02"], "time", ["2024-01-01", "2024-02-01"]),
        (["31.12.2024", "01.02.2024"], "time", ["2024-12-31", "2024-02-01"]),
        (["13/02/2024", "01/02/2024"], "time", ["2024-02-13", "2024-02-01"]),
        (["02/13/2024", "02/01/2024"], "time", ["2024-02-13", "2024-02-01"]),
        (["3 Jan 2024", "4 Feb 2024"], "time", ["2024-01-03", "2024-02-04"]),
        (["2024-01-31", "2024"], "category", ["2024-01-31", "2024"]),
    ],
)
def test_a_type_is_inferred_from_all_values(words, kind, values):
    parsed = read(words)
    assert (parsed.type, parsed.how) == (kind, "inferred")
    assert list(parsed.values) == ([moment(value) for value in values] if kind == "time" else values)


def test_long_or_distinct_sentences_are_text():
    sentences = [f"patient {i} felt better after the second visit" for i in range(20)]
    assert read(sentences).type == "text"
    assert read([f"note {i}" for i in range(20)]).type == "text"
    assert read(["north side", "south side"] * 20).type == "category"
    assert read([f"note {i}" for i in range(12)]).type == "category"


@pytest.mark.parametrize("word", sorted(MISSING))
def test_a_missing_word_is_missing_in_any_type(word):
    for values in (["1", word, "2"], ["a", word, "b"], ["2024-01-31", word, "2024-02-01"]):
        parsed = read(values)
        assert parsed.type == read([values[0], values[2]]).type
        assert parsed.values[1] is None
        assert parsed.missing_words == {word: 1}


@pytest.mark.parametrize("word", sorted(MISSING_AMONG_VALUES | {"Unknown", "N.A."}))
def test_a_word_that_may_be_a_level_is_missing_among_numbers_and_times(word):
    assert read(["1", word, "2"]).missing_words == {word: 1}
    assert read(["2024-01-31", word]).missing_words == {word: 1}
    assert list(read(["a", word]).values) == ["a", word]
    assert read(["a", word]).missing_words == {}


def test_missing_words_are_counted_each():
    parsed = read(["1", "", "NA", "", " ", None, "unknown"])
    assert parsed.missing_words == {"": 4, "NA": 1, "unknown": 1}


def test_a_declared_word_means_missing_here_alone():
    assert read(["1", "-999", "2"], missing=["-999"]).values == [1, None, 2]
    assert read(["a", "b"], missing=["b"]).values == ["a", None]
    assert read(["1", "-999"]).values == [1, -999]


@pytest.mark.parametrize("values", [[1.0, -999.0, 2.5], [1, -999, 2]])
def test_a_declared_word_means_missing_in_typed_columns_too(values):
    parsed = read(values, missing=["-999"])
    assert parsed.values == [values[0], None, values[2]]
    assert parsed.missing_words == {"-999": 1}


def test_leading_zeros_stay_in_a_category_and_go_from_a_number():
    assert list(read(["007", "070"], type="category").values) == ["007", "070"]
    assert list(read(["007", "070"]).values) == [7, 70]


@pytest.mark.parametrize("words", [["1,5", "2,25"], ["1,234", "12"], ["1,234.5", "7"]])
def test_commas_in_numbers_are_not_guessed(words):
    rows = ", ".join(f"row {row} is {word!r}" for row, word in enumerate(words, 1) if "," in word)
    assert refusal(words) == (
        f"column 'x' holds numbers with commas; {rows}: say what they are, columns: {{x: {{decimal: \",\"}}}} or "
        '{thousands: ","}, or set its type to category'
    )
    assert read(words, type="category").type == "category"


def test_a_column_of_numbers_with_a_few_words_is_not_guessed():
    assert refusal([str(i) for i in range(19)] + ["low"]) == (
        "column 'x' holds numbers in 95% of its rows, and row 20 is 'low': if these mean a missing value, set "
        "columns: {x: {missing: [...]}}; if the column is no number, set its type to category"
    )
    assert refusal([str(i) for i in range(90)] + ["low"] * 7).endswith(
        "row 91 is 'low', row 92 is 'low', row 93 is 'low', row 94 is 'low', row 95 is 'low', and 2 more: if these "
        "mean a missing value, set columns: {x: {missing: [...]}}; if the column is no number, set its type to category"
    )


@pytest.mark.parametrize(
    ("words", "spec", "message"),
    [
        (
            ["1", "two", "NA"],
            {"type": "number"},
            "column 'x' must hold numbers; row 2 is 'two': repair these rows, name the words that mean a missing value "
            "(columns: {x: {missing: [...]}}), or declare another type",
        ),
        (
            ["1", "1,5"],
            {"type": "image"},
            "column 'x' must hold numbers; row 2 is '1,5': repair these rows, name the words that mean a missing value "
            "(columns: {x: {missing: [...]}}), or declare another type",
        ),
        (
            ["2024-01-31", "soon"],
            {"type": "time"},
            "column 'x' must hold times such as 2024-01-31, or a declared format; row 2 is 'soon': repair these rows",
        ),
        (
            ["31/01/2024", "2024-01-31"],
            {"type": "time", "format": "%d/%m/%Y"},
            "column 'x' must hold times as '%d/%m/%Y'; row 2 is '2024-01-31': repair these rows",
        ),
        (
            ["01/02/2024", "03/04/2024"],
            {},
            "column 'x' holds times that can be read as '%d/%m/%Y', '%m/%d/%Y', for instance '01/02/2024': say which, "
            'columns: {x: {type: time, format: "%d/%m/%Y"}}',
        ),
        (
            ["5", "-1", "", "-2"],
            {"min": 0},
            "column 'x' must be at least 0; row 2 is -1.0, row 4 is -2.0: repair these rows, or correct columns.x.min",
        ),
        (
            ["5", "130"],
            {"type": "number", "max": 120.5},
            "column 'x' must be at most 120.5; row 2 is 130.0: repair these rows, or correct columns.x.max",
        ),
        (
            ["5", "five"],
            {"max": 120},
            "column 'x' must hold numbers; row 2 is 'five': repair these rows, name the words that mean a missing "
            "value (columns: {x: {missing: [...]}}), or declare another type",
        ),
        (
            ["1", "1e999"],
            {},
            "column 'x' must be finite; row 2 is '1e999': repair these rows, or declare them missing",
        ),
        (
            [1.0, float("-inf")],
            {},
            "column 'x' must be finite; row 2 is -inf: repair these rows, or declare them missing",
        ),
        (
            [True, False],
            {"type": "number"},
            "column 'x' must hold numbers; row 1 is 'true', row 2 is 'false': repair these rows, name the words that "
            "mean a missing value (columns: {x: {missing: [...]}}), or declare another type",
        ),
        (
            [1.0, 2.0],
            {"type": "time"},
            "column 'x' must hold times such as 2024-01-31, or a declared format; row 1 is '1', row 2 is '2': "
            "repair these rows",
        ),
        (
            [[1], [2, 3]],
            {},
            "column 'x' must hold numbers, times or words; it holds list<item: int64>: convert it, or drop it",
        ),
        (
            pd.to_timedelta([1, 2], unit="D"),
            {},
            "column 'x' must hold numbers, times or words; it holds duration[us]: convert it, or drop it",
        ),
    ],
)
def test_what_is_declared_is_enforced(words, spec, message):
    assert refusal(words, **spec) == message


def test_what_is_declared_is_said_to_be():
    assert read(["1", "2"], type="category").how == "declared"
    assert read(["1", "2"], min=0).how == "declared"
    assert read([1.0, 2.0], type="number").how == "declared"


def test_bounds_belong_to_the_range():
    assert list(read(["0", "10"], min=0, max=10).values) == [0, 10]


def test_a_format_decides_what_is_ambiguous():
    assert list(read(["01/02/2024"], format="%m/%d/%Y").values) == [moment("2024-01-02")]
    assert list(read(["01/02/2024"], format="%d/%m/%Y").values) == [moment("2024-02-01")]
    assert list(read([2023, 2024], type="time", format="%Y").values) == [
        moment("2023-01-01"),
        moment("2024-01-01"),
    ]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([1, 2], dtype=np.int32), "number", [1, 2]),
        (np.array([0.5, np.nan]), "number", [0.5, None]),
        ([True, False], "category", ["true", "false"]),
        ([True, None], "category", ["true", None]),
        (pd.Categorical(["a", None]), "category", ["a", None]),
        (
            pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Paris"),
            "time",
            [moment("2023-12-31T23"), None],
        ),
    ],
)
def test_typed_columns_keep_their_type(values, kind, expected):
    parsed = read(values)
    assert parsed.type == kind
    assert parsed.values == expected
    assert parsed.missing_words == ({"": 1} if None in expected else {})


def test_typed_columns_become_the_words_they_are_declared_to_be():
    assert list(read([1.0, 2.5], type="category").values) == ["1", "2.5"]
    assert list(read(pd.to_datetime(["2024-01-31", "2024-01-31T12:00"], format="ISO8601"), type="category").values) == [
        "2024-01-31",
        "2024-01-31T12:00:00",
    ]


def test_the_same_values_read_the_same_from_text_and_typed():
    numbers = [0.1, 1e-7, 123456789.25, -3.0]
    assert list(read([repr(number) for number in numbers]).values) == list(read(numbers).values)


def test_nothing_but_missing_values_is_an_empty_category():
    parsed = read(["", "NA", "?"])
    assert parsed.type == "category"
    assert parsed.values == [None, None, None]


def test_a_declared_time_of_which_nothing_is_known_is_missing():
    parsed = read(["unknown", "", "n.d."], type="time")
    assert (parsed.type, parsed.values) == ("time", [None] * 3)


def test_a_number_is_written_as_a_person_would():
    assert [number_as_text(value) for value in (1.0, -2.0, 0.5, 1e22)] == ["1", "-2", "0.5", "10000000000000000000000"]


@pytest.mark.parametrize(
    ("words", "spec", "values"),
    [
        (["1,5", "-2", ",25", "1,5e3"], {"decimal": ","}, [1.5, -2, 0.25, 1500]),
        (["1.234,5", "12", "1.000.000"], {"decimal": ",", "thousands": "."}, [1234.5, 12, 1e6]),
        (["1,234.5", "12,000", "NA"], {"thousands": ","}, [1234.5, 12000, None]),
        (["1 234", "5"], {"thousands": " "}, [1234, 5]),
        (["12 kg", "3kg", "4", ""], {"unit": "kg"}, [12, 3, 4, None]),
        (["12 kg", "500 g", "2 lb"], {"unit": "kg", "units": {"g": 0.001, "lb": 0.45359237}}, [12, 0.5, 0.90718474]),
        (["1,5 °C", "20 °C"], {"unit": "°C", "decimal": ","}, [1.5, 20]),
        (["10%", "5 %"], {"unit": "%"}, [10, 5]),
        (["9007199254740992", "-9007199254740994"], {}, [2.0**53, -(2.0**53) - 2]),
    ],
)
def test_numbers_are_read_as_they_are_declared_to_be_written(words, spec, values):
    parsed = read(words, **spec)
    assert parsed.type == "number"
    np.testing.assert_allclose(np.array(parsed.values, float), np.array(values, float), rtol=1e-15)


@pytest.mark.parametrize(
    ("words", "spec", "wrong"),
    [
        (["1,5", "1.5"], {"decimal": ","}, "row 2 is '1.5'"),
        (["1.23,4", "1.000"], {"decimal": ",", "thousands": "."}, "row 1 is '1.23,4'"),
        (["12,34", "1,000"], {"thousands": ","}, "row 1 is '12,34'"),
        (["12 kg", "3 st"], {"unit": "kg"}, "row 2 is '3 st'"),
    ],
)
def test_a_number_that_is_written_otherwise_is_refused(words, spec, wrong):
    unit = f" in {spec['unit']}" if "unit" in spec else ""
    assert refusal(words, **spec) == (
        f"column 'x' must hold numbers{unit}; {wrong}: repair these rows, name the words that mean a missing value "
        "(columns: {x: {missing: [...]}}), or declare another type"
    )


@pytest.mark.parametrize("values", [["12", "9007199254740993"], pa.array([12, 9007199254740993])])
def test_a_whole_number_that_a_float_would_round_is_refused(values):
    shown = repr(values[1]) if isinstance(values, list) else "9007199254740993"
    assert refusal(values) == (
        f"column 'x' must hold numbers that a float of 64 bits holds exactly; row 2 is {shown}: if they are names, set "
        "its type to category; if they are quantities, round them"
    )
    assert read(values, type="category").values == ["12", "9007199254740993"]


def test_dates_that_are_written_in_two_ways_are_refused():
    assert refusal(["31/12/2024", "2024-12-31", "12/31/2024"]) == (
        "column 'x' must hold times that are written in one way; 100% of its rows look like dates (row 1 is "
        "'31/12/2024'), and no format reads them all: write them as 2024-01-31, or set its type to category"
    )


def test_the_29th_of_february_is_a_day_in_leap_years_alone():
    assert read(["2024-02-29", "2024-03-01"]).values == [moment("2024-02-29"), moment("2024-03-01")]
    assert "100% of its rows look like dates" in refusal(["2023-02-29", "2023-03-01"])


def test_times_in_a_zone_become_utc():
    assert read(["2024-01-31 12:00", "2024-07-31 12:00", "2024-07-31T12:00Z"], zone="Europe/Berlin").values == [
        moment("2024-01-31 11:00"),
        moment("2024-07-31 10:00"),
        moment("2024-07-31 12:00"),
    ]


@pytest.mark.parametrize("word", ["2024-03-31 02:30", "2024-10-27 02:30"])
def test_a_time_that_clocks_skipped_or_showed_twice_is_refused(word):
    assert refusal(["2024-01-31 12:00", word], zone="Europe/Berlin") == (
        f"column 'x' must hold times that clocks in Europe/Berlin showed once; row 2 is {word!r}: write these with "
        "their offset, such as 2024-10-27T02:30+02:00"
    )


def test_spellings_of_a_level_are_one():
    parsed = read(["M", "male", "f", "NA", "x"], spelling={"male": ["M", "m"], "female": ["f"]})
    assert (parsed.type, parsed.values) == ("category", ["male", "male", "female", None, "x"])
