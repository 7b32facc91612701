"""The simulators that come with Serpens, by name; each module defines ``simulate(*, rows, seed, ...)``."""

SIMULATORS = {"qubit": "serpens.simulators.qubit"}

NUMBERS = {"qubit": 5}
"""Columns of numbers that each gives, the target among them: what a study needs is known before it is simulated."""
