"""The JSON files that jobs hand to each other and to readers: their shapes, and how to read them.

JSON Schemas of these models stand in ``workflow/schemas/``; ``python -m serpens.artefacts`` writes them.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from serpens import io
from serpens.artefacttypes import Artefact, Entry, Written
from serpens.columnconfig import Outliers
from serpens.config import ColumnType, Resources, Study, Task
from serpens.dataartefacts import Cleaning, Collection, DataChanges, Source


class Treated(Entry):
    """How many values of a part were not used as they stand."""

    filled: int = 0
    """Missing ones that got a value."""
    outside: int = 0
    """Numbers outside the fences: kept, clipped or flagged, as the column's `outliers` says."""
    unlisted: int = 0
    """Values of a category that are none of its levels, being rare in training or not seen there: they became zeros."""


class Feature(Entry):
    """One input column, and what was learned of it on training rows."""

    name: str
    type: Literal["number", "category", "time"]
    center: float = 0.0
    """Mean of the training rows (of days since 1970 for a time)."""
    scale: float = 1.0
    """Standard deviation of the training rows; 1 where it is 0."""
    impute: Literal["median", "mean", "mode", "zero", "level", "forward_fill"] = "median"
    """What stands for a missing value; of a category `level` is one of its own."""
    fill: float = 0.0
    """Number that stands for a missing one, learned on the training rows."""
    fill_level: str | None = None
    """Level that stands for a missing one, with `mode`."""
    indicator: bool = False
    """Whether a further input says that the value was missing (it was, in some training row)."""
    outliers: Outliers = "keep"
    """What is done with a number outside the fences; `flag` makes a further input of it."""
    low: float | None = None
    """Lower fence: the first quartile of the training rows less 3 interquartile ranges; null where these are 0."""
    high: float | None = None
    """Upper fence: the third quartile and 3 interquartile ranges."""
    levels: tuple[str, ...] = ()
    """Levels of a category seen in training, the most frequent ones; any other becomes zeros."""
    treated: dict[str, Treated] = Field(default={})
    """By part, where there was anything to treat."""


class Target(Entry):
    """What is predicted."""

    name: str
    classes: tuple[str, ...] = ()
    """Classes in the order of their codes; with two, the positive one is last. Empty for numbers."""
    center: float = 0.0
    """Subtracted from the target before training."""
    scale: float = 1.0
    """Divides the target before training, in units of the target."""


class Series(Entry):
    """How a series is cut into windows; all lengths in rows of the regular series."""

    time: str
    horizon: int
    history: int
    season: int = 0


class ImageShape(Entry):
    """How feature columns, in their order, fill an image."""

    shape: tuple[int, int, int]
    """Channels, height, width."""


class PartAccount(Entry):
    """How many rows a part has."""

    rows: int
    fraction: float
    """Of all cleaned rows. Whole groups are dealt, so it may be far from what was asked for."""
    asked: float | None = None
    """The fraction that was asked for; null where the rows decide."""


class Judged(Entry):
    """What selection found of a column in the training rows."""

    kept: bool
    statistic: float | None
    """Variance; or F of the association with the target; null where there is none."""
    q: float | None = None
    """Share of false ones among the columns at least as strong, at most (Benjamini and Hochberg)."""


class Schema(Artefact):
    """`schema.json`: the columns of one split, and what was learned of them on its training rows alone."""

    task: Task
    target: Target
    features: tuple[Feature, ...]
    """Inputs in their order; for a forecast the further series, each known up to the origin only."""
    image: ImageShape | None = None
    series: Series | None = None
    weight: str | None = None
    """Column of the rows' weights."""
    n_train: int
    """Training rows from which all of this was learned."""
    parts: dict[str, PartAccount] = Field(default={})
    """The rows of each part, and of what is left out of all of them."""
    selection: dict[str, Judged] = Field(default={})
    """What selection found, by column."""

    def applied(self) -> "Schema":
        """Return what is needed to apply the schema to rows, without the account of how it came about."""
        features = tuple(feature.model_copy(update={"treated": {}}) for feature in self.features)
        return self.model_copy(update={"features": features, "parts": {}, "selection": {}})


class Digest(Artefact):
    """`digest.json`: what later jobs depend on."""

    sha256: str
    """Of the cleaned rows and what is known of their columns."""
    rows: int
    task: Task
    classes: tuple[str, ...]
    columns: dict[str, dict[str, str]]
    """Role and type of each kept column."""


class ModelDescription(Artefact):
    """`model.json`: what, with the weights beside it, makes the model again."""

    name: str
    architecture: dict[str, Any]
    """Family, settings and problem, as :func:`serpens.fitting.restore` reads them."""
    data: Schema
    parameters: int
    seed: int


class Estimate(Entry):
    """A figure and its interval; null where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class DecidingMetric(Entry):
    """What decides."""

    name: str
    greater_is_better: bool
    meaningful_difference: float
    """The smallest difference that matters, in units of the metric."""


class IntervalMethod(Entry):
    """How the intervals were made."""

    level: float
    method: str
    """Of the metric that decides."""
    methods: dict[str, str] = Field(default={})
    """Of each metric; see `serpens.intervals`."""
    unit: str
    """What is taken to be independent: rows, groups, or blocks of consecutive times."""
    conditions_on: str = ""
    """What the intervals take as given; how much that varies stands in `spread`."""


class RunScore(Entry):
    """The deciding metric of one training, on the test rows of its split."""

    split: int
    repeat: int
    score: float | None


class Spread(Entry):
    """What chance adds to the deciding metric, as standard deviations; null where it cannot be told."""

    rows: float | None = None
    """By the test rows: the standard error of the score."""
    repeats: float | None
    """Between trainings that differ by chance alone; null where there is one."""
    splits: float | None
    """Between folds; null where there is one split."""


class Conformal(Entry):
    """Sets of classes, or intervals, that calibration rows make to hold the truth of a share of new rows."""

    nominal: float
    """The share that was asked for."""
    coverage: Estimate
    """Share of the test rows whose truth they hold."""
    size: float | None
    """Mean number of classes in a set, or width of an interval; null where there are too few calibration rows."""


class ModelEvaluation(Entry):
    """What a model is worth."""

    family: str
    baseline: bool
    score: Estimate
    """The deciding metric: mean over the repeats."""
    ensemble: Estimate
    """The deciding metric of the repeats' averaged prediction."""
    metrics: dict[str, Estimate]
    validation_score: float
    """Mean of the deciding metric over all trainings, on validation rows."""
    parameters: int
    spread: Spread
    calibration_slope: Estimate | None = None
    """How much the truth moves when a prediction does: 1 where predictions mean what they say. Null in forecasts, for
    more than two classes, and where it is not defined."""
    conformal: Conformal | None = None
    """Null without calibration rows."""
    repeats: tuple[RunScore, ...]


class Comparison(Entry):
    """A model against a baseline on the same test rows; above zero the model is better, whatever the metric."""

    model: str
    against: str
    test: str
    difference: Estimate
    p_value: float
    p_adjusted: float


class Verdict(Entry):
    """The answer; best model and best baseline were chosen on validation rows."""

    best_model: str
    best_baseline: str
    deep_learning_helps: bool | None
    """Null: these test rows cannot tell."""
    detectable_difference: float | None = None
    """The smallest difference of these two that test rows such as these would show in 80 of 100 cases."""
    more_rows: int | None = None
    """How many further test rows (of a forecast: predictions) would decide, if the difference stays what it is; null
    where it is decided."""
    text: str


class Subgroup(Entry):
    """The best model and the best baseline on the test rows of one subgroup."""

    column: str
    level: str
    """A value of the column, or a range of its numbers; missing values are a subgroup too."""
    n: int
    score: Estimate
    """Of the best model, by the metric that decides; null where the subgroup cannot be scored."""
    baseline: Estimate
    """Of the best baseline."""
    coverage: Estimate | None = None
    """Share of the rows whose truth the best model's sets or intervals hold; null without calibration rows."""
    against_rest: Estimate
    """By how much the best model is better here than on all other rows of the test; below zero it is worse."""
    p_value: float
    p_adjusted: float
    """Corrected for the number of subgroups."""


class Evaluation(Artefact):
    """`evaluation.json`: what every model is worth, and what that says."""

    study: str
    task: Task
    test_on: str
    metric: DecidingMetric
    n_test: int
    n_by_class: dict[str, int] = Field(default={})
    """Test rows of each class; empty for values."""
    n_groups: int | None
    interval: IntervalMethod
    models: dict[str, ModelEvaluation]
    comparisons: tuple[Comparison, ...]
    subgroups: tuple[Subgroup, ...] = ()
    """In the order of the study's columns, each by its levels."""
    verdict: Verdict

    @property
    def decisive(self) -> Comparison:
        """The comparison that the verdict rests on."""
        pair = self.verdict.best_model, self.verdict.best_baseline
        return next(c for c in self.comparisons if (c.model, c.against) == pair)

    @property
    def worst_subgroup(self) -> Subgroup | None:
        """The one in which the best model is furthest behind what it does elsewhere; None where none is told."""
        told = [each for each in self.subgroups if each.against_rest.value is not None]
        return min(told, key=lambda each: each.against_rest.value or 0.0, default=None)


class ResolvedStudy(Study, Written):  # a study has a key called read
    """`study.json`: a study with every default, and everything that was inferred from its data."""

    resources: Resources = Field(default=Resources(), exclude=True)
    """Not written: what the machine gave stands in the records."""
    name: str
    classes: tuple[str, ...]
    """Classes in the order of their codes; with two, the positive one is last. Empty for numbers."""
    n_splits: int
    column_types: dict[str, ColumnType]
    """Types of the kept columns."""


# Records outlive the version of Serpens that wrote them: what a later one no longer knows, it leaves alone.
OUTLIVING = ConfigDict(extra="ignore")


class CodeRecord(Entry):
    """What a job ran: see :mod:`serpens.codedigest`."""

    model_config = OUTLIVING

    sha256: str
    """Of all definitions that its script reaches, and of the libraries that they import."""
    definitions: dict[str, str]
    """The digest of each definition; 8 hexadecimal digits."""


class OutputRecord(Entry):
    """A file as a job left it."""

    model_config = OUTLIVING

    sha256: str
    bytes: int


class GpuUsage(Entry):
    """What a training took of the GPUs that it held; null where it was not measured."""

    model_config = OUTLIVING

    devices: tuple[str, ...]
    """Their names."""
    peak_memory_mb: float | None
    """Most memory in use, on the fullest one, in 10^6 bytes."""
    utilisation: float | None
    """Share of the time in which they computed."""
    energy_wh: float | None
    """Of the whole devices together, in watt hours."""
    how: str
    """How the energy was measured, or why not."""


class Record(Artefact):
    """`records/`: what a job was made from, where it ran, and what it took."""

    model_config = OUTLIVING

    rule: str
    wildcards: dict[str, str]
    key: str
    """sha256 of what the job was made from: rule, code, libraries, settings and inputs."""
    inputs: dict[str, str]
    """sha256 of each file that was read."""
    outputs: dict[str, OutputRecord]
    """Each file that was written."""
    settings: dict[str, Any]
    code: CodeRecord
    libraries: dict[str, str]
    """Versions of what the code imports; another version makes the job run again."""
    threads: int
    versions: dict[str, str]
    """Versions of all that a reader may want to install."""
    host: str
    machine: str
    start: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time of the job's own work."""
    cpu_seconds: float | None = None
    """Processor time of the same; null in the records of earlier versions."""
    peak_memory_mb: float
    """Largest resident memory, in 10^6 bytes."""
    device: str | None = None
    """Where a model was trained."""
    gpus: tuple[str, ...] = ()
    """The devices that the training held, by their UUID or as the scheduler named them."""
    gpu_usage: GpuUsage | None = None
    """What it took of them; null where it held none."""
    processes: int = 1
    """How many trained a model together."""
    nodes: int = 1
    """How many machines they were on."""
    micro_batch: int | None = None
    """Most rows that the memory of a device held at once, where it did not hold a whole batch of the training."""


class MadeFrom(Artefact):
    """`history/{entry}/made_from.json`: what a kept evaluation was made from, over all of its jobs."""

    data: str
    """sha256 of the cleaned rows and what was known of their columns."""
    code: dict[str, str]
    """The digest of each definition that a job reached; several where jobs differ."""
    libraries: dict[str, str]
    """The version of each library that the code imports; several where jobs differ."""
    inferred: tuple[str, ...]
    """Keys of the study that nobody set: their values followed from the data."""


MODELS: dict[str, type[Written]] = {
    "source": Source,
    "cleaning": Cleaning,
    "collection": Collection,
    "changes": DataChanges,
    "digest": Digest,
    "schema": Schema,
    "model": ModelDescription,
    "evaluation": Evaluation,
    "study": ResolvedStudy,
    "record": Record,
    "made_from": MadeFrom,
}


def write_schemas(folder: Path) -> None:
    """Write the JSON Schema of every artefact into a folder."""
    for name, model in MODELS.items():
        io.write_json(folder / f"{name}.schema.json", model.model_json_schema())


if __name__ == "__main__":
    write_schemas(Path(__file__).resolve().parents[1] / "schemas")
