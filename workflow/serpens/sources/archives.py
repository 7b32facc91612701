"""Files that are packed: the table in them is written beside, never further than limits allow, never elsewhere."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from serpens.configtypes import choice
from serpens.errors import DataError, listed
from serpens.sources.disk import MB, writing
from serpens.sources.parts import File
from serpens.sources.registry import PACKED, TABLES, ending, is_paper, must_unpack

CHUNK = 1 << 20
FREE = 100 * MB
# What a file may unpack to, if the study does not say more: megabytes, and times its size.
MOST_MB, MOST_RATIO = 100_000.0, 200.0
"""Bytes that any file may expand to, whatever the ratio: a small table of zeros packs well."""

Count = Callable[[int], None]


def apply(file: File, folder: Path, read: Mapping[str, Any]) -> File:
    """Return a packed file as the table in it, which is written into a folder.

    Parameters
    ----------
    read
        ``member`` names the table where there are several, ``max_expanded_mb`` and ``max_ratio`` are the limits.

    Raises
    ------
    DataError
        If the file is damaged, names places outside itself, expands beyond a limit, or does not tell which table.
    """
    while must_unpack(file.name):
        with _readable(file):
            file = _unpacked(file, folder, read)
    return file


@contextmanager
def _readable(file: File) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError) as err:
        raise DataError(f"{file.origin}: cannot be read; {err}") from err
    except (gzip.BadGzipFile, NotImplementedError, RuntimeError) as err:  # zipfile: a method or a password
        raise DataError(f"{file.origin}: cannot be read; {err}") from err


def _unpacked(file: File, folder: Path, read: Mapping[str, Any]) -> File:
    count = _counter(file, read)
    if ending(file.name, PACKED):
        with gzip.open(file.path) as packed:
            return _written(file, packed, file.name[: -len(".gz")], folder, count)
    if file.name.lower().endswith(".zip"):
        return _from_zip(file, folder, read, count)
    return _from_tar(file, folder, read, count)


def _from_zip(file: File, folder: Path, read: Mapping[str, Any], count: Count) -> File:
    with zipfile.ZipFile(file.path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
        chosen = entries[_chosen(file, list(entries), read.get("member"))]
        if (chosen.external_attr >> 16) & 0o170000 == 0o120000:
            raise _link(file, chosen.filename)
        if chosen.flag_bits & 1:
            raise DataError(
                f"{file.origin}: {chosen.filename!r} must not be encrypted; it is: pack it without a password"
            )
        with archive.open(chosen) as packed:
            return _written(file, packed, chosen.filename, folder, count)


def _from_tar(file: File, folder: Path, read: Mapping[str, Any], count: Count) -> File:
    entries: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(file.path) as archive:
        for entry in archive:
            # to come to the next one its bytes are unpacked
            count(entry.size)
            if not entry.isdir():
                entries[entry.name] = entry
        chosen = entries[_chosen(file, list(entries), read.get("member"))]
        if not chosen.isfile():
            raise _link(file, chosen.name)
        packed = archive.extractfile(chosen)
        assert packed is not None, chosen
        return _written(file, packed, chosen.name, folder, _counter(file, read))


def _chosen(file: File, names: list[str], member: str | None) -> str:
    """Return the member that is meant, of an archive that stays inside itself."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            msg = (
                f"{file.origin}: an archive may hold nothing outside itself; it holds {name!r}: do not trust it, "
                "and pack the table anew"
            )
            raise DataError(msg)
    if member is not None:
        if member not in names:
            raise DataError(f"{file.origin}: there is no member {member!r}{choice(member, names, 'it holds')}")
        return member
    tables = [name for name in names if ending(name, (*TABLES, *PACKED)) and not (_hidden(name) or is_paper(name))]
    if len(tables) != 1:
        found = f"it holds {len(tables)}: {listed(tables)}" if tables else f"it holds {listed(names) or 'nothing'}"
        raise DataError(f"{file.origin}: must hold one table, or read.member must name one; {found}")
    return tables[0]


def _hidden(name: str) -> bool:
    """Return whether a member is what programs leave beside the files that people packed."""
    return any(step.startswith((".", "__MACOSX")) for step in PurePosixPath(name).parts)


def _link(file: File, name: str) -> DataError:
    return DataError(
        f"{file.origin}: the member {name!r} must be a file; it is a link: name the file that it points to"
    )


def _counter(file: File, read: Mapping[str, Any]) -> Count:
    """Return what counts bytes as they are unpacked, and stops where it goes too far."""
    packed, total = max(1, file.path.stat().st_size), 0
    most, ratio = read.get("max_expanded_mb", MOST_MB) * MB, read.get("max_ratio", MOST_RATIO)

    def count(n_bytes: int) -> None:
        nonlocal total
        total += n_bytes
        if total > most:
            msg = (
                f"{file.origin}: must unpack to at most {most / MB:,.0f} MB; it is more, from {packed:,} bytes: "
                "if that is right, raise read.max_expanded_mb"
            )
            raise DataError(msg)
        if total > max(FREE, ratio * packed):
            msg = (
                f"{file.origin}: must unpack to at most {ratio:g} times its size; it is more, {total:,} bytes from "
                f"{packed:,}, as of a file that is made to fill a disk: if it is right, raise read.max_ratio"
            )
            raise DataError(msg)

    return count


def _written(file: File, packed: IO[bytes] | gzip.GzipFile, name: str, folder: Path, count: Count) -> File:
    # never by the name of a member, but for its ending
    plain = PurePosixPath(name).name
    path = folder / f"{len(list(folder.iterdir()))}{ending(plain, (*PACKED, *TABLES))}"
    with writing(path), path.open("wb") as out:
        while chunk := packed.read(CHUNK):
            count(len(chunk))
            out.write(chunk)
    return replace(file, path=path, name=plain)
