"""Where the data of a study come from: the section ``data`` of the configuration."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from serpens.configtypes import (
    Argument,
    Contradiction,
    Count,
    Section,
    Seed,
    SimulatorName,
    TableFile,
    Text,
    inside,
    or_text,
)
from serpens.errors import listed
from serpens.sources import secrets
from serpens.sources.paths import is_folder, is_pattern
from serpens.sources.registry import ENDINGS, FILE_TYPES, SOURCES, ending


def _several(given: object) -> object:
    return (given,) if isinstance(given, str) else given


def _is_table(name: str) -> str:
    if ending(name, FILE_TYPES) is None:
        raise ValueError(f"must end in one of {ENDINGS}, found {name!r}")
    return name


def _tables(path: str) -> str:
    return inside(path) if is_folder(path) or is_pattern(path) else inside(_is_table(path))


def _address(text: str) -> str:
    if found := secrets.faults(text):
        raise ValueError(f"must hold nothing secret, found {found} in {secrets.shown(text)}; {secrets.ADVICE}")
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        whole = None
    if not whole:
        raise ValueError(
            f"must be an address that begins with https:// or http://, found {secrets.shown(text)!r}; a file here is "
            "named by file, another kind of storage by storage"
        )
    return text


def _query(text: str) -> str:
    if found := secrets.faults(text):
        raise ValueError(f"must hold nothing secret, found {found} in {secrets.shown(text)}; {secrets.ADVICE}")
    if "://" not in text:
        raise ValueError(f"must be a query such as s3://bucket/key, found {text!r}; a file here is named by file")
    _is_table(text)
    return text


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Digests = Annotated[
    tuple[Digest, ...],
    BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]
Files = Annotated[
    tuple[Annotated[Text, AfterValidator(_tables)], ...],
    BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]
Addresses = Annotated[
    tuple[Annotated[Text, AfterValidator(_address)], ...],
    BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...]),
]
Queries = Annotated[
    tuple[Annotated[Text, AfterValidator(_query)], ...],
    BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]
TableName = Annotated[Text, AfterValidator(_is_table)]


class Join(Section):
    """Another table whose columns are put beside those of the main one, row by row."""

    file: TableFile
    """Path of the other table; it is held in memory."""
    on: Annotated[
        dict[Text, Text],
        BeforeValidator(
            lambda given: {given: given} if isinstance(given, str) else given,
            json_schema_input_type=str | dict[str, str],
        ),
        Field(min_length=1),
    ]
    """Column that must be equal in both tables, or columns as `{column of the main table: column of the other}`. A key
    occurs at most once in the other table."""
    unmatched: Literal["refuse", "drop", "keep"] = "refuse"
    """What becomes of rows of the main table whose key the other one lacks: the job stops, they are left out and
    counted, or they are kept with nothing in the new columns."""


class HuggingFace(Section):
    """A file of a data set on the Hugging Face hub."""

    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    """Owner and name of the data set, as `owner/name`."""
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    """The commit that is meant, 40 hexadecimal digits: a branch or a tag may be another tomorrow."""
    file: TableName
    """Path of the table in the repository."""


class Data(Section):
    """Where the data come from, from exactly one source; a bare path means `file`.

    Sources are `file`, `url`, `storage`, `openml`, `huggingface` and `simulator`.
    """

    model_config = or_text("path of a file")

    file: Files | None = None
    """Path of a table (`docs/formats.md` lists the formats by their endings), or of an archive with one.

    Also several with the same columns: a list, a pattern such as `parts/*.csv`, or a folder with a `/` at its end,
    below which folders such as `year=2020` become columns; in a folder of images each image is a row."""
    url: Addresses | None = None
    """Address of a table (https or http), or a list of addresses of its parts; `sha256` is required."""
    mirrors: Addresses = ()
    """Further addresses of the same bytes, tried in their order when `url` does not give them."""
    name: TableName | None = None
    """What the file behind `url` is called, where the address does not end as a table does."""
    storage: Queries | None = None
    """Query of any of Snakemake's storage plugins, such as `s3://bucket/table.csv` or `gs://...`; or a list."""
    openml: Count | None = None
    """Number of a data set of OpenML, which is one version of it."""
    huggingface: HuggingFace | None = None
    """A file of a data set on the Hugging Face hub, at a commit."""
    simulator: SimulatorName | None = None
    """`qubit`, or your own function as `path.py:function`; further keys here are passed on to it."""
    rows: Count | None = None
    """Rows to simulate."""
    seed: Seed = 0
    """Where the simulator's chance starts."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """What is passed on to the simulator; the same as writing these keys beside `simulator`."""
    sha256: Digests | None = None
    """What the file's content must hash to; 64 hexadecimal digits, one for each file in their order."""
    transpose: Text | None = None
    """For a table of features x samples: the columns become rows. The first column names the features; what stood in
    the header becomes a column of this name. The table is held in memory."""
    join: tuple[Join, ...] = ()
    """Other tables whose columns are put beside these, in this order."""
    license: str | None = None
    """Under what terms the data may be used; stands in the report."""
    citation: str | None = None
    """Whom to cite for the data; stands in the report."""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"file": given}
        if isinstance(given, dict) and given.get("simulator") is not None:
            arguments = given.get("arguments") or {}
            inline = {key: value for key, value in given.items() if key not in cls.model_fields}
            if inline and isinstance(arguments, dict):
                own = {key: value for key, value in given.items() if key in cls.model_fields}
                return own | {"arguments": arguments | inline}
        elif isinstance(given, dict) and (found := [key for key in given if secrets.is_secret(str(key))]):
            raise ValueError(f"must hold nothing secret, found the key {found[0]!r}; {secrets.ADVICE}")
        return given

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) > 1:
            yield (given[1], given[0]), f"data have one source: give {listed(given[:-1])} or {given[-1]}, not both"
        elif not given:
            yield tuple(SOURCES), f"data need a source: give one of {listed(SOURCES)}"
        elif given == ["simulator"]:
            if self.rows is None:
                yield ("rows", "simulator"), "is required with a simulator: how many rows to simulate"
        else:
            for key in ("rows", "seed", "arguments"):
                if getattr(self, key):
                    yield (key, given[0]), f"is for a simulator; what {given[0]} names is read whole"
        if self.simulator is not None and self.sha256 is not None:
            yield ("sha256", "simulator"), "is for files; what a simulator gives is known by its arguments"
        single = self.huggingface is not None or self.openml is not None
        if single and self.sha256 is not None and len(self.sha256) != 1:
            yield ("sha256", given[0]), f"must be one for the one file, found {len(self.sha256)}"
        yield from self._url_faults()

    def _url_faults(self) -> Iterator[Contradiction]:
        if self.url is None:
            for key in ("mirrors", "name"):
                if getattr(self, key):
                    yield (key, "url"), "is for data that come from a url"
            return
        if self.sha256 is None:
            yield (
                ("sha256", "url"),
                "is required with url, because what stands at an address may change: give what sha256sum says of the "
                "file that you mean",
            )
        elif len(self.sha256) != len(self.url):
            text = f"must be one for each url, in their order; found {len(self.sha256)} for {len(self.url)}"
            yield ("sha256", "url"), text
        if len(self.url) > 1:
            for key in ("mirrors", "name"):
                if getattr(self, key):
                    yield (key, "url"), f"is for a single url, and there are {len(self.url)}"
        elif self.name is None and ending(urlsplit(self.url[0]).path, FILE_TYPES) is None:
            text = f"must end as a table does ({listed(FILE_TYPES)}), or name must say what it is called"
            yield ("url", "name"), f"{text}; found {secrets.shown(self.url[0])}"

    @property
    def addresses(self) -> list[list[str]]:
        """The addresses of each file that is downloaded, in the order in which they are asked."""
        return [[url, *self.mirrors] for url in self.url or ()]

    @property
    def suffixes(self) -> tuple[str, ...] | None:
        """How each file that is downloaded ends; with its sha256 this is all that its reading depends on."""
        if self.url is None:
            return None
        return tuple(ending(self.name or urlsplit(url).path, FILE_TYPES) or "" for url in self.url)
