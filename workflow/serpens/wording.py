"""Numbers, times of day and verdicts in words."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from serpens.artefacts import Comparison, Estimate, Evaluation, ModelEvaluation, Subgroup
from serpens.metrics import METRICS, Metric

if TYPE_CHECKING:
    from serpens.changes import Change, Changes, RowChanges
    from serpens.dataartefacts import DataChanges
    from serpens.ledger import Use

ANSWERS = {True: "yes", False: "no", None: "undecided"}


def verdict(
    models: Mapping[str, ModelEvaluation],
    comparison: Comparison,
    helps: bool | None,
    deciding: Metric,
    meaningful: float,
    more: str = "",
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
    more
        How many further test rows would decide.
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
    decided_by = f" About {more} would decide, if it stays so." if more else ""
    return (
        f"Undecided: these test rows cannot tell whether {ours} is better than the best baseline, {theirs}: "
        f"{scores}, {gap}; {number(meaningful)} would matter.{decided_by}"
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
    """Return an estimate with its interval, where it has one."""
    if estimate.low is None and estimate.high is None:
        return number(estimate.value)
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def energy(watt_hours: float | None) -> str:
    """Return an energy in the unit that suits it."""
    if watt_hours is None:
        return "not measured"
    return f"{number(watt_hours)} Wh" if watt_hours < 1000 else f"{number(watt_hours / 1000)} kWh"


def time(iso: str) -> str:
    """Return a time in UTC to the minute."""
    return f"{iso[:10]} {iso[11:16]} UTC"


def answer_changed(changes: "Changes") -> str:
    """Return whether the answer is still the one of the evaluation before."""
    then, now = (ANSWERS[verdict.deep_learning_helps] for verdict in (changes.then, changes.now))
    if changes.flipped:
        return f"The answer has changed: it was {then}, it is {now}."
    return f"The answer is the same as before: {now}."


def causes(changes: "Changes") -> str:
    """Return what the evaluation was made from that changed, in a sentence."""
    counted = ((changes.settings, "setting"), (changes.code, "definition of the code"), (changes.libraries, "library"))
    parts = ["the data"] if changes.data else []
    parts += [_counted(len(each), noun) for each, noun in counted if each]
    parts += [
        f"{_counted(len(models), 'model')} {'has' if len(models) == 1 else 'have'} {how}"
        for models, how in ((changes.models_added, "come"), (changes.models_removed, "gone"))
        if models and not changes.settings
    ]
    if not parts:
        return "Nothing that is recorded changed: neither data, settings, code nor libraries."
    unchanged = [
        word
        for word, changed in (
            ("data", changes.data),
            ("settings", changes.settings),
            ("code", changes.code),
            ("libraries", changes.libraries),
        )
        if not changed
    ]
    same = f" {_listed(unchanged).capitalize()} stayed the same." if unchanged else ""
    return f"What changed: {_listed(parts)}.{same}"


def rows(changes: "RowChanges") -> str:
    """Return how many rows came, went and changed."""
    if not changes.followed:
        return (
            f"{changes.now:,} rows, before {changes.then:,}; rows are named by another column now, so that none can be "
            "followed"
        )
    total = f"{changes.now:,} rows" + (f", before {changes.then:,}" if changes.now != changes.then else ", as before")
    told = f"{total}: {changes.added:,} added, {changes.removed:,} removed"
    if changes.named_by == "content":
        return (
            f"{told}; without an id a row is known by what it holds, so that an altered one counts as one removed and "
            "one added"
        )
    if changes.altered is not None:
        told += f", {changes.altered:,} altered"
    else:
        told += "; how many were altered cannot be told, because the columns in use changed"
    return told


def share(part: float) -> str:
    """Return a share in percent: none, or with as many digits as it needs not to look like none or all."""
    if part in (0, 1):
        return f"{100 * part:.0f} %"
    return "< 0.1 %" if part < 0.001 else f"{min(100 * part, 99.9):.1f} %"


def collected_again(changes: "DataChanges") -> str:
    """Return how many rows came, went and changed since the data were collected before."""
    assert changes.then is not None
    then, now = changes.then.rows, changes.now.rows
    told = [f"{now:,} rows in use" + (f", before {then:,}" if now != then else ", as before")]
    if changes.added is not None:
        counted = [f"{changes.added:,} added", f"{changes.removed:,} removed"]
        counted += [f"{changes.changed:,} changed"] if changes.changed is not None else []
        told = [f"{told[0]}: {', '.join(counted)}"]
    return "; ".join([*told, *([changes.untold] if changes.untold else [])]) + "."


def worst(subgroup: Subgroup, evaluation: Evaluation) -> str:
    """Return where the best model is furthest behind what it does elsewhere, and how sure that is."""
    model, metric = evaluation.verdict.best_model, METRICS[evaluation.metric.name].label
    gap = subgroup.against_rest
    sure = "" if gap.high is not None and gap.high < 0 and subgroup.p_adjusted < 0.05 else ", which chance may explain"
    if gap.value is not None and gap.value >= 0:
        return f"In no subgroup is {model} worse than on the other test rows."
    return (
        f"{model} does worst where {subgroup.column} is {subgroup.level} ({subgroup.n:,} test rows): {metric} "
        f"{interval(subgroup.score)}, behind the other rows by {number(abs(gap.value or 0.0))}{sure}."
    )


def uses(used: "Use") -> str:
    """Return how often the test rows were read, and what that does to the scores."""
    if not used.readings:
        return "It is not on record: this study was evaluated before readings were written down."
    told = "Once, for this evaluation."
    if used.of_these > 1:
        told = f"{used.of_these} times, with {_counted(used.choices, 'different set')} of models and settings."
    if used.choices > 1:
        told += " Whoever changes models after a look at these scores, and keeps what scores best, flatters them."
    if (n_earlier := len(used.readings) - used.of_these) > 0:
        told += f" Other test rows of this study were read {'once' if n_earlier == 1 else f'{n_earlier} times'}."
    return f"{told} ledger.jsonl says when, and why."


def change(changed: "Change") -> str:
    """Return what something was and is."""
    if changed.then is None:
        return f"new: {changed.now}"
    return f"{changed.then} \N{RIGHTWARDS ARROW} {'gone' if changed.now is None else changed.now}"


def tone(gain: Estimate) -> str:
    """Return yes, no or open: whether a gain, a loss or neither is sure."""
    if gain.low is not None and gain.low > 0:
        return "yes"
    return "no" if gain.high is not None and gain.high < 0 else "open"


def _counted(n: int, noun: str) -> str:
    plural = {"library": "libraries", "definition of the code": "definitions of the code"}.get(noun, f"{noun}s")
    return f"{n} {noun if n == 1 else plural}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
