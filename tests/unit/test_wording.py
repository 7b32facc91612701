import pytest

from serpens import durations, wording
from serpens.dataartefacts import Collected, DataChanges


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


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0 %"), (1, "100 %"), (0.1234, "12.3 %"), (0.0001, "< 0.1 %"), (0.9999, "99.9 %")]
)
def test_a_share_looks_like_none_or_all_only_where_it_is(part, text):
    assert wording.share(part) == text


@pytest.mark.parametrize(
    ("then", "now", "told", "text"),
    [
        (5, 7, {"added": 3, "removed": 1, "changed": 2}, "7 rows in use, before 5: 3 added, 1 removed, 2 changed."),
        (5, 5, {"untold": "no row can be followed"}, "5 rows in use, as before; no row can be followed."),
        (5, 6, {"added": 1, "removed": 0, "untold": "w"}, "6 rows in use, before 5: 1 added, 0 removed; w."),
    ],
)
def test_rows_of_a_collection_are_told(then, now, told, text):
    old, new = (Collected(time="t", bytes=1, rows_read=9, rows=n) for n in (then, now))
    assert wording.collected_again(DataChanges(then=old, now=new, **told)) == text


@pytest.mark.parametrize(("value", "text"), [(3.14, "3.1 s"), (119.9, "119.9 s"), (150, "2.5 min"), (9000, "2.5 h")])
def test_times_have_the_unit_that_suits_them(value, text):
    assert durations.in_words(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.0123 Wh"), (12.34, "12.3 Wh"), (1234.5, "1.23 kWh"), (None, "not measured")]
)
def test_energies_have_the_unit_that_suits_them(value, text):
    assert wording.energy(value) == text
