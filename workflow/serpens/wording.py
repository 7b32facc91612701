"""Numbers, times and verdicts in words."""

import math
from collections.abc import Mapping

from serpens.artefacts import Comparison, Estimate, ModelEvaluation
from serpens.metrics import Metric


def verdict(
    models: Mapping[str, ModelEvaluation],
    comparison: Comparison,
    helps: bool | None,
    deciding: Metric,
    meaningful: float,
) -> str:
    """Return the verdict as a sentence that its numbers support.

    Parameters
    ----------
    comparison
        Best model against best baseline.
    helps
        True, False, or None for undecided.
    meaningful
        The smallest difference that would matter.
    """
    ours, theirs, difference = comparison.model, comparison.against, comparison.difference
    scores = f"{deciding.label} {number(models[ours].score.value)} against {number(models[theirs].score.value)}"
    gap = (
        f"an advantage of {number(difference.value)} (95 % interval {number(difference.low)} "
        f"to {number(difference.high)})"
    )
    high = math.inf if difference.high is None else difference.high
    if helps:
        small = ", but less than what would matter" if high < meaningful else ""
        return f"Yes: {ours} predicts better than the best baseline, {theirs}: {scores}, {gap}{small}."
    if helps is False:
        how = "is worse than" if high < 0 else "does not improve, by as much as would matter, on"
        return f"No: {ours} {how} the best baseline, {theirs}: {scores}, {gap}; {number(meaningful)} would matter."
    return (
        f"Undecided: these test rows cannot tell whether {ours} is better than the best baseline, {theirs}: "
        f"{scores}, {gap}; {number(meaningful)} would matter."
    )


def number(value: float | None) -> str:
    """Return a number with three significant digits, or all before the point, as a reader wants it."""
    if value is None:
        return "not defined"
    if abs(value) >= 999.5:
        return f"{value:,.0f}".replace("-", "\N{MINUS SIGN}")
    # more digits where three would round a score to a perfect 1
    digits = next((d for d in range(3, 7) if value == 1 or float(f"{value:.{d}g}") != 1), 7)
    return f"{value:#.{digits}g}".rstrip(".").replace("-", "\N{MINUS SIGN}")


def interval(estimate: Estimate) -> str:
    """Return an estimate with its interval."""
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def seconds(value: float) -> str:
    """Return a time in the unit that suits it."""
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"
