"""The JSON files that jobs hand to each other and to readers: their shapes, and how to read them.

JSON Schemas of these models stand in ``workflow/schemas/``; ``python -m serpens.artefacts`` writes them.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from serpens import io
from serpens.columnconfig import Decision, Outliers
from serpens.config import ColumnType, Resources, Study, Task


class Entry(BaseModel):
    """A frozen part of a JSON file, which knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Written(Entry):
    """A whole JSON file, to be written."""

    def write(self, path: io.PathLike) -> None:
        """Write the file."""
        io.write_json(path, self.model_dump(mode="json"))


class Artefact(Written):
    """A whole JSON file."""

    @classmethod
    def read(cls, path: io.PathLike) -> Self:
        """Read and check the file."""
        return cls.model_validate(io.read_json(path))


class SourcePart(Entry):
    """One of several files of a table."""

    origin: str
    bytes: int
    sha256: str
    rows: int


class JoinAccount(Entry):
    """How another table was joined to the main one."""

    origin: str
    bytes: int
    sha256: str
    on: dict[str, str]
    """Columns of the main table, each with the one of the other table that equals it."""
    unmatched: Literal["refuse", "drop", "keep"]
    """What became of rows of the main table without one in the other."""
    rows_matched: int
    rows_unmatched: int
    """Rows of the main table."""
    other_matched: int
    other_unmatched: int
    """Rows of the other table; those that nothing matched are in no result."""


class Source(Artefact):
    """`source.json`: where the data come from."""

    kind: Literal["file", "url", "storage", "openml", "huggingface", "simulator"]
    origin: str
    """Path or address of the file, without secrets, or the simulator with its arguments; the first, of several."""
    bytes: int
    sha256: str
    """Of the file's bytes, or of the simulated values; of the digests of several files, in their order."""
    time: str
    """When the data were collected; ISO 8601, UTC."""
    rows: int
    columns: int
    parts: tuple[SourcePart, ...] = ()
    """The files, where there are several."""
    transposed: str | None = None
    """What the column is called that held the header before rows and columns changed places."""
    joined: tuple[JoinAccount, ...] = ()
    license: str | None = None
    citation: str | None = None
    cohort: "Source | None" = None
    """The outside cohort that a model is tested on."""


class RowAccount(Entry):
    """Where every row went: ``read + inserted = kept + dropped``."""

    read: int
    kept: int
    inserted: int
    """Rows without values, where a series had a gap."""
    dropped: dict[str, int]
    """Rows by the reason why they were dropped, in the order in which the reasons were looked at."""
    duplicates: int
    """Kept rows that repeat another one exactly; they are on its side of every split."""


class Histogram(Entry):
    """How numbers are distributed."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class ColumnReading(Entry):
    """How the values of a column are read; those of rows that come later too."""

    type: Literal["number", "category", "time", "text"]
    collected: Literal["text", "levels", "boolean", "number", "time"]
    """What it held as it was collected; `levels` are words that the file itself declares to be those of a category."""
    format: str | None = None
    """How times are written."""
    said: dict[str, Any] = {}
    """What the study says of its values: ranges, units, spellings and so on."""


class ColumnAccount(Entry):
    """What a column is, and whether it was kept; what does not apply is null."""

    name: str
    role: Literal["target", "feature", "id", "group", "time", "weight", "split"]
    kept: bool
    reason: str | None
    """Why the column was not kept."""
    type: ColumnType | None = None
    how: Literal["inferred", "declared"] | None = None
    reading: ColumnReading | None = None
    """Null where the column is not read."""
    missing_words: dict[str, int] = {}
    """Words that were read as missing, and how often they stand there."""
    missing: int | None = None
    distinct: int | None = None
    distinct_exact: bool = True
    """Whether different values were counted; of many their number is estimated, to 1.6 % (standard error)."""
    min: float | str | None = None
    """Least number, or first time."""
    max: float | str | None = None
    mean: float | None = None
    sd: float | None = None
    histogram: Histogram | None = None
    levels: tuple[tuple[str, int], ...] | None = None
    """The most frequent levels of a category, and how often they occur."""
    spellings: tuple[tuple[str, ...], ...] = ()
    """Levels that differ in capitals, accents or spaces alone, and may be one; reported, not changed."""
    done: tuple[str, ...] = ()
    """What was done to its values, in words, such as `3 values clipped to 0 to 120`."""
    personal: Decision | None = None
    """What the study says of a column about people; of one that is kept no value is told."""


class PersonalFinding(Entry):
    """A column that looks personal; see :mod:`serpens.personal`."""

    column: str
    kind: str
    share: float
    """Of the distinct values that were looked at."""
    example: str
    """Masked."""
    how: Literal["values", "name and values"]
    decision: Decision


class Cleaning(Artefact):
    """`cleaning.json`: the account of every row and column."""

    rows: RowAccount
    columns: tuple[ColumnAccount, ...]
    personal: tuple[PersonalFinding, ...] = ()
    """Columns that look personal, and what the study decided."""
    key: str | None = None
    """Fingerprint of the key that columns were hashed with; null where none was."""


class CollectedColumn(Entry):
    """A column of a kept collection."""

    role: str
    type: ColumnType
    missing: int
    mean: float | None
    personal: bool
    """Whether none of its values is kept."""
    step: float = 0.0
    """By how much its distribution may be wrong, because it is kept at some points alone."""


class Collection(Artefact):
    """`collections/{entry}/collection.json`: a collection, as the next one is compared with it."""

    source: str
    """sha256 of what was collected."""
    time: str
    """When; ISO 8601, UTC."""
    bytes: int
    rows_read: int
    rows: int
    """Cleaned rows."""
    named_by: str
    """What a row is known by: `id`, `time` or `content`, and the columns that say it."""
    key: str | None
    """Fingerprint of the key that columns were hashed with."""
    digests: str
    """How rows were digested."""
    columns: dict[str, CollectedColumn]
    """The columns in use."""


class Collected(Entry):
    """A collection in the account of what changed."""

    time: str
    bytes: int
    rows_read: int
    rows: int


class ColumnDrift(Entry):
    """How far the values of a column moved; what cannot be told is null."""

    name: str
    role: str
    type: ColumnType
    missing_then: float
    """Share of the rows."""
    missing_now: float
    mean_then: float | None
    mean_now: float | None
    measure: Literal["Kolmogorov-Smirnov", "total variation"] | None
    """Of numbers and times, of categories; each is 0 for the same distribution and 1 for two that have nothing in
    common."""
    distance: float | None
    by_chance: float | None
    """What samples of one source exceed once in a hundred times, with as many rows in common as here."""
    new_levels: dict[str, int] = {}
    """Levels that were not there, the most frequent ones, and how often they are."""
    lost_levels: dict[str, int] = {}
    n_new: int = 0
    n_lost: int = 0

    @property
    def beyond_chance(self) -> bool:
        """Whether the values moved further than chance does."""
        return self.distance is not None and self.by_chance is not None and self.distance > self.by_chance


class DataChanges(Artefact):
    """`data/changes.json`: what changed since the data were last collected."""

    then: Collected | None
    """The collection before; null for the first one."""
    now: Collected
    added: int | None = None
    """Rows whose name is new; null where rows cannot be followed."""
    removed: int | None = None
    changed: int | None = None
    """Rows of the same name that hold something else in the columns in use."""
    untold: str | None = None
    """Why rows cannot be followed, or not be told to have changed."""
    columns_added: tuple[str, ...] = ()
    """Columns in use that were not."""
    columns_removed: tuple[str, ...] = ()
    columns_retyped: tuple[str, ...] = ()
    drift: tuple[ColumnDrift, ...] = ()
    """Of each column that was in use both times with the same type."""


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
    treated: dict[str, Treated] = {}
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
    parts: dict[str, PartAccount] = {}
    """The rows of each part, and of what is left out of all of them."""
    selection: dict[str, Judged] = {}
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
    unit: str
    """What was resampled."""


class RunScore(Entry):
    """The deciding metric of one training, on the test rows of its split."""

    split: int
    repeat: int
    score: float | None


class Spread(Entry):
    """Standard deviation of the deciding metric between repeats and between splits; null where there is but one."""

    repeats: float | None
    splits: float | None


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
    text: str


class Evaluation(Artefact):
    """`evaluation.json`: what every model is worth, and what that says."""

    study: str
    task: Task
    test_on: str
    metric: DecidingMetric
    n_test: int
    n_groups: int | None
    interval: IntervalMethod
    models: dict[str, ModelEvaluation]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict

    @property
    def decisive(self) -> Comparison:
        """The comparison that the verdict rests on."""
        pair = self.verdict.best_model, self.verdict.best_baseline
        return next(c for c in self.comparisons if (c.model, c.against) == pair)


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
