"""What the sections of the configuration are made of: types with their ranges, and the base class.

Nothing here opens a file; what the files say is checked in :mod:`serpens.planning`.
"""

import posixpath
import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from serpens.errors import listed, nearest
from serpens.simulators.registry import SIMULATORS
from serpens.sources.registry import ENDINGS, FILE_TYPES

TRUTH = "YAML reads yes, no, on and off as true and false; put the word in quotes"
DEFINITION = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


def choice(word: object, words: Collection[str], label: str = "allowed") -> str:
    """Return the end of a message about a wrong word: the nearest right one, and all of them."""
    near = nearest(str(word), words)
    return f"{near}{' ' if near else '; '}{label}: {listed(words)}"


def shown(found: object) -> str:
    """Return what was found as the user wrote it, or how long it is."""
    if isinstance(found, bool):
        return str(found).lower()
    if found is None:
        return "nothing"
    if isinstance(found, dict | list | tuple):
        kind = "mapping" if isinstance(found, dict) else "list"
        return f"a {kind} of {len(found)}" if found else f"an empty {kind}"
    return repr(found)


def _quoted_text(value: object) -> object:
    """Write a number as text, as it stands in the data; refuse what YAML made a truth value."""
    if isinstance(value, bool):
        raise ValueError(f"must be text, found {shown(value)}; {TRUTH}, as it stands in the data")
    return str(value) if isinstance(value, int | float) else value


def inside(path: str) -> str:
    """Refuse a path that leads out of the working directory by ``..``."""
    if posixpath.normpath(path).split("/")[0] == "..":
        raise ValueError(f"leaves the working directory, found {path!r}; give a path below it, or an absolute one")
    return path


def _table(path: str) -> str:
    if not path.endswith(FILE_TYPES):
        raise ValueError(f"must end in one of {ENDINGS}, found {path!r}")
    return inside(path)


def _definition(text: str) -> str:
    if not (match := DEFINITION.fullmatch(text)):
        raise ValueError(f"must be a Python file and a name in it, such as my_net.py:Net, found {text!r}")
    inside(match["path"])
    return text


def _simulator(text: str) -> str:
    if ":" in text or text.endswith(".py"):
        return _definition(text)
    if text not in SIMULATORS:
        raise ValueError(
            f"unknown simulator {text!r}{choice(text, SIMULATORS)}, "
            "or a function of your own such as my_sim.py:simulate"
        )
    return text


def _argument(value: object) -> object:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, Scalar) for item in values):
        raise ValueError("must be a number, text, true, false, or a list of these")
    return value


Whole = Annotated[int, Strict()]
Count = Annotated[Whole, Field(ge=1)]
Truth = Annotated[bool, Strict()]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Real = Annotated[float, Strict()]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(gt=0, lt=1)]
ShareOrNone = Annotated[Real, Field(ge=0, lt=1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Level = Annotated[Text, BeforeValidator(_quoted_text, json_schema_input_type=str | int | float)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
LocalPath = Annotated[Text, AfterValidator(inside)]
TableFile = Annotated[Text, AfterValidator(_table)]
Definition = Annotated[Text, AfterValidator(_definition)]
SimulatorName = Annotated[Text, AfterValidator(_simulator)]
Scalar = bool | int | float | str
Argument = Annotated[Scalar | tuple[Scalar, ...], BeforeValidator(_argument)]

Contradiction = tuple[tuple[str, ...], str]
"""Keys of one section that contradict each other, the one to blame first, and what must hold."""


def or_text(meaning: str) -> ConfigDict:
    """Let a section's JSON Schema also take the text that stands for it."""

    def widen(schema: dict[str, Any]) -> None:
        section = dict(schema)
        schema.clear()
        schema["anyOf"] = [{"type": "string", "description": meaning}, section]

    return ConfigDict(json_schema_extra=widen)


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, defer_build=True
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield what the keys, each valid by itself, may not say together."""
        yield from ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = [
            InitErrorDetails(
                type=PydanticCustomError("contradiction", "{text}", {"text": text, "keys": keys}),
                loc=keys[:1],
                input=None,
            )
            for keys, text in self.contradictions()
        ]
        if faults:
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        return self
