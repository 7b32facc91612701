"""Where the data of a study come from: the section ``data`` of the configuration."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from serpens.configtypes import Argument, Contradiction, Count, Section, Seed, SimulatorName, TableFile, or_text


class Data(Section):
    """Where the data come from: exactly one of `file` and `simulator`. A bare path means `file`."""

    model_config = or_text("path of a file")

    file: TableFile | None = None
    """Path of a table (`docs/formats.md` lists the formats by their endings), or of a folder of images and `/`."""
    simulator: SimulatorName | None = None
    """`qubit`, or your own function as `path.py:function`; further keys here are passed on to it."""
    rows: Count | None = None
    """Rows to simulate."""
    seed: Seed = 0
    """Where the simulator's chance starts."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """What is passed on to the simulator; the same as writing these keys beside `simulator`."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """What the file's content must hash to; 64 hexadecimal digits."""
    license: str | None = None
    """Under what terms the data may be used; stands in the report."""
    citation: str | None = None
    """Whom to cite for the data; stands in the report."""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"file": given}
        if isinstance(given, dict) and "url" in given:
            raise ValueError("url is not a source yet; data come from: file, simulator")
        if isinstance(given, dict) and given.get("simulator") is not None:
            arguments = given.get("arguments") or {}
            inline = {key: value for key, value in given.items() if key not in cls.model_fields}
            if inline and isinstance(arguments, dict):
                own = {key: value for key, value in given.items() if key in cls.model_fields}
                return own | {"arguments": arguments | inline}
        return given

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        if self.file is not None and self.simulator is not None:
            yield ("simulator", "file"), "data have one source: give file or simulator, not both"
        elif self.file is None and self.simulator is None:
            yield ("file", "simulator"), "data need a source: give file or simulator"
        elif self.file is not None:
            for key in ("rows", "seed", "arguments"):
                if getattr(self, key):
                    yield (key, "file"), "is for a simulator; a file is read whole"
        elif self.rows is None:
            yield ("rows", "simulator"), "is required with a simulator: how many rows to simulate"
