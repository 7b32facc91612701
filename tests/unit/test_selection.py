import numpy as np
import pytest
from sklearn.feature_selection import f_classif, f_regression

from serpens import learning, pieces, selection
from serpens.errors import DataError


def blocks(X, at_once=3):
    names = [f"x{j}" for j in range(X.shape[1])]
    held = pieces.held({name: X[:, j].copy() for j, name in enumerate(names)})
    whole = list(learning.blocks(held, names, dict.fromkeys(names, "number")))
    assert whole[0].whole
    rows = np.array_split(X.T, at_once, axis=1)
    return [learning.Block(names, lambda every: iter(rows[::every]), whole=False)]


@pytest.fixture
def X():  # noqa: N802
    rng = np.random.default_rng(0)
    return rng.normal(5, 1, (90, 40)) * np.arange(1, 41)


def test_the_columns_that_vary_most_are_kept(X):
    judged = selection.judge(blocks(X), np.zeros(90), classes=(), by="variance", keep=5)
    assert [name for name, found in judged.items() if found.kept] == [
        f"x{j}" for j in sorted(np.argsort(-X.var(axis=0))[:5])
    ]
    np.testing.assert_allclose([found.statistic for found in judged.values()], X.var(axis=0), rtol=1e-12)


def test_classes_are_compared_as_scikit_learn_does(X):
    y = np.array(["a", "b", "c"], dtype=object)[np.arange(90) % 3]
    X[y == "b", :4] += 20
    judged = selection.judge(blocks(X), y, classes=("a", "b", "c"), by="univariate", fdr=0.05)
    F, p = f_classif(X, y)
    np.testing.assert_allclose([found.statistic for found in judged.values()], F, rtol=1e-9)
    assert [found.q for found in judged.values()] == pytest.approx(benjamini_hochberg(p).tolist(), rel=1e-9)
    assert {name for name, found in judged.items() if found.kept} == {"x0", "x1", "x2", "x3"}


def test_numbers_are_correlated_as_scikit_learn_does(X):
    y = X[:, 7] / 8 + np.random.default_rng(1).normal(size=90)
    judged = selection.judge(blocks(X), y, classes=(), by="univariate", keep=1)
    F, p = f_regression(X, y)
    np.testing.assert_allclose([found.statistic for found in judged.values()], F, rtol=1e-9)
    assert [found.q for found in judged.values()] == pytest.approx(benjamini_hochberg(p).tolist(), rel=1e-9)
    assert [name for name, found in judged.items() if found.kept] == ["x7"]


def benjamini_hochberg(p):
    """By its definition: the least of p * n / rank over all that are no smaller."""
    order = np.argsort(p)
    return np.array([min(1.0, *(p[order[r]] * len(p) / (r + 1) for r in range(len(p)) if p[order[r]] >= x)) for x in p])


def test_missing_values_are_left_out_column_by_column(X):
    y = np.arange(90.0)
    X[3, 0] = np.nan
    judged = selection.judge(blocks(X), y, classes=(), by="univariate", keep=3)
    rest = np.arange(90) != 3
    assert judged["x0"].statistic == pytest.approx(f_regression(X[rest][:, :1], y[rest])[0][0])


def test_a_constant_column_is_not_kept(X):
    X[:, 2] = 7.0
    judged = selection.judge(blocks(X), np.arange(90.0), classes=(), by="univariate", keep=40)
    assert (judged["x2"].kept, judged["x2"].statistic) == (False, None)
    assert sum(found.kept for found in judged.values()) == 39


def test_where_nothing_is_kept_it_says_so(X):
    y = np.random.default_rng(5).permutation(90).astype(float)
    with pytest.raises(DataError) as caught:
        selection.judge(blocks(X), y, classes=(), by="univariate", fdr=1e-9)
    assert str(caught.value).startswith("of 40 columns of numbers none is kept by fdr 1e-09: the least q is 0.")
    assert str(caught.value).endswith(": choose another limit, or drop select")
