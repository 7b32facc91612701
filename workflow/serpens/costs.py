"""What each kind of job costs: memory, time and disk by the extent of its data and the size of its model.

The constants fit what the records of real jobs say: the built-in studies, and tables of up to 200,000 rows and 31
columns (a million, where rows are not held) or 800 inputs, on one core of an AMD EPYC. They estimate; margins are
:mod:`serpens.sizing`'s.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from serpens import modelsize
from serpens.config import Study, training_of
from serpens.extent import Extent
from serpens.families import FAMILIES
from serpens.modelconfig import BoostedTrees, Custom, Linear, Model
from serpens.modelsize import NetworkSize
from serpens.planning import n_shards
from serpens.settings import models

PREDICT_ROWS = 8192
"""Rows that a network predicts at once, as in :mod:`serpens.training`."""
MAX_STACKED_ROWS = 30_000
"""Rows that trees learn a forecast from at most, as in :mod:`serpens.models.boosted_trees`."""
RESAMPLES, MOST_RESAMPLED = 2000, 5000
"""Of the test rows, and up to how many of these, as in :mod:`serpens.intervals`."""
HELD_CELLS = 8_000_000
"""Values of a table that are held at once at most, as in :mod:`serpens.ordering` and :mod:`serpens.pieces`."""
GROUP_CELLS = 4_000_000
"""Values of a row group, of which a part of a table has one at least, as in :mod:`serpens.io`."""


class Cost(NamedTuple):
    """What a job needs, estimated.

    Attributes
    ----------
    memory_mb
        Largest resident memory of its process, in 10^6 bytes; of one process, where several train together.
    seconds
        Wall time on one core, or on the GPU where it has one.
    disk_mb
        What it writes.
    words
        What was counted.
    step
        Operations at a time that threads can share.
    thread_mb
        What each further thread takes, where each has pieces of a table of its own; 0 where threads bring nothing.
    """

    memory_mb: float
    seconds: float
    disk_mb: float
    words: str
    step: float = 0.0
    thread_mb: float = 0.0


# A process that imports NumPy and pyarrow; it starts from Snakemake's own size, which Linux counts as its peak.
PLAIN_MB = 200
LINEAR_MB, TREES_MB, TORCH_MB, EVALUATE_MB, REPORT_MB = 240, 270, 380, 560, 250
# Pieces of a table that a thread has, from reading until they are written.
PIECES_MB = 180
# What a CUDA context adds to a process; assumed, not measured.
CUDA_MB = 2500
IMPORTS_SECONDS = 2
# A simulator of the user's own may do anything.
OWN_SIMULATOR_SECONDS = 1200
# Operations a second, of a core in matrix products, and of a GPU in the small ones that tables need. All that stands
# here of GPUs is assumed, rather slow than fast, and not measured.
CORE, GPU = 50e9, 3e12
# Seconds that a step takes beside its operations.
CORE_STEP, GPU_STEP = 2e-4, 1e-3
# Seconds for one number that a layer puts out, there and back.
CORE_ACTIVATION, GPU_ACTIVATION = 3e-9, 3e-11


def collect(study: Study, extent: Extent) -> Cost:
    """Pieces of the table are read and written; what is simulated, turned round or joined is held as a whole."""
    cells, data = extent.rows * extent.columns, study.data
    whole = data.simulator or data.openml or data.transpose or data.join
    own = data.simulator is not None and ":" in data.simulator
    # the values of a simulator are digested one by one
    seconds = OWN_SIMULATOR_SECONDS if own else IMPORTS_SECONDS + (2e-6 if whole else 0.2e-6) * cells
    words = "; how long your simulator takes is not known" if own else ""
    memory = PLAIN_MB + (90 * cells if whole else 20 * min(cells, HELD_CELLS)) / 1e6
    return Cost(memory, seconds, extent.size / 1e6, f"{_table(extent)}{words}")


def clean(study: Study, extent: Extent) -> Cost:
    """Pieces of the table are read, typed, sorted and described; how many there are does not matter to memory."""
    cells = extent.rows * extent.columns
    words = _table(extent) if not n_shards(study) else f"{_table(extent)}, put together from parts"
    return Cost(
        PLAIN_MB + _typed_mb(cells), IMPORTS_SECONDS + 0.3e-6 * cells, 16 * cells / 1e6, words, thread_mb=PIECES_MB
    )


def wash(study: Study, extent: Extent) -> Cost:
    """Pieces of a part of the table are read and typed."""
    whole, shards = extent.rows * extent.columns, n_shards(study) or 1
    cells = min(whole, max(whole // shards, GROUP_CELLS))
    words = f"{_table(extent)} in {shards} parts"
    return Cost(
        PLAIN_MB + _typed_mb(cells), IMPORTS_SECONDS + 0.15e-6 * cells, 8 * cells / 1e6, words, thread_mb=PIECES_MB
    )


def split(study: Study, extent: Extent) -> Cost:
    """Rows are dealt to parts, and looked at some millions of values at a time; each column has buffers of its own."""
    cells = extent.rows * extent.columns
    memory = PLAIN_MB + (35 * min(cells, HELD_CELLS) + 70_000 * extent.columns) / 1e6
    examples = 4 * extent.learned * extent.inputs
    return Cost(memory, IMPORTS_SECONDS + 0.15e-6 * cells, (8 * cells + examples) / 1e6, _table(extent))


def evaluate(study: Study, extent: Extent) -> Cost:
    """Every model predicts validation and test rows, and errors are scored on every resample of the latter."""
    every = models(study).values()
    networks = [
        modelsize.of(model, extent.input_shape, extent.outputs) for model in every if FAMILIES[model.family].network
    ]
    values = extent.tested * extent.outputs * len(every) * (1 + study.repeats)
    rows = extent.rows * (30 * extent.columns + 8 * extent.inputs) + 40 * values
    at_once = min(PREDICT_ROWS, max(extent.validated, extent.tested))
    one = max((8 * size.parameters + 12 * at_once * size.widest for size in networks), default=0)
    a_row = sum(2 * size.operations / CORE + size.activations * CORE_ACTIVATION for size in networks)
    resampled = values * min(extent.tested, MOST_RESAMPLED) / max(1, extent.tested)
    seconds = 10 + 4e-8 * resampled * RESAMPLES + 1e-6 * values + 2 * study.repeats * extent.rows * a_row
    words = f"{len(every)} models on about {extent.tested:,} test rows"
    return Cost(EVALUATE_MB + (rows + one) / 1e6, seconds, 40 * values / 1e6, words)


def report(study: Study, extent: Extent) -> Cost:
    """Tables and figures of all rows; all predictions are kept."""
    rows = extent.rows * (60 * extent.columns + 1000)
    seconds = 5 + 1e-6 * extent.rows * extent.columns
    return Cost(REPORT_MB + rows / 1e6, seconds, rows / 1e7, _table(extent))


def index(n_studies: int) -> Cost:
    """A line a study."""
    return Cost(PLAIN_MB + 0.1 * n_studies, IMPORTS_SECONDS + 0.02 * n_studies, n_studies, "a line for each study")


OF_STUDY: dict[str, Callable[[Study, Extent], Cost]] = {
    "collect": collect,
    "clean": clean,
    "wash": wash,
    "split": split,
    "evaluate": evaluate,
    "report": report,
}


def network(study: Study, model: Model, extent: Extent, size: NetworkSize, *, gpu: bool) -> Cost:
    """Parameters and twelve times as much beside them; what layers put out; as many steps as epochs allow.

    Beside parameters lie their gradient, the optimiser's memory, the best epoch, and a checkpoint while it is packed.
    """
    training = training_of(study, model)
    batch, at_once = min(training.batch_size, extent.learned), min(PREDICT_ROWS, extent.validated)
    step = 6.0 * size.operations * batch
    steps = training.max_epochs * math.ceil(extent.learned / training.batch_size)
    rate, beside, activation = (GPU, GPU_STEP, GPU_ACTIVATION) if gpu else (CORE, CORE_STEP, CORE_ACTIVATION)
    seconds = 2 * IMPORTS_SECONDS + steps * (step / rate + batch * size.activations * activation + beside)
    layers = 8 * batch * size.activations + 12 * at_once * size.widest
    memory = TORCH_MB + _rows_mb(extent) + (52 * size.parameters + (0 if gpu else layers)) / 1e6
    parameters = f"{_millions(size.parameters)} parameters{' assumed' if isinstance(model, Custom) else ''}"
    words = f"{extent.words}, {training.max_epochs:,} epochs, {parameters}"
    # two checkpoints, a third while it is written, and the weights
    return Cost(memory + (CUDA_MB if gpu else 0), seconds, 4 * 16 * size.parameters / 1e6, words, step)


def boosted_trees(model: BoostedTrees, extent: Extent) -> Cost:
    """Each tree looks at every input of every row once a level, and for each leaf at every bin of every input."""
    rows = min(extent.learned * extent.horizon, MAX_STACKED_ROWS) if extent.horizon else extent.learned
    n_trees = model.max_iterations * (1 if extent.horizon or extent.outputs <= 2 else extent.outputs)
    levels = math.log2(model.max_leaf_nodes) / 5
    looked = 6e-9 * rows * extent.inputs * levels
    seconds = IMPORTS_SECONDS + n_trees * (looked + (8e-5 + 1.2e-6 * extent.inputs) * model.max_leaf_nodes)
    leaves = n_trees * model.max_leaf_nodes
    # of each leaf 256 bins of each input
    histograms = 6144 * model.max_leaf_nodes * extent.inputs
    memory = TREES_MB + _rows_mb(extent) + (16 * rows * extent.inputs + histograms + 200 * leaves) / 1e6
    return Cost(memory, seconds, 200 * leaves / 1e6, f"{extent.words}, {n_trees:,} trees", looked * CORE)


def linear(model: Linear, extent: Extent) -> Cost:
    """One fit for each strength of the penalty: a hundred and more passes over the rows, or one equation."""
    passes = 150 * 4 * extent.outputs if extent.outputs > 1 and not extent.horizon else 2 * extent.inputs
    work = len(model.strengths) * extent.learned * extent.inputs * passes
    square = 16 * min(extent.inputs, extent.learned) ** 2
    # it learns in double precision
    memory = LINEAR_MB + _rows_mb(extent) + (8 * extent.learned * extent.inputs + square) / 1e6
    words = f"{extent.words}, {len(model.strengths)} strengths of the penalty"
    return Cost(memory, IMPORTS_SECONDS + work / (CORE / 10), extent.inputs * extent.outputs * 8 / 1e6, words)


def trivial(extent: Extent) -> Cost:
    """The targets are read, and hardly looked at."""
    return Cost(PLAIN_MB + _rows_mb(extent), IMPORTS_SECONDS, 1, extent.words)


def _typed_mb(cells: int) -> float:
    """Return what typing takes: values as they stand, as their type, and as the words that name a row."""
    return 80 * min(cells, HELD_CELLS) / 1e6


def _rows_mb(extent: Extent) -> float:
    """Return what the mapped files of examples take: of each input, and of the target, 4 bytes."""
    return 4 * (extent.learned + extent.validated) * (extent.inputs + 1) / 1e6


def _table(extent: Extent) -> str:
    return f"{extent.rows:,} rows x {extent.columns:,} columns"


def _millions(n: int) -> str:
    """Return a number as a reader wants it."""
    if n < 100_000:
        return f"{n:,}"
    return f"{n / 1e6:.2g} million" if n < 10_000_000 else f"{n / 1e6:,.0f} million"
