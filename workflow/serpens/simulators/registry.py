"""The simulators that come with Serpens, by name; each module defines ``simulate(*, rows, seed, ...)``."""

SIMULATORS = {"qubit": "serpens.simulators.qubit"}
