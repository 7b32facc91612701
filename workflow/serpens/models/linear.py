"""Logistic regression and ridge; the strength of the penalty is chosen on validation rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from serpens.data import Examples, Problem

MAX_ITERATIONS = 5000


class Estimator:
    """A linear model with an L2 penalty.

    Parameters
    ----------
    strengths
        Penalties to choose from: scikit-learn's ``alpha`` for values, ``1 / C`` for classes.
    """

    def __init__(self, problem: Problem, *, strengths: tuple[float, ...]) -> None:
        self.problem = problem
        self.strengths = strengths
        self.coefficients_ = np.zeros((0, 0))
        self.intercept_ = np.zeros(0)

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit for every strength and keep the one with the least validation loss."""
        X, X_validation = _flat(train.X), _flat(validation.X)
        best = np.inf
        for strength in self.strengths:
            model = self._fitted(strength, X, train)
            coefficients, intercept = self._full(model)
            loss = self._loss(_outputs(X_validation, coefficients, intercept), validation)
            if loss < best:
                best, self.coefficients_, self.intercept_ = loss, coefficients, intercept

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities or standardised values ``(n, n_outputs)``."""
        outputs = _outputs(_flat(X), self.coefficients_, self.intercept_)
        return _softmax(outputs) if self.problem.task == "classification" else outputs

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what was learned."""
        return {"coefficients": self.coefficients_, "intercept": self.intercept_}

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Take back what was learned."""
        self.coefficients_, self.intercept_ = state["coefficients"], state["intercept"]

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return self.coefficients_.size + self.intercept_.size

    def _fitted(self, strength: float, X: NDArray[np.float64], train: Examples) -> Any:
        if self.problem.task == "classification":
            model = LogisticRegression(C=1 / strength, max_iter=MAX_ITERATIONS)
        else:
            model = Ridge(alpha=strength)
        return model.fit(X, train.y, sample_weight=train.weight)

    def _full(self, model: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return coefficients ``(d_in, n_outputs)`` and intercept ``(n_outputs,)``, one output a class."""
        coefficients = np.atleast_2d(model.coef_).T
        intercept = np.broadcast_to(model.intercept_, coefficients.shape[1]).astype(np.float64)
        if self.problem.task != "classification":
            return coefficients, intercept
        if coefficients.shape[1] == 1:
            # two classes share one score: zero for the first class, the score for the second
            coefficients = np.hstack([np.zeros_like(coefficients), coefficients])
            intercept = np.array([0.0, intercept[0]])
        return coefficients, intercept

    def _loss(self, outputs: NDArray[np.float64], validation: Examples) -> float:
        if self.problem.task == "classification":
            chosen = _softmax(outputs)[np.arange(len(outputs)), validation.y]
            losses = -np.log(np.maximum(chosen, np.finfo(np.float64).tiny))
        else:
            losses = ((outputs - validation.y) ** 2).mean(axis=1)
        return float(np.average(losses, weights=validation.weight))


def _flat(X: NDArray[np.float32]) -> NDArray[np.float64]:
    return X.reshape(len(X), -1).astype(np.float64)


def _outputs(
    X: NDArray[np.float64], coefficients: NDArray[np.float64], intercept: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(X @ coefficients + intercept, dtype=np.float64)


def _softmax(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
