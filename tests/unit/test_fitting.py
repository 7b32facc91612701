import pytest

from serpens import fitting
from serpens.data import Problem
from serpens.errors import DataError


def problem(width, task="classification", n_outputs=2):
    return Problem(task=task, input_shape=(width,), n_outputs=n_outputs)


def test_a_family_that_cannot_take_so_many_inputs_says_the_limit_before_it_trains():
    with pytest.raises(DataError) as caught:
        fitting.check_width("boosted_trees", {"max_leaf_nodes": 31}, problem(60_000), 3000)
    # 4e9 bytes / (3000 + 31 leaves x 256 bins x 24 bytes)
    assert str(caught.value) == (
        "boosted_trees can take at most 20,675 inputs of 3,000 rows, which need 4 GB of memory; there are 60,000: keep "
        "fewer columns (select: {by: variance, keep: 2000}), or leave boosted_trees out of models and baselines"
    )


@pytest.mark.parametrize(
    ("family", "settings"),
    [("trivial", {}), ("linear", {}), ("boosted_trees", {"max_leaf_nodes": 31}), ("mlp", {"width": 256})],
)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_twenty_thousand_genes_of_five_thousand_samples_are_not_too_many(family, settings, task):
    fitting.check_width(family, settings, problem(20_000, task), 5000)
