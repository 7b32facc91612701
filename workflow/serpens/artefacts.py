"""The JSON files that jobs hand to each other and to readers: their shapes, and how to read them.

JSON Schemas of these models stand in ``workflow/schemas/``; ``python -m serpens.artefacts`` writes them.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from serpens import io
from serpens.config import Task


class Artefact(BaseModel):
    """A frozen JSON file that knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def read(cls, path: io.PathLike) -> Self:
        """Read and check the file."""
        return cls.model_validate(io.read_json(path))

    def write(self, path: io.PathLike) -> None:
        """Write the file."""
        io.write_json(path, self.model_dump(mode="json"))


class Feature(Artefact):
    """One input column, and what was learned of it on training rows."""

    name: str
    type: Literal["number", "category", "time"]
    center: float = 0.0
    """Mean of the training rows (of days since 1970 for a time)."""
    scale: float = 1.0
    """Standard deviation of the training rows; 1 where it is 0."""
    fill: float = 0.0
    """Median of the training rows, which stands for a missing value."""
    indicator: bool = False
    """Whether a further input says that the value was missing (it was, in some training row)."""
    levels: tuple[str, ...] = ()
    """Levels of a category seen in training, the most frequent ones; any other becomes zeros."""


class Target(Artefact):
    """What is predicted."""

    name: str
    classes: tuple[str, ...] = ()
    """Classes in the order of their codes; with two, the positive one is last. Empty for numbers."""
    center: float = 0.0
    """Subtracted from the target before training."""
    scale: float = 1.0
    """Divides the target before training, in units of the target."""


class Series(Artefact):
    """How a series is cut into windows; all lengths in rows of the regular series."""

    time: str
    horizon: int
    history: int
    season: int = 0


class ImageShape(Artefact):
    """How feature columns, in their order, fill an image."""

    shape: tuple[int, int, int]
    """Channels, height, width."""


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


MODELS: dict[str, type[Artefact]] = {"schema": Schema, "digest": Digest, "model": ModelDescription}


def write_schemas(folder: Path) -> None:
    """Write the JSON Schema of every artefact into a folder."""
    for name, model in MODELS.items():
        io.write_json(folder / f"{name}.schema.json", model.model_json_schema())


if __name__ == "__main__":
    write_schemas(Path(__file__).resolve().parents[1] / "schemas")
