"""What every JSON file that jobs write is made of: frozen, and all of its keys known."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from serpens import io


class Entry(BaseModel):
    """A frozen part of a JSON file, which knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


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
