"""How much data a study has, and of what shape models see it, as far as planning can tell.

What only the data tell is assumed, rather too much than too little, and every assumption is said in words.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import NamedTuple

from serpens.config import Split, Study
from serpens.glance import Look, Values, look
from serpens.planning import is_seen, n_splits
from serpens.simulators.registry import NUMBERS
from serpens.sources.paths import keys, written_out
from serpens.sources.registry import ARCHIVES, ending

MAX_LEVELS = 50
"""Inputs that a category becomes at most, as in :mod:`serpens.learning`."""
MAX_CLASSES = 20
"""Whole numbers with more values than this are no classes, as in :mod:`serpens.cleaning`."""
SIMULATED_COLUMNS = 30
NUMBER_WIDTH = 3
"""Inputs that a number becomes at most: itself, and what says that it was missing, or an outlier."""
UNSEEN_ROWS, UNSEEN_COLUMNS = 100_000, 30
"""Of a table that only its job will see."""
CLASSES = 10


class Extent(NamedTuple):
    """How much data a study has.

    Attributes
    ----------
    rows, columns
        Of all of its tables.
    size
        Bytes of these as text; for a simulator and formats with columns, of their values.
    features
        Columns that models may use.
    learned, validated, tested
        Rows, images or windows on which a model is trained and validated; those of them on which it is validated; and
        those on which all models of the study are tested.
    input_shape
        Shape of one of them, as a model sees it.
    outputs
        Numbers that a model puts out for one of them: one for each class, one value, or a forecast's horizon.
    horizon
        Rows that a forecast looks ahead; 0 for other tasks.
    assumed
        What was assumed because only the data tell it.
    """

    rows: int
    columns: int
    size: int
    features: int
    learned: int
    validated: int
    tested: int
    input_shape: tuple[int, ...]
    outputs: int
    horizon: int = 0
    assumed: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """Numbers that a model sees of a row."""
        return prod(self.input_shape)

    @property
    def words(self) -> str:
        """The extent in words."""
        shape = " x ".join(map(str, self.input_shape))
        if self.horizon:
            seen = f", {self.inputs // (1 + self.features):,} of them to forecast {self.horizon:,}"
        elif len(self.input_shape) > 1:
            seen = f" with images of {shape}"
        else:
            seen = f" x {self.features:,} feature{'' if self.features == 1 else 's'}"
            seen += f" as {self.inputs:,} inputs" if self.inputs != self.features else ""
        return ", ".join([f"{self.rows:,} rows{seen}", *self.assumed])


def of(study: Study) -> Extent:
    """Return how much data a study has.

    Raises
    ------
    ConfigurationError
        If a file is not there any more, or no table.
    """
    first, assumed = _main(study)
    looks = [first]
    if study.test_on.file and not ending(study.test_on.file, ARCHIVES):
        looks.append(look(study.test_on.file, study.read.given()))
    rows, table = sum(each.rows for each in looks), first.values
    used = [name for name in table if _is_feature(study, name)]
    if assumed:  # its columns have no names yet
        used = list(table)[1:]
    if study.data.simulator:  # whose columns have no names yet
        used = list(table)[1 if study.horizon is None else 2 :]
        if study.data.simulator not in NUMBERS and not (study.image or study.horizon):
            assumed.append(f"{SIMULATED_COLUMNS} columns assumed")
    learned, validated, tested = _shares(study, looks)
    outputs, *classes = _outputs(study, table)
    return Extent(
        rows=rows,
        columns=len(table),
        size=sum(each.size for each in looks),
        features=len(used),
        learned=round(learned * rows),
        validated=round(validated * rows),
        tested=round(tested * rows),
        input_shape=_input_shape(study, {name: table[name] for name in used}),
        outputs=outputs,
        horizon=study.horizon or 0,
        assumed=(*assumed, *classes),
    )


def _main(study: Study) -> tuple[Look, list[str]]:
    """Return what the main table looks like, and what was assumed of it."""
    if study.data.simulator:
        return _simulated(study), []
    if not is_seen(study):
        numbers = Values(numbers=True, whole=False, distinct=UNSEEN_ROWS, gaps=True)
        names = [study.target, *(f"column {place}" for place in range(2, UNSEEN_COLUMNS + 1))]
        where = "the table is not here yet" if study.data.file is None else "the table must be unpacked or turned round"
        told = f"{UNSEEN_ROWS:,} rows of {UNSEEN_COLUMNS} columns assumed, since {where}"
        return Look(UNSEEN_ROWS, 8 * UNSEEN_ROWS * UNSEEN_COLUMNS, dict.fromkeys(names, numbers)), [told]
    paths = written_out(study.data.file or ())
    read = study.read.given()
    looks = [look(path, read) for path in paths]
    values = dict(looks[0].values)
    constant = Values(numbers=False, whole=False, distinct=len(paths), gaps=False)
    values |= dict.fromkeys(keys(paths[0], study.data.file or ()), constant)
    for join in study.data.join:
        if not ending(join.file, ARCHIVES):
            other = look(join.file, read).values
            values |= {name: about for name, about in other.items() if name not in join.on.values()}
    return Look(sum(each.rows for each in looks), sum(each.size for each in looks), values), []


def _simulated(study: Study) -> Look:
    """Return what a simulator will give; of the user's own only the rows are known."""
    rows = study.data.rows or 0
    columns = NUMBERS.get(study.data.simulator or "", SIMULATED_COLUMNS)
    if study.image:
        columns = 1 + prod(study.image.shape)
    elif study.horizon:
        columns = 2 + len(study.features or ())
    numbers = Values(numbers=True, whole=False, distinct=rows, gaps=False)
    return Look(rows, 8 * rows * columns, dict.fromkeys(map(str, range(columns)), numbers))


def _shares(study: Study, looks: Sequence[Look]) -> tuple[float, float, float]:
    """Return the parts of all rows that are learned from, validate and test; of folds the last is the whole."""
    parts, claim = study.split or Split(), study.test_on
    if claim.column:  # only the data tell
        return 1.0, 1.0, 1.0
    if claim.file:
        first = looks[0].rows / max(1, sum(each.rows for each in looks))
        return first * (1 - parts.calibration), first * parts.validation, 1 - first
    learned = 1 - parts.calibration - parts.test
    return learned, parts.validation, 1.0 if n_splits(study) > 1 else parts.test


def _is_feature(study: Study, name: str) -> bool:
    claim = study.test_on
    if name in (
        study.target,
        study.id,
        study.weight,
        claim.new,
        claim.column,
        study.time if study.horizon else claim.after,
    ):
        return False
    if any(fnmatchcase(name, pattern) for pattern in study.drop):
        return False
    allowed = study.features
    if allowed is None and (study.horizon or study.image):
        allowed = (study.image.columns,) if study.image else ()
    return allowed is None or any(fnmatchcase(name, pattern) for pattern in allowed)


def _input_shape(study: Study, used: dict[str, Values]) -> tuple[int, ...]:
    if study.image:
        return study.image.shape
    if study.horizon:
        return ((study.history or study.horizon) * (1 + len(used)),)
    widths = {name: _width(study, name, values) for name, values in used.items()}
    if study.select is not None and study.select.keep is not None:  # the widest of the numbers, rather too many
        numbers = sorted((width for name, width in widths.items() if width <= NUMBER_WIDTH), reverse=True)
        others = sum(width for width in widths.values() if width > NUMBER_WIDTH)
        return (max(1, others + sum(numbers[: study.select.keep])),)
    return (max(1, sum(widths.values())),)


def _width(study: Study, name: str, values: Values) -> int:
    """Return the inputs that a column becomes: a number one, and one that says where it is missing."""
    declared = study.columns[name].type if name in study.columns else None
    if declared == "text":
        return 0
    if declared in ("number", "time") or (declared is None and values.numbers):
        return 2 if values.gaps else 1
    # the first rows show half of the levels, or too many of them
    return min(MAX_LEVELS, 2 * values.distinct)


def _outputs(study: Study, table: dict[str, Values]) -> tuple[int, *tuple[str, ...]]:
    """Return how many numbers a model puts out, and what was assumed."""
    if study.horizon:
        return (study.horizon,)
    if study.task == "regression":
        return (1,)
    if study.data.simulator:
        if study.task is None and study.data.simulator in NUMBERS:
            return (1,)
        return CLASSES, f"at most {CLASSES} classes assumed"
    if not is_seen(study):
        return CLASSES, f"at most {CLASSES} classes assumed"
    target = table[study.target]
    if study.task is None and target.numbers and not (target.whole and target.distinct <= MAX_CLASSES):
        return (1,)
    return (max(2, target.distinct),)
