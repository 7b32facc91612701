"""The model families and where each lives; a family's module is imported only when it is used.

A family module defines either

- ``build(problem, **settings) -> torch.nn.Module``, trained by :mod:`serpens.training`, or
- ``Estimator(problem, **settings)`` with ``fit(train, validation)``, ``predict(X)``, ``state()`` and
  ``restore(state)``, for models that need no gradient loop.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

NETWORKS = "serpens.networks"
"""What trains and restores the networks that ``build`` makes; it imports torch, which other families do without."""


def networks() -> ModuleType:
    """Import what trains and restores networks."""
    return import_module(NETWORKS)


@dataclass(frozen=True)
class Family:
    """Where a family lives, and what the planner must know of it without importing it.

    Attributes
    ----------
    module
        Module that defines ``build`` or ``Estimator``.
    network
        Whether it is a PyTorch network, trained by gradient descent (and so may ask for a GPU).
    chance
        Whether two trainings with different seeds differ; one without chance runs once.
    """

    module: str
    network: bool
    chance: bool

    def load(self) -> ModuleType:
        """Import the family's module."""
        return import_module(self.module)


FAMILIES = {
    "trivial": Family("serpens.models.trivial", network=False, chance=False),
    "linear": Family("serpens.models.linear", network=False, chance=False),
    "boosted_trees": Family("serpens.models.boosted_trees", network=False, chance=False),
    "mlp": Family("serpens.models.mlp", network=True, chance=True),
    "cnn": Family("serpens.models.cnn", network=True, chance=True),
    "custom": Family("serpens.models.custom", network=True, chance=True),
}
