"""The formats that tables are read from, by the ending of a file's name; a format's module is imported only when used.

Such a module defines

- ``open_table(path, read) -> Stream``: the table, piece by piece;
- ``header(path, read) -> list[str]``: the names of its columns, as cheaply as the format allows;
- ``count(path, read) -> int``: its rows, the same.

``read`` holds what the study's section ``read`` says, without what it leaves open. What is wrong with the file raises
:class:`serpens.errors.DataError`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from serpens.errors import DataError, listed

if TYPE_CHECKING:
    from serpens.streams import Stream

Read = Mapping[str, Any]

INSTALL = ".venv/bin/python -m pip install -r requirements/formats.lock"

PACKERS = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Format:
    """A format of tables.

    Attributes
    ----------
    name
        What a person calls it.
    module
        Where it is read.
    suffixes
        How names of its files end; ``/`` is a folder.
    keys
        What the section ``read`` may say of it.
    packages
        What must be installed beside Serpens to read it.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    keys: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The format and how its files are named, such as ``Excel (.xlsx)``."""
        return f"{self.name} ({listed(bare(self.suffixes))})"


def bare(suffixes: Iterable[str]) -> list[str]:
    """Return endings without those that say that a file is packed."""
    return [suffix for suffix in suffixes if not suffix.endswith(PACKERS)]


def _packed(*suffixes: str, packers: tuple[str, ...] = (".gz",)) -> tuple[str, ...]:
    return tuple(suffix + packer for suffix in suffixes for packer in ("", *packers))


# Keys of ``read`` that are for whoever unpacks archives, before a table is there.
UNPACKING = ("member", "max_expanded_mb", "max_ratio")
IMAGE_KEYS = ("images", "size", "channels")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""How names of images end."""
IMAGES = Format("a folder of images", "serpens.formats.images", ("/",), ("size", "channels"), ("PIL",))
DELIMITED = Format(
    "delimited text",
    "serpens.formats.delimited",
    _packed(".csv", ".tsv", ".txt", ".dat", packers=PACKERS),
    (
        "delimiter",
        "decimal",
        "thousands",
        "quote",
        "escape",
        "encoding",
        "header",
        "names",
        "comment",
        "skip_rows",
    ),
)
PARQUET = Format("Parquet", "serpens.formats.parquet", (".parquet",))
FORMATS = (
    DELIMITED,
    PARQUET,
    Format("Arrow", "serpens.formats.feather", (".feather", ".arrow")),
    Format("JSON lines", "serpens.formats.jsonlines", _packed(".jsonl", ".ndjson")),
    Format("Excel", "serpens.formats.excel", (".xlsx",), ("sheet", "skip_rows"), ("openpyxl",)),
    Format("AnnData", "serpens.formats.h5ad", (".h5ad",), ("layer",), ("h5py",)),
    Format("HDF5", "serpens.formats.hdf5", (".h5", ".hdf5"), ("dataset",), ("h5py",)),
    Format("NetCDF", "serpens.formats.netcdf", (".nc",), ("variables",), ("xarray", "h5netcdf")),
    Format("FASTA", "serpens.formats.fasta", _packed(".fasta", ".fa")),
    Format("FASTQ", "serpens.formats.fastq", _packed(".fastq", ".fq")),
    Format("SMILES", "serpens.formats.smiles", _packed(".smi")),
    Format("NumPy", "serpens.formats.arrays", (".npy", ".npz")),
    IMAGES,
)
SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)
ENDINGS = f"{listed(bare(SUFFIXES))} (a folder of images), text also packed, such as .csv.gz"


def of(path: str) -> Format:
    """Return the format of a file by its name.

    Raises
    ------
    DataError
        If it ends like none of ours.
    """
    for each in FORMATS:
        if path.lower().endswith(each.suffixes):
            return each
    msg = f"{path}: the name must end in one of {ENDINGS}, which says what the file holds; it does not"
    raise DataError(msg)


def is_delimited(path: str, read: Read) -> bool:
    """Return whether a table is text in columns and nothing else."""
    return of(path) is DELIMITED and "images" not in read


def is_of_images(path: str, read: Read) -> bool:
    """Return whether a table consists of further files: the images that it names, or that a folder holds."""
    return IMAGES in used(path, read)


def used(path: str, read: Read) -> list[Format]:
    """Return the formats that reading a table takes: images have a table that names them."""
    own = of(path)
    return [IMAGES, own] if "images" in read and own is not IMAGES else [own]


def modules(paths: Iterable[str], read: Read) -> list[str]:
    """Return the modules that reading these tables runs."""
    return sorted({each.module for path in paths for each in used(path, read)})


def misfits(paths: Iterable[str], read: Read) -> Iterator[tuple[str, str]]:
    """Yield the keys of ``read`` that fit none of the files, and why; none where no file is known yet."""
    if not (paths := list(paths)):
        return
    for key in read:
        if key in IMAGE_KEYS and not any(of(path) is IMAGES for path in paths):
            if key != "images" and "images" not in read:
                yield key, "is for images: say with images which column holds their paths"
        elif key not in UNPACKING and not any(key in of(path).keys for path in paths):
            fitting = [each.words for each in FORMATS if key in each.keys]
            found = " and ".join(f"{path} is {of(path).name}" for path in paths)
            yield key, f"is for {' and '.join(fitting) or 'a table that names images'}, and {found}"


def open_table(path: str, read: Read) -> "Stream":
    """Return a file's table, piece by piece.

    Raises
    ------
    DataError
        If it cannot be read, or what reads it is not installed.
    """
    stream: Stream = _reader(path, read).open_table(path, read)
    return stream


def header(path: str, read: Read) -> list[str]:
    """Return the names of a table's columns.

    Raises
    ------
    DataError
        As :func:`open_table`.
    """
    names: list[str] = _reader(path, read).header(path, read)
    return names


def count(path: str, read: Read) -> int:
    """Count the rows of a table.

    Raises
    ------
    DataError
        As :func:`open_table`.
    """
    rows: int = _reader(path, read).count(path, read)
    return rows


def files(path: str, read: Read) -> list[str]:
    """Return the files that a table consists of: itself, or with images these too.

    Raises
    ------
    DataError
        As :func:`open_table`.
    """
    if not is_of_images(path, read):
        return [path]
    named: list[str] = _reader(path, read).files(path, read)
    return named


def _reader(path: str, read: Read) -> ModuleType:
    for each in used(path, read):
        if lacking := [package for package in each.packages if find_spec(package) is None]:
            msg = f"{path}: reading {each.name} needs {listed(lacking)}, not installed here: run  {INSTALL}"
            raise DataError(msg)
    return import_module(used(path, read)[0].module)
