"""Gradient-boosted trees: scikit-learn's histogram implementation, stopped early on validation rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from serpens.data import Examples, Problem
from serpens.models import skops_state

PATIENCE = 20
# Forecasts stack one row a step ahead; beyond this many rows windows overlap so much that more teach nothing.
MAX_STACKED_ROWS = 30_000


class Estimator:
    """Boosted trees; for a forecast the step ahead is one more input, so that one model serves all steps.

    Parameters
    ----------
    max_iterations
        Most trees (per class).
    learning_rate
        Shrinkage of each tree.
    max_leaf_nodes
        Most leaves of a tree.
    """

    def __init__(self, problem: Problem, *, max_iterations: int, learning_rate: float, max_leaf_nodes: int) -> None:
        self.problem = problem
        self.settings = {
            "max_iter": max_iterations,
            "learning_rate": learning_rate,
            "max_leaf_nodes": max_leaf_nodes,
            "early_stopping": True,
            "n_iter_no_change": PATIENCE,
            "random_state": 0,
        }
        self.model_: Any = None

    def fit(self, train: Examples, validation: Examples) -> None:
        """Grow trees until the validation loss has not fallen for a while."""
        classification = self.problem.task == "classification"
        kind = HistGradientBoostingClassifier if classification else HistGradientBoostingRegressor
        X, y = self._rows(train)
        X_validation, y_validation = self._rows(validation)
        self.model_ = kind(**self.settings).fit(
            X,
            y,
            sample_weight=train.weight,
            X_val=X_validation,
            y_val=y_validation,
            sample_weight_val=validation.weight,
        )

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities or standardised values ``(n, n_outputs)``."""
        flat = X.reshape(len(X), -1)
        if self.problem.task == "classification":
            return np.asarray(self.model_.predict_proba(flat), dtype=np.float64)
        if self.problem.task == "regression":
            return np.asarray(self.model_.predict(flat), dtype=np.float64)[:, None]
        steps = range(self.problem.n_outputs)
        return np.stack([self.model_.predict(_with_step(flat, step)) for step in steps], axis=1)

    def state(self) -> dict[str, NDArray[np.uint8]]:
        """Return what was learned."""
        return skops_state.to_state(self.model_)

    def restore(self, state: dict[str, NDArray[np.uint8]]) -> None:
        """Take back what was learned."""
        self.model_ = skops_state.from_state(state)

    @property
    def parameters(self) -> int:
        """Leaves of all trees."""
        return sum(tree.get_n_leaf_nodes() for step in self.model_._predictors for tree in step)

    def _rows(self, examples: Examples) -> tuple[NDArray[np.float32], NDArray[Any]]:
        flat = examples.X.reshape(len(examples), -1)
        if self.problem.task == "classification":
            return flat, examples.y
        if self.problem.task == "regression":
            return flat, examples.y[:, 0]
        horizon = self.problem.n_outputs
        every = -(-len(flat) * horizon // MAX_STACKED_ROWS)
        chosen = [slice(step % every, None, every) for step in range(horizon)]
        X = np.concatenate([_with_step(flat[rows], step) for step, rows in enumerate(chosen)])
        return X, np.concatenate([examples.y[rows, step] for step, rows in enumerate(chosen)])


def _with_step(X: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    return np.column_stack([X, np.full(len(X), step, dtype=np.float32)])
