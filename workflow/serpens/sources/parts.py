"""What sources hand on: files that lie here, and tables that are read from them, each with its origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serpens.streams import Stream


@dataclass(frozen=True)
class File:
    """A file that lies here.

    Attributes
    ----------
    path
        Where it lies.
    origin
        What people call it: its path, its address without secrets; messages begin with it.
    name
        What ends as its content demands, such as ``penguins.csv.gz``.
    bytes, sha256
        Of the file as it came, before it was unpacked.
    keys
        What its folder says of all of its rows, such as ``{"year": "2020"}``.
    """

    path: Path
    origin: str
    name: str
    bytes: int
    sha256: str
    keys: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table that is not read from a file, with the origin, size and digest of its values."""

    stream: Stream
    origin: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Brought:
    """What a source brought: files, or tables that are in memory."""

    files: tuple[File, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Given:
    """What collecting is given beside the settings, and what changes no result.

    Attributes
    ----------
    addresses
        Of each file that is downloaded, the addresses that have its bytes, in the order in which they are asked.
    retrieved
        Of each query to a storage, where Snakemake put the file.
    digests
        sha256 of files that were read already, by path.
    scratch
        Folder for what is unpacked; it is removed after the job.
    read
        What the study says of how files are read.
    """

    scratch: Path
    addresses: tuple[tuple[str, ...], ...] = ()
    retrieved: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, Any] = field(default_factory=dict)


Settings = Mapping[str, Any]
