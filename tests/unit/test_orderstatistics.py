import numpy as np
import pytest

from serpens import orderstatistics


def values(kind, n, rng):
    found = {
        "normal": lambda: rng.normal(size=n),
        "in order": lambda: np.sort(rng.normal(size=n)),
        "few values": lambda: rng.integers(0, 4, n).astype(float),
        "mostly zero": lambda: np.where(rng.random(n) < 0.7, 0.0, rng.normal(size=n)),
        "with infinite tails": lambda: rng.standard_cauchy(n) ** 3,
    }[kind]()
    found[rng.random(n) < 0.1] = np.nan
    return found


def test_quartiles_of_known_numbers():
    found = orderstatistics.quartiles(np.array([[4.0, 1.0, 3.0, 2.0, np.nan], [5, 5, 5, 5, 5], [np.nan] * 5]))
    np.testing.assert_array_equal(found, [[1.75, 2.5, 3.25], [5, 5, 5], [np.nan] * 3])


@pytest.mark.parametrize("kind", ["normal", "in order", "few values", "mostly zero", "with infinite tails"])
def test_pieces_give_the_quartiles_of_the_whole_bit_for_bit(kind):
    rng = np.random.default_rng(1)
    for n in (1, 2, 5, 700, 3000):
        column = values(kind, n, rng)
        whole = orderstatistics.quartiles(column[None])[0]
        np.testing.assert_allclose(whole, np.nanquantile(column, [0.25, 0.5, 0.75]), rtol=1e-12)
        assert whole[1] == np.nanmedian(column)
        for n_pieces in (1, 7, 40):
            pieces = np.array_split(column, n_pieces)
            found = orderstatistics.quartiles_of_pieces(lambda every, p=pieces: iter(p[::every]), most=400)
            np.testing.assert_array_equal(found, whole)


def test_a_sample_that_misleads_costs_readings_and_no_bit():
    # the pieces that are looked at first hold none of the values in the middle
    pieces = [np.full(100, 1e6) if i % orderstatistics.EVERY == 0 else np.arange(100.0) + i for i in range(40)]
    found = orderstatistics.quartiles_of_pieces(lambda every: iter(pieces[::every]))
    np.testing.assert_array_equal(found, orderstatistics.quartiles(np.concatenate(pieces)[None])[0])


def test_a_column_without_values_has_no_quartiles():
    assert np.isnan(orderstatistics.quartiles_of_pieces(lambda _: iter([np.full(3, np.nan)]))).all()
