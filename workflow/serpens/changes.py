"""What changed between two evaluations of a study: what they were made from, the scores, and the conclusion.

A score may move because other rows were tested. What the change did to a model is therefore told on the rows that both
evaluations tested with the same truth, paired, with the units of the claim.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serpens import evaluation, metrics, scoring
from serpens.artefacts import Estimate, Verdict
from serpens.history import Entry
from serpens.intervals import Units
from serpens.pieces import Columns
from serpens.recollection import NamedBy, named_by

Named = Mapping[str, Any]

# Inferred from the data, and told as a change of the data.
OF_DATA = ("column_types", "classes")


@dataclass(frozen=True)
class Change:
    """Something with a name that was ``then`` and is ``now``; None where it is not there at all."""

    name: str
    then: str | None
    now: str | None


@dataclass(frozen=True)
class RowChanges:
    """Rows then and now.

    Attributes
    ----------
    altered
        Rows of the same name that hold something else; None where that cannot be told, because the columns in use
        changed. Rows named by their content cannot be altered: one goes, another comes.
    followed
        Whether rows are named now as they were then; where not, every row seems to be another one.
    """

    then: int
    now: int
    added: int
    removed: int
    altered: int | None
    named_by: NamedBy
    followed: bool


@dataclass(frozen=True)
class ScoreChange:
    """A model's deciding metric then and now, each on all rows of its time, and its gain on the rows of both.

    Attributes
    ----------
    gain
        Above zero the model is better now, whatever the metric; None where no rows can be paired.
    """

    model: str
    baseline: bool
    then: Estimate
    now: Estimate
    gain: Estimate | None


@dataclass(frozen=True)
class Changes:
    """What changed since the evaluation before.

    Attributes
    ----------
    entry, time
        Name and time (ISO 8601, UTC) of the evaluation before.
    data
        Whether the cleaned rows, or what is known of their columns, differ.
    settings, inferred
        Keys of the study that somebody set, and those whose values followed from the data both times.
    models_added, models_removed
        Models that only one of the two evaluations has.
    n_paired
        Predictions of both evaluations, of the same row with the same truth.
    unit
        What is independent, for the gains.
    unpaired
        Why there is no gain; None where there is.
    """

    entry: str
    time: str
    data: bool
    rows: RowChanges
    columns: tuple[Change, ...]
    settings: tuple[Change, ...]
    inferred: tuple[Change, ...]
    code: tuple[Change, ...]
    libraries: tuple[Change, ...]
    metric: str
    scores: tuple[ScoreChange, ...]
    models_added: tuple[str, ...]
    models_removed: tuple[str, ...]
    n_paired: int
    unit: str
    unpaired: str | None
    then: Verdict
    now: Verdict

    @property
    def flipped(self) -> bool:
        """Whether the answer is another one."""
        return self.then.deep_learning_helps is not self.now.deep_learning_helps


def changes(previous: Entry, current: Entry) -> Changes:
    """Compare an evaluation with the one before it."""
    then, now = previous.evaluation, current.evaluation
    made_then, made_now = previous.made_from, current.made_from
    columns = tuple(_differing(_types(previous.study), _types(current.study)))
    shared = [name for name in now.models if name in then.models]
    unpaired = _why_unpaired(previous, current, shared)
    pairs = _Pairs.of(previous, current, shared[0]) if unpaired is None else None
    if pairs is not None and not len(pairs.now):
        unpaired, pairs = "no row was tested in both evaluations with the same truth", None
    gains = _gains(previous, current, shared, pairs) if pairs is not None else {}
    metric = now.metric.name
    differing = tuple(_nested(_comparable(previous.study), _comparable(current.study), ""))
    inferred = {*made_then.inferred} & {*made_now.inferred}
    return Changes(
        entry=previous.name,
        time=previous.time,
        data=made_then.data != made_now.data,
        rows=_rows(previous, current, columns_differ=bool(columns)),
        columns=columns,
        settings=tuple(change for change in differing if change.name not in inferred),
        inferred=tuple(change for change in differing if change.name in inferred),
        code=tuple(_differing(made_then.code, made_now.code)),
        libraries=tuple(_differing(made_then.libraries, made_now.libraries)),
        metric=metric,
        scores=tuple(
            ScoreChange(
                model=name,
                baseline=now.models[name].baseline,
                then=then.models[name].metrics[metric],
                now=now.models[name].score,
                gain=gains.get(name),
            )
            for name in shared
            if metric in then.models[name].metrics
        ),
        models_added=tuple(name for name in now.models if name not in then.models),
        models_removed=tuple(name for name in then.models if name not in now.models),
        n_paired=0 if pairs is None else len(pairs.now),
        unit="" if pairs is None else pairs.tested.name,
        unpaired=unpaired,
        then=then.verdict,
        now=now.verdict,
    )


def _differing(then: Named, now: Named) -> Iterator[Change]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield Change(name, then.get(name), now.get(name))


# --- rows and columns -------------------------------------------------------------------------------------------------


def _types(study: Named) -> dict[str, str]:
    """Return the type of each kept column, and the classes of the target where it has classes."""
    classes = {f"classes of {study['target']}": ", ".join(study["classes"])} if study["classes"] else {}
    return dict(study["column_types"]) | classes


def _rows(previous: Entry, current: Entry, *, columns_differ: bool) -> RowChanges:
    then, now = (dict(zip(e.rows["row"], e.rows["content"], strict=True)) for e in (previous, current))
    common = then.keys() & now.keys()
    return RowChanges(
        then=len(then),
        now=len(now),
        added=len(now.keys() - common),
        removed=len(then.keys() - common),
        # what a row holds is known over the columns in use: with other columns every row would seem altered
        altered=None if columns_differ and common else sum(then[name] != now[name] for name in common),
        named_by=named_by(current.study),
        followed=named_by(previous.study) == named_by(current.study)
        and all(previous.study[key] == current.study[key] for key in ("id", "time")),
    )


# --- settings ---------------------------------------------------------------------------------------------------------


def _comparable(study: Named) -> Any:
    return _by_name({name: value for name, value in study.items() if name not in OF_DATA})


def _by_name(value: Any) -> Any:
    """Return a value in which lists of what has a name, such as models, go by that name and not by their place."""
    if isinstance(value, Mapping):
        return {name: _by_name(each) for name, each in value.items()}
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "name" in each for each in value):
        return {each["name"]: _by_name({k: v for k, v in each.items() if k != "name"}) for each in value}
    return value


def _nested(then: Any, now: Any, name: str) -> Iterator[Change]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*then, *(key for key in now if key not in then)]:
            dotted = f"{name}.{key}" if name else key
            if key in then and key in now:
                yield from _nested(then[key], now[key], dotted)
            else:
                yield Change(dotted, *(_text(side[key]) if key in side else None for side in (then, now)))
    elif then != now:
        yield Change(name, _text(then), _text(now))


def _text(value: Any) -> str:
    """Return a setting as a reader of the configuration knows it, without what is not set."""
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items() if each not in (None, {}, []))
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else json.dumps(value)


# --- scores -----------------------------------------------------------------------------------------------------------


def _why_unpaired(previous: Entry, current: Entry, shared: Sequence[str]) -> str | None:
    then, now = previous.evaluation, current.evaluation
    if then.task != now.task:
        return f"the task was {then.task} and is {now.task}"
    if sorted(previous.study["classes"]) != sorted(current.study["classes"]):
        return "the classes are others"
    return None if shared else "no model is in both evaluations"


@dataclass(frozen=True)
class _Pairs:
    """The predictions that both evaluations made of the same row, with the same truth.

    Attributes
    ----------
    then, now
        Where they stand among the predictions of each evaluation, in the order of :func:`_of_repeat`.
    tested
        These rows and what they are independent by, with the folds of now.
    folds_then
        The fold that tested each row then.
    """

    then: NDArray[np.intp]
    now: NDArray[np.intp]
    tested: scoring.TestSet
    folds_then: NDArray[np.int64]

    @classmethod
    def of(cls, previous: Entry, current: Entry, model: str) -> "_Pairs":
        """Pair the rows by those of one model, since all models of an evaluation were tested on the same."""
        sides = [_of_repeat(entry, model, 0) for entry in (previous, current)]
        names_then, names_now = map(_names, sides)
        _, then, now = np.intersect1d(names_then, names_now, assume_unique=True, return_indices=True)
        truth_then, truth_now = (side["truth"].to_numpy()[at] for side, at in zip(sides, (then, now), strict=True))
        same = truth_then == truth_now
        then, now = then[same], now[same]
        paired = sides[1].iloc[now]
        truth, _ = evaluation.scored(_columns(paired), current.study["classes"])
        rows = {"fold": paired["split"].to_numpy()} | _units(paired, current)
        claim = current.study["test_on"]
        if len(now):
            tested = scoring.test_set(
                rows,
                truth,
                group=claim["new"],
                in_time=claim["after"] is not None,
                horizon=current.study["horizon"] or 0,
            )
        else:
            tested = scoring.TestSet(truth, Units.rows(0), "rows")
        return cls(then, now, tested, sides[0]["split"].to_numpy()[then])


def _of_repeat(entry: Entry, model: str, repeat: int) -> pd.DataFrame:
    """Return a model's predictions of one repeat, pooled over splits."""
    every = entry.predictions
    return every[(every["model"] == model) & (every["repeat"] == repeat)].sort_values("split", kind="stable")


def _names(predicted: pd.DataFrame) -> NDArray[Any]:
    """Return what each prediction is of: a row, or for a forecast an origin and a step."""
    if "origin" not in predicted:
        return predicted["row"].to_numpy().astype(str)
    return (predicted["origin"].astype(str) + " " + predicted["step"].astype(str)).to_numpy().astype(str)


def _units(paired: pd.DataFrame, current: Entry) -> dict[str, NDArray[Any]]:
    """Return the origin, group or time of each row, as far as the claim has one."""
    if "origin" in paired:
        return {"origin": paired["origin"].to_numpy()}
    kept = current.rows
    place = pd.Index(kept["row"]).get_indexer(pd.Index(paired["row"]))
    return {role: kept[role][place] for role in ("group", "time") if role in kept}


def _columns(predicted: pd.DataFrame) -> Columns:
    return {str(name): predicted[name].to_numpy() for name in predicted}


def _gains(previous: Entry, current: Entry, shared: Sequence[str], pairs: _Pairs) -> dict[str, Estimate]:
    """Return how much better each model is now on the paired rows."""
    deciding = metrics.METRICS[current.evaluation.metric.name]
    classes = current.study["classes"]
    seed = current.study["seed"]
    tested_then = replace(pairs.tested, fold_of_row=pairs.folds_then)
    now, then = (
        {
            name: scoring.scored_by(deciding, tested, repeats, seed=seed)
            for name, repeats in _by_model(entry, shared, at, classes).items()
        }
        for entry, at, tested in ((current, pairs.now, pairs.tested), (previous, pairs.then, tested_then))
    )
    sign = 1 if deciding.greater_is_better else -1
    units = pairs.tested.units
    return {name: scoring.as_estimate(scoring.difference(now[name], then[name], units, sign)) for name in shared}


def _by_model(
    entry: Entry, models: Sequence[str], at: NDArray[np.intp], classes: Sequence[str]
) -> dict[str, list[NDArray[np.float64]]]:
    every = entry.predictions
    repeats = {name: sorted(every.loc[every["model"] == name, "repeat"].unique()) for name in models}
    return {
        name: [
            evaluation.scored(_columns(_of_repeat(entry, name, each).iloc[at]), classes)[1] for each in repeats[name]
        ]
        for name in models
    }
