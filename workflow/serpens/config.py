"""The study configuration: every key with its type, range, unit, default and meaning.

With :mod:`serpens.dataconfig`, :mod:`serpens.readconfig`, :mod:`serpens.columnconfig` and
:mod:`serpens.modelconfig` this is the only place where they are written; the JSON Schema and
``docs/configuration.md`` are made from it. It is imported each time Snakemake plans, so it imports nothing heavy, and
it opens no file: what the files say is checked in :mod:`serpens.planning`, line numbers and spelling in
:mod:`serpens.configfile`.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from serpens.columnconfig import Clean, Column, ColumnType, Decision, Image, Select
from serpens.configtypes import (
    Contradiction,
    Count,
    Level,
    LocalPath,
    Name,
    Positive,
    Section,
    Seed,
    Share,
    ShareOrNone,
    TableFile,
    Text,
    Whole,
    choice,
    or_text,
)
from serpens.dataconfig import Data
from serpens.errors import listed
from serpens.modelconfig import (
    CNN,
    MLP,
    AnyModel,
    BoostedTrees,
    Custom,
    Linear,
    Model,
    Resources,
    Training,
    TrainingOverrides,
    Trivial,
)
from serpens.readconfig import Read

__all__ = [
    "CNN",
    "MLP",
    "BoostedTrees",
    "Claim",
    "Column",
    "ColumnType",
    "Custom",
    "Data",
    "Image",
    "Linear",
    "Model",
    "Project",
    "Read",
    "Resources",
    "Split",
    "Study",
    "Task",
    "Training",
    "TrainingOverrides",
    "Trivial",
    "training_of",
]

Task = Literal["classification", "regression", "forecasting"]
ClassMetric = Literal[
    "accuracy",
    "balanced_accuracy",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier_score",
]
ValueMetric = Literal["rmse", "mae", "median_absolute_error", "r2"]


class Claim(Section):
    """What the test rows stand for, and so how the data are split: `new rows`, or some of these keys."""

    model_config = or_text("new rows")

    new: Text | None = None
    """Column of groups: no value of it is on both sides, so the claim is about new groups."""
    after: Text | None = None
    """Column of times: all test rows are later than all training rows."""
    column: Text | None = None
    """Column that says of each row `train`, `validation`, `calibration` or `test`."""
    file: TableFile | None = None
    """Path of an outside cohort with the same columns: all its rows are test rows, no other is."""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given != "new rows":
            raise ValueError(
                f"must be new rows, {{new: <column>}}, {{after: <column>}}, {{column: <column>}} or "
                f"{{file: <path>}}, found {given!r}"
            )
        return {}

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        given = [key for key in ("column", "file", "new", "after") if getattr(self, key) is not None]
        if len(given) > 1 and given[0] in ("column", "file"):
            yield tuple(given), f"{given[0]} says already which rows are tested; drop {listed(given[1:])}"
        if self.new is not None and self.new == self.after:
            yield ("new", "after"), f"new and after both name {self.new!r}; a later time is a new one: drop new"

    @property
    def can_fold(self) -> bool:
        """Whether any row may be a test row, so that folds can test each once."""
        return self.after is None and self.column is None and self.file is None

    @property
    def words(self) -> str:
        """The claim as a phrase for reports, such as ``new values of patient``."""
        if self.column is not None:
            return f"the rows marked in {self.column}"
        if self.file is not None:
            return f"the rows of {self.file}"
        groups = f"new values of {self.new}" if self.new is not None else ""
        times = f"later values of {self.after}" if self.after is not None else ""
        return " at ".join(filter(None, (groups, times))) or "new rows"


class Split(Section):
    """How many rows are held out. Either `folds`, where each row is tested once, or the fraction `test`."""

    folds: Annotated[Whole, Field(ge=2, le=20)] | None = None
    """Number of folds; each is the test part once."""
    validation: Share = 0.15
    """Fraction of all rows on which training stops and models are chosen."""
    calibration: ShareOrNone = 0.1
    """Fraction of all rows kept for calibration; may be 0."""
    test: Share = 0.2
    """Fraction of all rows that are scored, once, at the end; with folds it is 1/folds."""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("test") is None:
            folds = given.get("folds")
            if isinstance(folds, int) and folds >= 2:
                return given | {"test": 1 / folds}
        return given

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        if self.folds is not None and self.test != 1 / self.folds:
            yield ("test", "folds"), f"with {self.folds} folds the test fraction is 1/{self.folds}; drop test"
        held_out = self.validation + self.calibration + self.test
        if held_out >= 1 - 1e-9:
            given = (key for key in ("validation", "calibration", "test", "folds") if key in self.model_fields_set)
            yield (
                tuple(given),
                f"validation + calibration + test must leave rows to train on, found {held_out:.3g} of 1",
            )


class Study(Section):
    """One question, its data, and the models that answer it."""

    question: Text
    """What you want to know, as a sentence; heads the report."""
    data: Data
    """Where the data come from."""
    read: Read = Read()
    """How their files are to be read, where these do not say it."""
    target: Text
    """Column to predict."""
    task: Task | None = None
    """What kind of answer; inferred from the target, and forecasting from `horizon`."""
    positive_class: Level | None = None
    """The class that is scored when there are two, as it stands in the data."""
    test_on: Claim = Claim()
    """What the test rows stand for: `new rows`, `{new: patient}`, `{after: date}`, both of these,
    `{column: split}`, or `{file: site_b.csv}`."""
    id: Text | None = None
    """Column that says what a row is: rows are dealt out by it. Without it they are by their content, and a value
    that is corrected, or a column that is read as another type, can move its row to another part."""
    split: Split | None = None
    """How many rows are held out. Without it five folds below 2,000 rows, one split above."""
    columns: dict[Text, Column] = Field(default_factory=dict)
    """What is known of columns, by name."""
    features: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Columns that may be used, as names or glob patterns such as `gene_*`; all if not given."""
    drop: tuple[Text, ...] = ()
    """Columns that may not be used, as names or glob patterns."""
    clean: Clean = Clean()
    """How columns are cleaned, where `columns` does not say it of one."""
    select: Select | None = None
    """Which columns of numbers models see, of very many; all if not given."""
    personal: dict[Text, Decision] = Field(default_factory=dict)
    """What becomes of columns that are about people: `{email: drop, patient: hash, age: keep}`. Those that look so and
    are not named here, in `drop` or left out by `features` stop the cleaning."""
    time: Text | None = None
    """Column of times; it orders the series that is forecast."""
    horizon: Count | None = None
    """How far ahead to forecast, in rows of the series."""
    history: Count | None = None
    """How far back a forecast looks, in rows of the series; else the longer of `horizon` and two seasons."""
    season: Count | None = None
    """Length of a season, in rows of the series."""
    image: Image | None = None
    """How columns make an image."""
    models: Annotated[tuple[AnyModel, ...], Field(min_length=1)] = (MLP(name="mlp", family="mlp"),)
    """Models that may answer the question: names of families, or mappings; with `image` else `[cnn]`."""
    baselines: Annotated[tuple[AnyModel, ...], Field(min_length=1)] = (
        Trivial(name="trivial", family="trivial"),
        Linear(name="linear", family="linear"),
        BoostedTrees(name="boosted_trees", family="boosted_trees"),
    )
    """Simple models that they are compared with."""
    metric: Literal[ClassMetric, ValueMetric] | None = None
    """What decides; without it roc_auc (two classes), balanced_accuracy, or rmse."""
    meaningful_difference: Positive | None = None
    """Smallest difference that would matter to you, in units of the metric."""
    weight: Text | None = None
    """Column that says how much a row counts."""
    subgroups: tuple[Text, ...] = ()
    """Columns by whose values scores are told as well, such as `[sex, site]`. They need not be features: what `drop` or
    `features` leave out is kept for this alone."""
    repeats: Annotated[Whole, Field(ge=1, le=100)] = 3
    """Trainings of each model that differ by chance alone."""
    seed: Seed = 0
    """Where the models' chance starts."""
    training: Training = Training()
    """How networks are trained."""
    resources: Resources = Resources()
    """What a training job asks for."""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        """Write down what the keys imply, so that the resolved study says it."""
        if not isinstance(given, dict):
            return given
        implied: dict[str, object] = {}
        horizon, season, task = (given.get(key) for key in ("horizon", "season", "task"))
        if isinstance(horizon, int) and task in (None, "forecasting"):
            task = "forecasting"
            two_seasons = 2 * season if isinstance(season, int) else 0
            implied |= {"task": task, "history": max(horizon, two_seasons)}
        if task == "forecasting" and isinstance(given.get("time"), str):
            implied["test_on"] = {"after": given["time"]}
        if given.get("image") is not None:
            implied["models"] = ["cnn"]
        return given | {key: value for key, value in implied.items() if given.get(key) is None}

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        yield from self._task_faults()
        yield from self._cleaning_faults()
        yield from self._role_faults()
        yield from self._personal_faults()
        yield from self._model_faults()

    def _task_faults(self) -> Iterator[Contradiction]:
        if self.task == "forecasting":
            for key in ("time", "horizon"):
                if getattr(self, key) is None:
                    yield ("task", key), f"forecasting needs {key}"
            if self.time is not None and self.test_on != Claim(after=self.time):
                yield (
                    ("test_on", "time"),
                    f"forecasting is tested on later times: must be {{after: {self.time}}}",
                )
        else:
            for key in ("horizon", "history", "season"):
                if getattr(self, key) is not None:
                    found = f"the task is {self.task}" if self.task else "without horizon this study is none"
                    yield (key, "task", "horizon"), f"is for forecasting, and {found}"
        if self.positive_class is not None and self.task in ("regression", "forecasting"):
            yield ("positive_class", "task"), f"is for classification, and the task is {self.task}"
        if self.task is not None and self.metric is not None:
            fitting = get_args(ClassMetric if self.task == "classification" else ValueMetric)
            if self.metric not in fitting:
                yield (
                    ("metric", "task"),
                    f"{self.metric} does not fit {self.task}; allowed: {listed(fitting)}",
                )
        if self.split is not None and self.split.folds is not None and not self.test_on.can_fold:
            text = f"folds cannot test {self.test_on.words}: these rows are one part; give fractions"
            yield ("split", "test_on"), text

    def _cleaning_faults(self) -> Iterator[Contradiction]:
        why = ""
        if self.horizon is not None:
            why = "a forecast takes its series as they are, and fills gaps with the last value before"
        elif self.image is not None:
            why = "an image takes its pixels as they are, all of them"
        if not why:
            return
        learned = ("outliers", "impute", "indicator")
        if any(getattr(self.clean, key) != getattr(Clean(), key) for key in learned):
            yield ("clean",), f"{why}: drop clean"
        if self.select is not None:
            yield ("select",), f"{why}: drop select"
        for name, column in self.columns.items():
            given = [key for key in learned if getattr(column, key) is not None]
            if given:
                yield ("columns",), f"{name}: {why}: drop {listed(given)}"

    def _role_faults(self) -> Iterator[Contradiction]:
        claim = self.test_on
        roles = {"id": self.id, "time": self.time, "weight": self.weight}
        for key, column in roles.items():
            if column == self.target:
                yield (key, "target"), f"is the target {self.target!r} too; a column has one of these roles"
        if self.target in (claim.new, claim.after, claim.column):
            yield (
                ("test_on", "target"),
                f"names the target {self.target!r}; the split may not look at the answer",
            )
        if self.target in self.subgroups:
            yield ("subgroups", "target"), f"names the target {self.target!r}; subgroups are of what is known before"
        if self.id in self.subgroups:
            yield ("subgroups", "id"), f"names the id {self.id!r}, which tells every row from all others"
        if self.subgroups and self.task == "forecasting":
            yield ("subgroups", "task"), "are of rows, and a forecast has one series: drop subgroups"
        if self.target in (self.features or ()):
            yield ("features", "target"), f"names the target {self.target!r}, which is never a feature"
        if pattern := next((pattern for pattern in self.drop if fnmatchcase(self.target, pattern)), None):
            yield ("drop", "target"), f"{pattern!r} would drop the target {self.target!r}"

    def _personal_faults(self) -> Iterator[Contradiction]:
        claim = self.test_on
        values = {self.target: "target", self.time: "time", claim.after: "time", self.weight: "weight"}
        names: dict[str | None, str] = dict.fromkeys(self.subgroups, "subgroup")
        names |= {self.id: "id", claim.new: "group", claim.column: "split"}
        for column, decision in self.personal.items():
            if decision == "drop" and (role := (values | names).get(column)):
                instead = "keep" if column in values else "hash or keep"
                yield ("personal",), f"would drop the {role} column {column!r}; it must be {instead}"
            elif decision == "hash" and (role := values.get(column)):
                yield (
                    ("personal",),
                    f"would hash the {role} column {column!r}, whose values are needed; it must be keep",
                )
            elif decision == "hash" and column in self.columns and self.columns[column].type not in (None, "category"):
                found = self.columns[column].type
                text = f"hashes {column!r}, and digests are a category; the column's type is {found}"
                yield ("personal", "columns"), text

    def _model_faults(self) -> Iterator[Contradiction]:
        seen: set[str] = set()
        for key, models in {"models": self.models, "baselines": self.baselines}.items():
            for model in models:
                if model.name in seen:
                    blamed = key if key in self.model_fields_set else "models"
                    yield (
                        (blamed, "models", "baselines"),
                        f"two models are called {model.name!r}; name them, such as "
                        f"{{name: {model.name}_2, family: {model.family}}}",
                    )
                seen.add(model.name)
                if model.family == "cnn" and self.image is None:
                    yield (key, "image"), "cnn is for images: say with image how columns make one"
                if isinstance(model, Trivial) and (fault := self._strategy_fault(model.strategy)):
                    yield (key, "task", "season"), f"{model.name}: {fault}"
        for one, other in same_but_case(seen):
            yield ("models", "baselines"), f"{one} and {other} differ only in case; {ONE_FOLDER}"

    def _strategy_fault(self, strategy: str | None) -> str:
        if strategy == "season" and self.task == "forecasting" and self.season is None:
            return "strategy season needs the study's season"
        tasks = {"most_frequent": "classification", "last_value": "forecasting", "season": "forecasting"}
        if strategy in tasks and self.task not in (None, tasks[strategy]):
            return f"strategy {strategy} is for {tasks[strategy]}, and the task is {self.task}"
        if strategy == "mean" and self.task == "classification":
            return "strategy mean is for regression and forecasting, and the task is classification"
        return ""


def training_of(study: Study, model: Model) -> Training:
    """Return how a model of the study is trained: the study's settings under the model's own."""
    own = model.training.model_dump(exclude_none=True)
    return Training.model_validate(study.training.model_dump() | own)


def same_but_case(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield neighbours, in order, that are the same word but for capital letters."""
    for one, other in pairwise(sorted(names, key=lambda name: (name.casefold(), name))):
        if one.casefold() == other.casefold() and one != other:
            yield one, other


def _names(given: object) -> object:
    return (given,) if isinstance(given, str) else given


ONE_FOLDER = "some file systems take them for one folder: name one differently"
RESERVED = {
    "all": "run: all means every study",
    "logs": "the folder of the index's log is called so",
    "records": "the folder of the index's record is called so",
}


class Project(Section):
    """A whole configuration file."""

    studies: Annotated[dict[Name, Study], Field(min_length=1)]
    """The studies, by name; the name becomes a folder of results."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """The same keys as a study's; they hold for every study that does not say otherwise."""
    run: Annotated[
        tuple[Text, ...],
        BeforeValidator(_names, json_schema_input_type=str | tuple[str, ...]),
        Field(min_length=1),
    ] = ("all",)
    """Which studies are made: `all`, a name, or a list of names."""
    results: LocalPath = "results"
    """Folder into which everything is written."""
    scratch: LocalPath | None = None
    """Folder for checkpoints of running trainings, on a disk that every node of a cluster sees; without it they lie
    beside the results."""

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        for name in self.run:
            if name != "all" and name not in self.studies:
                yield ("run", "studies"), f"no study is called {name!r}{choice(name, ('all', *self.studies))}"
        for name, why in RESERVED.items():
            if name in self.studies:
                yield ("studies",), f"no study may be called {name}: {why}"
        for one, other in same_but_case(self.studies):
            yield ("studies",), f"{one} and {other} differ only in case; {ONE_FOLDER}"
        for key, path in (("results", self.results), ("scratch", self.scratch or "")):
            if "{" in path or "}" in path:
                yield (key,), f"must have no braces, which Snakemake reads as wildcards; found {path!r}"

    @property
    def selected(self) -> dict[str, Study]:
        """The studies that are made, by name, in the order of the file."""
        return {name: study for name, study in self.studies.items() if {"all", name} & set(self.run)}
