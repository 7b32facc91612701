import numpy as np
import pytest

from serpens import features, learning, pieces
from serpens.errors import DataError


def table(**columns):
    n = len(next(iter(columns.values())))
    return {"row": np.array([str(i) for i in range(n)], dtype=object)} | {
        name: np.asarray(values, dtype=object if isinstance(values[0], str) or values[0] is None else None)
        for name, values in columns.items()
    }


def learned(train, types, **more):
    settings = {"task": "regression", "target": "y", "classes": ()} | more
    return learning.learn(pieces.held(train), types=types, **settings)


def test_numbers_are_imputed_and_scaled_with_the_training_rows_alone():
    train = table(x=[1.0, 2.0, 3.0, np.nan], y=[0.0, 2.0, 4.0, 6.0])
    schema = learned(train, {"x": "number"})
    X = features.encode(schema, table(x=[2.0, np.nan, 1000.0], y=[0.0, 0.0, 0.0]))
    sd = np.std([1, 2, 3, 2])
    np.testing.assert_allclose(X, [[0, 0], [0, 1], [998 / sd, 0]], rtol=1e-6)


def test_categories_are_those_of_training():
    train = table(c=["b", "a", None, "a"], y=[0.0, 1.0, 2.0, 3.0])
    schema = learned(train, {"c": "category"})
    X = features.encode(schema, table(c=["a", "b", None, "never seen"], y=[0.0] * 4))
    assert X.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_a_time_counts_days():
    time = np.array(["2000-01-01", "2000-01-03", "NaT"], dtype="datetime64[us]")
    schema = learned(table(y=[0.0, 1.0, 2.0]) | {"t": time}, {"t": "time"})
    assert schema.features[0].center == 10958


def test_column_order_does_not_matter_and_x2_comes_before_x10():
    train = table(x10=[1.0, 2.0], x2=[3.0, 5.0], y=[0.0, 1.0])
    schema = learned(train, {"x10": "number", "x2": "number"})
    assert [feature.name for feature in schema.features] == ["x2", "x10"]


def test_decoding_undoes_the_targets_scaling():
    train = table(x=[1.0, 2.0, 4.0], y=[10.0, 20.0, 60.0])
    schema = learned(train, {"x": "number"})
    prepared = features.prepare(schema, train)
    back = features.decode(schema, prepared.examples.y.astype(float), prepared.offset)
    np.testing.assert_allclose(back[:, 0], train["y"], rtol=1e-6)


def test_pixels_share_one_scale_and_fill_the_image():
    train = table(p0=[0.0, 16.0], p1=[0.0, 0.0], p2=[4.0, 4.0], p3=[8.0, 8.0], y=["a", "b"])
    types = dict.fromkeys(["p0", "p1", "p2", "p3"], "number")
    schema = learned(train, types, task="classification", classes=("a", "b"), image=(1, 2, 2))
    assert features.prepare(schema, train).examples.X.shape == (2, 1, 2, 2)
    assert len({(f.center, f.scale) for f in schema.features}) == 1
    with pytest.raises(DataError, match=r"image.shape \[1, 3, 3\] needs 9 columns of numbers; found 4 columns"):
        learned(train, types, task="classification", classes=("a", "b"), image=(1, 3, 3))


def test_an_unknown_class_and_a_missing_column_are_refused():
    train = table(x=[1.0, 2.0], y=["a", "b"])
    schema = learned(train, {"x": "number"}, task="classification", classes=("a", "b"))
    with pytest.raises(DataError, match="must hold one of the classes a, b; found 'c'"):
        features.prepare(schema, table(x=[1.0], y=["c"]))
    with pytest.raises(DataError, match="column 'x' must be there; it is not"):
        features.prepare(schema, table(y=["a"]))


TYPES = {"x": "number", "t": "time", "c": "category"}
DAY = np.array(["2000-01-01", "2000-01-03"], dtype="datetime64[us]")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("x", np.array(["12", "3"], dtype=object), "column 'x' must hold numbers, as in training; found '12'"),
        ("x", DAY, f"column 'x' must hold numbers, as in training; found {DAY[0].item()!r}"),
        ("x", np.array([True, False]), "column 'x' must hold numbers, as in training; found True"),
        ("t", np.array([1.0, 2.0]), "column 't' must hold times, as in training; found 1.0"),
        (
            "t",
            np.array(["2000-01-01"] * 2, dtype=object),
            "column 't' must hold times, as in training; found '2000-01-01'",
        ),
        ("c", np.array([1.0, 2.0]), "column 'c' must hold text, as in training; found 1.0"),
        ("c", np.array(["a", 7], dtype=object), "column 'c' must hold text, as in training; found 7"),
    ],
)
def test_a_value_of_another_type_is_refused(name, values, message):
    train = table(x=[1.0, 2.0], c=["a", "b"], y=[0.0, 1.0]) | {"t": DAY}
    schema = learned(train, TYPES)
    with pytest.raises(DataError) as caught:
        features.encode(schema, train | {name: values})
    assert str(caught.value) == f"{message}: give it the type that it had there"


def test_whole_numbers_are_numbers_and_what_is_all_missing_is_of_any_type():
    train = table(x=[1.0, 2.0, np.nan], c=["a", "b", None], y=[0.0, 1.0, 2.0]) | {"t": DAY[[0, 1, 1]]}
    schema = learned(train, TYPES)
    same = features.encode(schema, train | {"x": np.array([1, 2, 1])})[:2]
    assert (same == features.encode(schema, train)[:2]).all()
    gone = np.array([None] * 3, dtype=object)
    missing = table(x=[np.nan] * 3, c=[None] * 3) | {"t": np.full(3, np.datetime64("NaT", "us"))}
    assert (features.encode(schema, dict.fromkeys(TYPES, gone)) == features.encode(schema, missing)).all()


def test_a_number_that_is_none_is_refused():
    schema = learned(table(x=[1.0, 2.0], y=[0.0, 1.0]), {"x": "number"})
    for value in (np.inf, 1e300):
        with pytest.raises(DataError) as caught:
            features.encode(schema, table(x=[1.0, value]))
        assert str(caught.value) == (
            f"a number must be finite once it is scaled; column 'x' holds {value} in row 2 of those given: "
            "repair it, or make it missing"
        )


def test_columns_of_several_lengths_are_refused():
    schema = learned(table(x=[1.0, 2.0], z=[1.0, 2.0], y=[0.0, 1.0]), {"x": "number", "z": "number"})
    with pytest.raises(DataError) as caught:
        features.encode(schema, {"x": np.zeros(3), "z": np.zeros(2)})
    assert str(caught.value) == "columns must be of one length; 'z' has 2 values, 'x' 3"


def test_rows_are_encoded_alike_however_many_there_are(monkeypatch):
    rng = np.random.default_rng(0)
    train = table(x=rng.normal(size=500), z=rng.normal(size=500), y=rng.normal(size=500))
    schema = learned(train, {"x": "number", "z": "number"})
    whole = features.encode(schema, train)
    monkeypatch.setattr(features, "AT_ONCE", 1)
    monkeypatch.setattr(features, "LEAST_ROWS", 7)
    assert features.encode(schema, train).tobytes() == whole.tobytes()
