"""The key that pseudonyms are made with: a file beside the configuration, made once, of no use to anybody else."""

import os
import secrets
import stat
from pathlib import Path

from serpens.errors import DataError

KEY_BYTES = 32


def key(path: Path) -> bytes:
    """Return the key in a file; make it when there is none, readable by its owner alone.

    Raises
    ------
    DataError
        If others may read the file, or it holds no key.
    """
    if not path.exists():
        _make(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        msg = f"the key of the pseudonyms, {path}, must be readable by its owner alone; others can: chmod 600 {path}"
        raise DataError(msg)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if len(text) != 2 * KEY_BYTES or set(text) - set("0123456789abcdef"):
        msg = (
            f"the key of the pseudonyms, {path}, must be {2 * KEY_BYTES} hexadecimal digits; it is not: restore it, or "
            "remove it for a new key, with which every pseudonym becomes another one"
        )
        raise DataError(msg)
    return bytes.fromhex(text)


def _make(path: Path) -> None:
    whole = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        whole.touch(mode=0o600, exist_ok=False)
        whole.write_text(f"{secrets.token_hex(KEY_BYTES)}\n", encoding="ascii")
        # of jobs that make it at the same time one wins, and all read the same key
        os.link(whole, path)
    except FileExistsError:
        pass
    finally:
        whole.unlink(missing_ok=True)
