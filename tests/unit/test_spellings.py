"""Levels that may be one word in several spellings."""

from serpens.spellings import SHOWN_GROUPS, same_but_spelling


def test_capitals_accents_and_what_parts_words():
    levels = ["Paris", "paris", "PARIS ", "Orléans", "Orleans", "New York", "new_york", "New-York", "Rome"]
    assert same_but_spelling(levels) == (
        ("Paris", "paris", "PARIS "),
        ("Orléans", "Orleans"),
        ("New York", "new_york", "New-York"),
    )


def test_signs_tell_levels_apart():
    assert same_but_spelling(["A+", "A-", "A", "1.0", "10", "<5", ">5", "café au lait", "cafe"]) == ()


def test_only_so_many_groups_are_told():
    assert len(same_but_spelling(word for k in range(50) for word in (f"a{k}", f"A{k}"))) == SHOWN_GROUPS
