"""Images: a row an image, its pixels the columns ``pixel_0``, ``pixel_1`` and so on, by channel, row and column.

Either a table names them in a column (``read: {images: <column>}``), which keeps its other columns, or they lie in a
folder with one sub-folder a class, which become the columns ``file`` and ``class``. PNG, JPEG and TIFF; 8 bits a
channel. They are turned as their EXIF says, and otherwise taken as they are unless ``size`` or ``channels`` say more.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from serpens.errors import DataError, listed
from serpens.formats import registry
from serpens.formats.registry import IMAGE_SUFFIXES, Read
from serpens.formats.tables import check_names, rows_at_once
from serpens.streams import Stream

FORMATS = ("PNG", "JPEG", "TIFF")
# Channels of the ways in which Pillow holds pixels; any other is converted when the study says how many.
CHANNELS = {"1": 1, "L": 1, "RGB": 3}
MODES = {1: "L", 3: "RGB"}
# 16 and 32 bits a channel, which 8 would not hold.
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
FOLDER_SCHEMA = pa.schema([("file", pa.string()), ("class", pa.string())])
PIXEL = "pixel"
# The tag of EXIF that says how an image is to be turned, and its values for a quarter to either side.
ORIENTATION, QUARTERS = 0x0112, (5, 6, 7, 8)


class Shape(NamedTuple):
    """Channels, height and width of an image, in pixels."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height} x {self.width} pixels, {self.channels} channel{'' if self.channels == 1 else 's'}"


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If an image is not there, cannot be read, or has not the shape of the others.
    """
    names, folder = _naming(path, read)
    place = names.schema.get_field_index(_column(path, read))
    shape = _shape(_first(path, names, place, folder), read)
    schema = pa.schema([*names.schema, *_pixels(shape)])
    check_names(path, schema.names)
    at_once = rows_at_once(len(schema))

    def batches() -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in names.batches():
            for start in range(0, len(batch), at_once):
                part = batch.slice(start, at_once)
                files = [_named(path, folder, row + n, name) for n, name in enumerate(part[place].to_pylist(), start=1)]
                row += len(part)
                pixels = np.stack([_read(file, shape, read) for file in files], axis=1)  # (pixels, rows)
                yield pa.RecordBatch.from_arrays([*part.columns, *map(pa.array, pixels)], schema=schema)

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the columns of the table that names the images, and one for each pixel of the first."""
    names, folder = _naming(path, read)
    place = names.schema.get_field_index(_column(path, read))
    shape = _shape(_first(path, names, place, folder), read)
    found = [*names.schema.names, *(field.name for field in _pixels(shape))]
    check_names(path, found)
    return found


def count(path: str, read: Read) -> int:
    """Count the images."""
    return len(_listing(path)) if path.endswith("/") else registry.count(path, _rest(read))


def files(path: str, read: Read) -> list[str]:
    """Return the files that are read: the table, if there is one, and the images."""
    names, folder = _naming(path, read)
    place = names.schema.get_field_index(_column(path, read))
    named = (name for batch in names.batches() for name in batch[place].to_pylist())
    images = [str(_named(path, folder, row, name)) for row, name in enumerate(named, start=1)]
    return images if path.endswith("/") else [path, *dict.fromkeys(images)]


def _naming(path: str, read: Read) -> tuple[Stream, Path]:
    """Return the table that names the images, and the folder from which it does."""
    if not path.endswith("/"):
        return registry.open_table(path, _rest(read)), Path(path).parent
    found = _listing(path)
    if not found:
        msg = (
            f"{path}: there must be one folder a class with images ({listed(IMAGE_SUFFIXES)}) in it; there is none: "
            "or name the images in a table, read: {images: <column>}"
        )
        raise DataError(msg)
    table = pa.table([found, [name.partition("/")[0] for name in found]], schema=FOLDER_SCHEMA)
    return Stream(FOLDER_SCHEMA, lambda: iter(table.to_batches())), Path(path)


def _listing(path: str) -> list[str]:
    """Return the images of a folder by class and name."""
    if not Path(path).is_dir():
        msg = f"{path}: the folder must exist; it does not"
        raise DataError(msg)
    inside = [file.relative_to(path) for file in Path(path).glob("*/[!.]*") if file.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(file.as_posix() for file in inside if not file.parts[0].startswith("."))


def _rest(read: Read) -> Read:
    return {key: value for key, value in read.items() if key not in registry.IMAGE_KEYS}


def _column(path: str, read: Read) -> str:
    return "file" if path.endswith("/") else str(read["images"])


def _first(path: str, names: Stream, place: int, folder: Path) -> Path:
    if place < 0:
        msg = f"{path}: read.images must name a column of it; there are {listed(names.schema.names)}"
        raise DataError(msg)
    first = next((batch[place][0].as_py() for batch in names.batches() if len(batch)), None)
    return _named(path, folder, 1, first)


def _named(path: str, folder: Path, row: int, name: object) -> Path:
    if not isinstance(name, str) or not name.strip():
        msg = f"{path}, row {row}: the path of an image must stand there; found {name!r}"
        raise DataError(msg)
    file = folder / name.strip()
    if not file.is_file():
        msg = f"{path}, row {row}: there must be an image {file}; there is none"
        raise DataError(msg)
    return file


def _pixels(shape: Shape) -> Iterator[pa.Field]:
    n_pixels = shape.channels * shape.height * shape.width
    return (pa.field(f"{PIXEL}_{place}", pa.uint8()) for place in range(n_pixels))


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image; what its header says is known, its pixels are not read yet."""
    try:
        with warnings.catch_warnings():
            # of images that are far larger unpacked than packed
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except UnidentifiedImageError as err:
        msg = f"{file}: must be a PNG, JPEG or TIFF image; it is none"
        raise DataError(msg) from err
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as err:
        msg = f"{file}: must be a whole image; {err}"
        raise DataError(msg) from err


def _upright(file: Path, image: Image.Image, read: Read) -> Image.Image:
    """Return an image as a viewer shows it, with the channels that the study says or that it has."""
    if getattr(image, "n_frames", 1) > 1:
        msg = f"{file}: must hold one image; it holds {getattr(image, 'n_frames', 1)}: write each to a file of its own"
        raise DataError(msg)
    if image.mode in DEEP:
        msg = f"{file}: must have 8 bits a channel; its pixels are {image.mode!r}, which have more: convert it"
        raise DataError(msg)
    channels = read.get("channels") or CHANNELS.get(image.mode)
    if channels is None:
        msg = f"{file}: must be grey or RGB; it is {image.mode}: convert it, or say read: {{channels: 1}} or 3"
        raise DataError(msg)
    # which Pillow 13 reads with the sides swapped, without a word
    turned = image.getexif().get(ORIENTATION, 1) in QUARTERS
    if turned and isinstance(image, TiffImageFile) and image.tile[0][0] != "libtiff":
        msg = (
            f"{file}: must be compressed, or lie as it is to be seen; it is a plain TIFF to be turned: write it as PNG"
        )
        raise DataError(msg)
    image.load()  # by which Pillow turns a TIFF already
    return ImageOps.exif_transpose(image).convert(MODES[channels])


def _shape(file: Path, read: Read) -> Shape:
    """Return the shape that all images must have: the declared one, or the first one's."""
    with _opened(file) as image:
        upright = _upright(file, image, read)
        height, width = read.get("size") or (upright.height, upright.width)
        return Shape(len(upright.getbands()), height, width)


def _read(file: Path, shape: Shape, read: Read) -> NDArray[np.uint8]:
    """Return the pixels of an image by channel, row and column."""
    with _opened(file) as image:
        upright = _upright(file, image, read)
        if "size" in read:
            upright = upright.resize((shape.width, shape.height), Image.Resampling.BILINEAR)
        found = Shape(len(upright.getbands()), upright.height, upright.width)
        if found != shape:
            msg = (
                f"{file}: must have {shape}, as the first image has; it has {found}: say with read: "
                f"{{size: [{shape.height}, {shape.width}], channels: {shape.channels}}} to what all are to be converted"
            )
            raise DataError(msg)
        pixels = np.asarray(upright).reshape(shape.height, shape.width, shape.channels)
    return pixels.transpose(2, 0, 1).ravel()
