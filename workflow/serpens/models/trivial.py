"""What anyone can predict without learning: class frequencies, the mean, the last value, the same season last year."""

import numpy as np
from numpy.typing import NDArray

from serpens.data import Examples, Problem
from serpens.errors import ConfigurationError

STRATEGIES = {
    "classification": ("most_frequent",),
    "regression": ("mean",),
    "forecasting": ("last_value", "season", "mean"),
}


class Estimator:
    """Predict the same for every row, or repeat a series' own past.

    Parameters
    ----------
    strategy
        ``most_frequent`` predicts the classes' frequencies in training, and so the most frequent class; ``mean`` the
        mean of training; ``last_value`` persistence; ``season`` the value one season before. None takes what the
        task allows, ``season`` where the series has one.

    Raises
    ------
    ConfigurationError
        If the strategy does not fit the task.
    """

    def __init__(self, problem: Problem, *, strategy: str | None) -> None:
        allowed = STRATEGIES[problem.task]
        default = "season" if problem.season else allowed[0]
        self.strategy = strategy or default
        if self.strategy not in allowed:
            words = ", ".join(allowed)
            msg = f"strategy {self.strategy!r} of family trivial does not fit {problem.task}; allowed: {words}"
            raise ConfigurationError(msg)
        if self.strategy == "season" and not 0 < problem.season <= problem.history:
            msg = (
                f"strategy 'season' needs a season of at most history = {problem.history} rows; "
                f"season is {problem.season}: set season, or a longer history"
            )
            raise ConfigurationError(msg)
        self.problem = problem
        self.constant_ = np.zeros(problem.n_outputs)

    def fit(self, train: Examples, validation: Examples) -> None:
        """Learn the constant; validation rows are not needed."""
        weight = np.ones(len(train)) if train.weight is None else train.weight.astype(np.float64)
        if self.problem.task == "classification":
            counts = np.bincount(train.y, weights=weight, minlength=self.problem.n_outputs)
            self.constant_ = counts / counts.sum()
        elif self.strategy == "mean":
            self.constant_ = np.average(train.y, axis=0, weights=weight).astype(np.float64)

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities or standardised values ``(n, n_outputs)``."""
        if self.strategy == "season":
            ahead = np.arange(self.problem.n_outputs) % self.problem.season
            place = self.problem.history - self.problem.season + ahead
            return X[:, place].astype(np.float64)
        return np.broadcast_to(self.constant_, (len(X), len(self.constant_))).copy()

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what was learned."""
        return {"constant": self.constant_}

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Take back what was learned."""
        self.constant_ = state["constant"]

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return 0 if self.strategy in ("season", "last_value") else self.constant_.size
