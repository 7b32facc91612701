"""The stages of a study as functions: what each rule of the workflow does, without the workflow.

Each takes the settings of its rule (:mod:`serpens.settings`) and data, and returns data; scripts read and write.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serpens import features, learning, series, splits
from serpens.artefacts import Digest, ModelDescription, PartAccount, Schema, Series
from serpens.data import Examples
from serpens.io import COHORT, CONTENT, ROW
from serpens.layout import KEY
from serpens.pieces import Pieces
from serpens.streams import Stream, ahead

if TYPE_CHECKING:
    import pyarrow as pa

    from serpens.checkpoints import Checkpoints
    from serpens.finishing import Cleaned
    from serpens.fitting import Fitted
    from serpens.ordering import Parts
    from serpens.rawtable import RawTable
    from serpens.shards import Found, Shards
    from serpens.sources.collecting import Collected

logger = logging.getLogger(__name__)

Settings = Mapping[str, Any]
ExamplePieces = Iterator[Examples]
# Settings of cleaning that do not matter for how a piece of the table is read.
OF_CLEANING = ("task", "positive_class", "duplicates")
# Parts that models learn from, and the account's name of the rows that are in none.
ENCODED = ("train", "validation")
LEFT_OUT = "left_out"


@contextmanager
def collect(
    settings: Settings,
    *,
    digests: Mapping[str, str] | None = None,
    addresses: Sequence[Sequence[str]] = (),
    retrieved: Sequence[str] = (),
) -> "Iterator[Collected]":
    """Bring a study's data here, as one table; what is unpacked for it is removed when the block ends.

    Parameters
    ----------
    digests
        sha256 of files that were read already, by path.
    addresses
        Where the bytes of each file are that is downloaded; which of them gives them changes no result.
    retrieved
        Files that Snakemake brought from a storage.
    """
    from serpens.sources import collecting, disk
    from serpens.sources.parts import Given

    with disk.scratch() as folder:
        given = Given(folder, tuple(map(tuple, addresses)), tuple(retrieved), digests or {}, settings["read"])
        yield collecting.collect(settings, given)


def wash(
    settings: Settings, stream: Stream, part: Stream, before: int, *, threads: int = 1
) -> "tuple[pa.Schema, Iterator[Parts], Found]":
    """Type the rows of a part of the table, which comes after so many others, as cleaning would."""
    return _raw_table(settings, stream).shard(part, before, threads)


def _raw_table(settings: Settings, stream: Stream) -> "RawTable":
    """Return a table with what its study says of its columns."""
    from serpens import cleaning

    said = {key: value for key, value in settings.items() if key not in (*OF_CLEANING, "shard", "shards")}
    return cleaning.raw_table(stream, **said, key=_key(settings))


def _key(settings: Settings) -> bytes:
    """Return what columns about people are hashed with; nothing where none is."""
    from serpens import secret

    return secret.key(KEY) if "hash" in settings["personal"].values() else b""


def clean(
    settings: Settings, stream: Stream, *, folder: Path, threads: int = 1, shards: "Shards | None" = None
) -> "Cleaned":
    """Say what every row and column is; keep what the study uses. Rows may wait in the folder until they are sorted."""
    from serpens import cleaning

    own = {key: settings[key] for key in OF_CLEANING}
    return cleaning.clean(_raw_table(settings, stream), folder=folder, threads=threads, shards=shards, **own)


class Dealing:
    """The rows of one split, dealt out to its parts piece by piece.

    Attributes
    ----------
    schema
        Columns of the parts.
    rows
        Rows of each part, and of those that are in none; whole once all pieces were read.

    Raises
    ------
    DataError
        From the iterator, at its end, if a part lacks rows, or a class of the target.
    """

    def __init__(self, settings: Settings, number: int, table: "Stream", known: Digest, *, threads: int = 1) -> None:
        import pyarrow as pa

        self.settings, self.number, self.table, self.known = settings, number, table, known
        self.threads = threads
        self.schema = pa.schema([field for field in table.schema if field.name not in (CONTENT, COHORT)])
        self.rows: Counter[str] = Counter(dict.fromkeys(splits.PARTS, 0))
        self.classes: dict[str, Counter[str]] = {part: Counter() for part in splits.PARTS}

    def __iter__(self) -> "Iterator[dict[str, pa.RecordBatch]]":
        """Yield the next rows of each part."""
        import pyarrow as pa
        import pyarrow.compute as pc

        target = role_of(self.known, "target")
        label = self._labeller()

        def deal(batch: pa.RecordBatch) -> tuple[dict[str, pa.RecordBatch], int]:
            labels = label(batch)
            place = np.concatenate([np.flatnonzero(labels == part) for part in splits.PARTS])
            kept = batch.select(self.schema.names).take(pa.array(place))
            ends = np.cumsum([0, *((labels == part).sum() for part in splits.PARTS)]).tolist()
            dealt = {part: kept.slice(ends[k], ends[k + 1] - ends[k]) for k, part in enumerate(splits.PARTS)}
            return dealt, len(labels) - len(place)

        for dealt, left_out in ahead(deal, self.table.batches(), self.threads):
            for part, rows in dealt.items():
                self.rows[part] += len(rows)
                if self.known.classes:
                    found = pc.value_counts(rows.column(target))
                    self.classes[part].update(dict(zip(*(found.field(i).to_pylist() for i in (0, 1)), strict=True)))
            self.rows[LEFT_OUT] += left_out
            yield dealt
        if self.known.task != "forecasting":
            counted = {part: self.rows[part] for part in splits.PARTS}
            classes = self.classes if self.known.classes else None
            splits.check_parts(counted, classes, split=self.number, advice=self._advice)

    def parts(self) -> dict[str, PartAccount]:
        """Return how many rows each part has."""
        claim, fractions = self.settings["claim"], dict(self.settings["fractions"])
        if self.settings["folds"]:
            fractions["test"] = 1 / self.settings["folds"]
        fractions["train"] = round(1 - sum(fractions.values()), 12)
        if claim["column"] or claim["file"] or (claim["new"] and claim["after"]):
            fractions = {}
        all_rows = max(1, sum(self.rows.values()))
        return {
            part: PartAccount(rows=n, fraction=n / all_rows, asked=fractions.get(part))
            for part, n in self.rows.items()
            if n or part != LEFT_OUT
        }

    def _labeller(self) -> "Callable[[pa.RecordBatch], splits.Labels]":
        """Return what says of the rows of a piece to which part they belong."""
        claim, fractions = self.settings["claim"], self.settings["fractions"]
        time = self.settings["series"]["time"] if self.settings["series"] else claim["after"]
        if claim["column"]:
            return lambda batch: splits.by_column(_values(batch, claim["column"]), column=claim["column"])
        if time and claim["new"]:
            cuts = self._cuts(time, splits.late_side(fractions))
            return lambda batch: splits.by_key_and_time(
                batch.column(claim["new"]), _values(batch, time), cuts=cuts, fractions=fractions
            )
        if time:
            cuts = self._cuts(time, fractions)
            return lambda batch: splits.by_time(_values(batch, time), cuts=cuts)
        if claim["file"]:
            return self._with_cohort
        return lambda batch: splits.by_key(
            batch.column(claim["new"] or CONTENT),
            split=self.number,
            folds=self.settings["folds"],
            fractions=fractions,
        )

    def _cuts(self, time: str, fractions: Mapping[str, float]) -> dict[str, Any]:
        pieces = (_values(batch, time) for batch in self.table.batches())
        return splits.cuts(pieces, self.known.rows, fractions=fractions)

    def _with_cohort(self, batch: "pa.RecordBatch") -> splits.Labels:
        keys = batch.column(self.settings["claim"]["new"] or CONTENT)
        labels = splits.deal(splits.uniform(keys), **(self.settings["fractions"] | {"test": 0.0}))
        labels[_values(batch, COHORT).astype(bool)] = "test"
        return labels

    def _advice(self) -> str:
        advice, group = _advice(self.settings), self.settings["claim"]["new"]
        if group is None:
            return advice
        counts: Counter[str] = Counter()
        for batch in self.table.batches():
            counts.update(_values(batch, group).tolist())
        (name, n), *_ = counts.most_common(1)
        share = n / sum(counts.values())
        return (
            f"{advice}. Whole groups are dealt out: {group!r} has {len(counts):,} values, and {name!r} alone holds "
            f"{share:.0%} of the rows"
        )


def _values(batch: "pa.RecordBatch", name: str) -> NDArray[Any]:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False))


def role_of(known: Digest, role: str) -> str:
    """Return the column with a role; an empty word where there is none."""
    return next((name for name, column in known.columns.items() if column["role"] == role), "")


def learn(
    settings: Settings, known: Digest, train: Pieces, parts: Mapping[str, PartAccount], *, threads: int = 1
) -> Schema:
    """Learn preprocessing on the training rows of a split.

    Parameters
    ----------
    parts
        What the split has become; it stands in the schema.
    """
    target = role_of(known, "target")
    types = {name: column["type"] for name, column in known.columns.items() if column["role"] == "feature"}
    if known.task == "forecasting":
        names = [target, *types]
        columns = {name: train.whole(name) for name in names}
        learned = series.learn(columns, target=target, types=types, series=Series(**settings["series"]))
    else:
        learned = learning.learn(
            train,
            task=known.task,
            target=target,
            classes=known.classes,
            types=types,
            treatments=learning.Treatments(settings["clean"], settings["columns"]),
            select=settings["select"],
            image=tuple(settings["image"]) if settings["image"] else None,
            weight=role_of(known, "weight") or None,
            threads=threads,
        )
    return learned.model_copy(update={"parts": dict(parts)})


def encode(
    schema: Schema,
    parts: Mapping[str, Pieces],
    write: Callable[[str, int, ExamplePieces], None],
    *,
    threads: int = 1,
) -> Schema:
    """Turn the rows of a split into what models learn from, and return the schema with how values were treated.

    Parameters
    ----------
    write
        Given ``train`` or ``validation``, the number of examples, and these piece by piece.
    """
    if schema.series is not None:
        train, validation = ({name: parts[part].whole(name) for name in _series_columns(schema)} for part in ENCODED)
        for part, columns, past in (("train", train, None), ("validation", validation, train)):
            examples = series.prepare(schema, columns, past).examples
            write(part, len(examples), iter([examples]))
        return schema
    treated = {}
    for part in splits.PARTS:
        encoding = features.Encoding(schema, parts[part], threads=threads)
        if part in ENCODED:
            write(part, parts[part].n_rows, iter(encoding))
        else:  # counted alone: no model learns from these rows
            deque(encoding, maxlen=0)
        treated[part] = encoding.treated
    return schema.model_copy(
        update={
            "features": tuple(
                feature.model_copy(
                    update={"treated": {part: by[feature.name] for part, by in treated.items() if feature.name in by}}
                )
                for feature in schema.features
            )
        }
    )


def _series_columns(schema: Schema) -> list[str]:
    assert schema.series is not None
    return [schema.target.name, schema.series.time, ROW, *(feature.name for feature in schema.features)]


def _advice(settings: Settings) -> str:
    claim = settings["claim"]
    if claim["column"]:
        return f"mend the column {claim['column']!r}"
    if settings["folds"]:
        fewer = max(2, settings["folds"] - 2)
        instead = f"use fewer folds than {settings['folds']} (split: {{folds: {fewer}}}) or "
        return f"{instead if fewer < settings['folds'] else ''}give larger fractions in split"
    return "give this part a larger fraction in split"


def train(
    settings: Settings,
    schema: Schema,
    train: Examples,
    validation: Examples,
    *,
    gpus: int,
    processes: int = 1,
    nodes: int = 1,
    threads: int = 1,
    checkpoints: "Checkpoints | None" = None,
) -> "Fitted":
    """Train one model; validation examples decide when to stop, and among a family's own settings.

    Raises
    ------
    DataError
        If the examples have more inputs than the family can take.
    """
    from serpens import fitting

    problem = features.problem(schema)
    return fitting.fit(
        settings["family"],
        settings["settings"],
        problem,
        train,
        validation,
        training=settings["training"],
        seed=settings["seed"],
        progress=fitting.EpochLog(logger),
        gpus=gpus,
        processes=processes,
        nodes=nodes,
        threads=threads,
        checkpoints=checkpoints,
    )


def describe(settings: Settings, schema: Schema, fitted: "Fitted") -> ModelDescription:
    """Return what makes a model again, with its weights."""
    return ModelDescription(
        name=settings["name"],
        architecture=fitted.architecture,
        data=schema.applied(),
        parameters=fitted.model.parameters,
        seed=settings["seed"],
    )
