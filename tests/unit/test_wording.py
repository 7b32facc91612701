import pytest

from serpens import durations, wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.988"),
        (0.99964, "0.9996"),
        (1.0, "1.00"),
        (-0.5, "\N{MINUS SIGN}0.500"),
        (31117.4, "31,117"),
        (None, "not defined"),
    ],
)
def test_numbers_are_written_as_a_reader_wants_them(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(3.14, "3.1 s"), (119.9, "119.9 s"), (150, "2.5 min"), (9000, "2.5 h")])
def test_times_have_the_unit_that_suits_them(value, text):
    assert durations.in_words(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.0123 Wh"), (12.34, "12.3 Wh"), (1234.5, "1.23 kWh"), (None, "not measured")]
)
def test_energies_have_the_unit_that_suits_them(value, text):
    assert wording.energy(value) == text
