import numpy as np
import pytest

from serpens import features, learning, pieces
from serpens.errors import DataError
from serpens.learning import Treatments

DEFAULT = {"outliers": "keep", "impute": "median", "indicator": True}


def columns(**given):
    return {
        name: np.asarray(values, dtype=object if isinstance(values[0], str) else None) for name, values in given.items()
    }


def learn(train, types, *, study=None, own=None, **more):
    settings = {"task": "regression", "target": "y", "classes": ()} | more
    train = train if isinstance(train, pieces.Pieces) else pieces.held(train)
    return learning.learn(train, types=types, treatments=Treatments(DEFAULT | (study or {}), own or {}), **settings)


def in_pieces(table, rows):
    held = pieces.held(table)
    (whole,) = held.read(None, 1)

    def read(names, every):
        chosen = whole if names is None else whole.select(list(names))
        for start in range(0, len(whole), rows * every):
            yield chosen.slice(start, rows)

    return pieces.Pieces(len(whole), read)


# quartiles 2 and 4, so fences -4 and 10
FAR_OUT = columns(x=[1.0, 2.0, 3.0, 4.0, 100.0], y=[0.0, 1.0, 2.0, 3.0, 4.0])


def test_fences_are_three_interquartile_ranges_beyond_the_quartiles():
    (x,) = learn(FAR_OUT, {"x": "number"}).features
    assert (x.low, x.high, x.outliers) == (-4.0, 10.0, "keep")
    assert x.center == 22.0


def test_a_clipped_column_is_clipped_before_it_is_scaled():
    schema = learn(FAR_OUT, {"x": "number"}, study={"outliers": "clip"})
    assert schema.features[0].center == 4.0  # of 1, 2, 3, 4, 10
    X, counts = features.encode_counted(schema, columns(x=[10.0, 11.0, -1e9]))
    assert X[0, 0] == X[1, 0]
    assert X[2, 0] * schema.features[0].scale + 4.0 == pytest.approx(-4.0)
    assert counts.tolist() == [[0, 2, 0]]


def test_a_flagged_column_has_an_input_that_says_where():
    schema = learn(FAR_OUT, {"x": "number"}, own={"x": {"outliers": "flag"}})
    X = features.encode(schema, columns(x=[3.0, 100.0, np.nan]))
    assert X[:, 1].tolist() == [0, 1, 0]
    assert schema.features[0].center == 22.0


def test_a_column_whose_quartiles_are_one_number_has_no_fences():
    train = columns(x=[0.0] * 8 + [1.0, 2.0], y=np.arange(10.0))
    (x,) = learn(train, {"x": "number"}, study={"outliers": "clip"}).features
    assert (x.low, x.high) == (None, None)
    assert x.center == pytest.approx(0.3)


@pytest.mark.parametrize(("impute", "fill"), [("median", 2.5), ("mean", 3.75), ("mode", 1.0), ("zero", 0.0)])
def test_what_stands_for_a_missing_number(impute, fill):
    train = columns(x=[1.0, 1.0, np.nan, 4.0, 9.0], y=np.arange(5.0))
    (x,) = learn(train, {"x": "number"}, own={"x": {"impute": impute}}).features
    assert (x.fill, x.impute, x.indicator) == (fill, impute, True)
    assert x.center == pytest.approx(np.mean([1, 1, fill, 4, 9]))


def test_without_an_indicator_a_missing_value_is_the_fill_alone():
    train = columns(x=[1.0, np.nan, 3.0], y=np.arange(3.0))
    schema = learn(train, {"x": "number"}, study={"indicator": False})
    assert features.encode(schema, columns(x=[np.nan])).tolist() == [[0.0]]


def test_a_missing_level_is_one_of_its_own_or_the_most_frequent():
    train = {"c": np.array(["b", "a", None, "b"], dtype=object), "y": np.arange(4.0)}
    own, mode = (learn(train, {"c": "category"}, study={"impute": impute}) for impute in ("median", "mode"))
    assert (own.features[0].levels, own.features[0].impute) == (("", "a", "b"), "level")
    assert (mode.features[0].levels, mode.features[0].fill_level) == (("a", "b"), "b")
    X, counts = features.encode_counted(mode, {"c": np.array([None, "a", "z"], dtype=object)})
    assert X.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert counts.tolist() == [[1, 0, 1]]


def test_rare_levels_are_left_out_and_counted():
    words = [f"w{i:02}" for i in range(60)] + [f"w{i:02}" for i in range(50)]
    train = columns(c=words, y=np.arange(110.0))
    schema = learn(train, {"c": "category"})
    assert schema.features[0].levels == tuple(f"w{i:02}" for i in range(50))
    encoding = features.Encoding(schema, pieces.held(train))
    list(encoding)
    assert encoding.treated["c"].unlisted == 10


def test_what_is_not_for_a_columns_type_is_refused():
    train = {"c": np.array(["b", "a"], dtype=object), "y": np.arange(2.0)}
    with pytest.raises(DataError) as caught:
        learn(train, {"c": "category"}, own={"c": {"impute": "median"}})
    assert str(caught.value) == (
        "a missing category may become mode; columns.c says impute: median, and column 'c' is of type category: change "
        "or drop impute"
    )
    with pytest.raises(DataError) as caught:
        learn(train, {"c": "category"}, own={"c": {"outliers": "clip"}})
    assert str(caught.value) == ("outliers are numbers; column 'c' is of type category: drop outliers from columns.c")


def test_too_many_values_to_count_are_refused(monkeypatch):
    monkeypatch.setattr(learning, "MAX_DISTINCT", 3)
    train = columns(x=[1.0, 2.0, 3.0, 4.0], y=np.arange(4.0))
    with pytest.raises(DataError) as caught:
        learn(train, {"x": "number"}, study={"impute": "mode"})
    assert str(caught.value) == "column 'x' must have at most 3 values to be counted; it has more: say impute: median"


def many(n=4000):
    rng = np.random.default_rng(3)
    x = rng.normal(50, 9, n)
    x[rng.random(n) < 0.1] = np.nan
    x[:3] = 1e5
    return {
        "x": x,
        "z": rng.integers(0, 5, n).astype(float),
        "t": np.datetime64("2020-01-01", "us") + rng.integers(0, 10**9, n),
        "c": np.array(["a", "b", None], dtype=object)[rng.integers(0, 3, n)],
        "y": rng.normal(size=n),
    }


TYPES = {"x": "number", "z": "number", "t": "time", "c": "category"}


@pytest.mark.parametrize("outliers", ["keep", "clip"])
def test_columns_that_do_not_fit_are_learned_piece_by_piece(monkeypatch, outliers):
    whole = learn(many(), TYPES, study={"outliers": outliers})
    monkeypatch.setattr(learning, "HELD_CELLS", 1000)
    found = learn(in_pieces(many(), 300), TYPES, study={"outliers": outliers})
    for one, other in zip(whole.features, found.features, strict=True):
        # fills and fences are exact; means and deviations are merged in another order of sums
        assert (one.fill, one.low, one.high, one.levels) == (other.fill, other.low, other.high, other.levels)
        assert (one.center, one.scale) == pytest.approx((other.center, other.scale), rel=1e-12)
    assert whole.target.scale == pytest.approx(found.target.scale, rel=1e-12)


def test_columns_that_fit_are_learned_alike_whatever_the_pieces_are():
    schemas = [learn(in_pieces(many(), rows), TYPES, study={"outliers": "clip"}) for rows in (1, 7, 300, 4000)]
    assert all(schema == schemas[0] for schema in schemas)


def test_only_numbers_are_selected_among_and_the_account_says_which():
    table = many() | {"w": np.arange(4000) * 1e6}
    schema = learn(table, TYPES | {"w": "number"}, select={"by": "variance", "keep": 1, "fdr": None})
    assert [feature.name for feature in schema.features] == ["c", "t", "w"]
    assert {name: found.kept for name, found in schema.selection.items()} == {"w": True, "x": False, "z": False}
    assert not schema.applied().selection
