"""Data that are downloaded: what arrives is written at once, and kept under its sha256 when it is what was asked for.

A download that ends early, with its job or its connection, goes on where it was: with the next attempt, at the next
address, in the next run. Nothing is believed of a server but bytes, and of these only their sha256.
"""

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from serpens import io
from serpens.errors import DataError, EnvironmentFaultError
from serpens.layout import DOWNLOADS
from serpens.sources.disk import MB, writing
from serpens.sources.parts import Brought, File, Given
from serpens.sources.secrets import shown, without

if TYPE_CHECKING:
    from requests import Response, Session

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
MOST_REDIRECTS = 5
PROGRESS = MB
"""Bytes that an attempt must bring for the count of failures in a row to begin anew."""
TOLD_EVERY = 10.0
"""Seconds between two lines of the log on how far it is."""
NO_NETWORK = (
    "does this machine have a network? A cluster's compute nodes often have none: run  snakemake --until collect  "
    "where there is one, or name a file that was brought here"
)


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes
    ----------
    tries
        Failures in a row, at one address.
    connect, stall
        Seconds until there is a connection, and without any byte.
    first_wait, most_wait
        Seconds before the second try; each further wait is twice as long, and none longer than the most.
    sleep
        Waits.
    """

    tries: int = 6
    connect: float = 30.0
    stall: float = 60.0
    first_wait: float = 1.0
    most_wait: float = 120.0
    sleep: Callable[[float], None] = time.sleep


class _AgainError(Exception):
    """An attempt failed, another may not: why, and for how many seconds the server asks to be left alone."""

    def __init__(self, why: str, wait: float | None = None, *, network: bool = False) -> None:
        super().__init__(why)
        self.wait, self.network = wait, network


class _NeverError(Exception):
    """An address does not give the file, however often it is asked."""


def bring(data: Mapping[str, Any], given: Given) -> Brought:
    """Return the files behind a study's addresses, downloaded unless they are here already.

    Raises
    ------
    DataError
        If no address has bytes of the sha256.
    EnvironmentFaultError
        If there is no network, no room, or no permission to write.
    """
    files = []
    for addresses, sha256, suffix in zip(given.addresses, data["sha256"], data["url"], strict=True):
        path = fetch(addresses, sha256)
        files.append(File(path, shown(addresses[0]), f"{sha256}{suffix}", path.stat().st_size, sha256))
    return Brought(tuple(files))


def fetch(addresses: tuple[str, ...], sha256: str, folder: Path = DOWNLOADS, patience: Patience | None = None) -> Path:
    """Return the path of a file that is known by its sha256, from the first address that gives it.

    Raises
    ------
    DataError, EnvironmentFaultError
        As :func:`bring`; every address is named with what went wrong there.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    whole = folder / sha256
    with _alone(folder / f"{sha256}.lock"):
        if whole.exists():
            if io.sha256(whole) == sha256:
                logger.info("%s is here already, with this sha256", shown(addresses[0]))
                return whole
            logger.info("%s is damaged: it is downloaded again", whole)
            whole.unlink()
        wrong: list[str] = []
        offline = True
        for address in addresses:
            try:
                _Download(address, sha256, folder, patience or Patience()).run()
            except _NeverError as err:
                offline = False
                wrong.append(f"{shown(address)}: {err}")
            except _AgainError as err:
                offline = offline and err.network
                wrong.append(f"{shown(address)}: {err}")
            else:
                return whole
            logger.info("%s", wrong[-1])
    if offline:
        raise EnvironmentFaultError(f"no connection: {'; '.join(wrong)}; {NO_NETWORK}")
    raise DataError(f"data.url must give a file of the sha256 {sha256}; {'; '.join(wrong)}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one job at a time download a file; another that wants it waits, and finds it here."""
    with writing(path):
        file = path.open("w")
    with file:
        # a file system without locks: two downloads of one file would spoil each other, and the sha256 tells
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass
class _Download:
    """One address, until it gives the file or gives out.

    Attributes
    ----------
    resumed
        Whether what is there comes from more than one answer.
    found
        sha256 of what came, once an answer has come to its end.
    told
        When the log was last told how far it is.
    """

    address: str
    sha256: str
    folder: Path
    patience: Patience
    resumed: bool = False
    found: str = ""
    told: float = field(default_factory=time.monotonic)

    @property
    def part(self) -> Path:
        return self.folder / f"{self.sha256}{io.PART}"

    @property
    def notes(self) -> Path:
        return self.folder / f"{self.sha256}{io.PART}.json"

    def run(self) -> None:
        import requests

        failures = 0
        with requests.Session() as session:
            while True:
                before = self._there()
                try:
                    self._attempt(session)
                    return
                except _AgainError as err:
                    failures = 1 if self._there() - before >= PROGRESS else failures + 1
                    if failures >= self.patience.tries:
                        raise _AgainError(f"{err}, {failures} times in a row", network=err.network) from err
                    wait = err.wait
                    if wait is None:
                        wait = min(self.patience.most_wait, self.patience.first_wait * 2 ** (failures - 1))
                    logger.info("%s: %s; again in %.0f s", shown(self.address), err, wait)
                    self.patience.sleep(wait)

    def _there(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self, session: "Session") -> None:
        have = self._there()
        validator = io.read_cache(self.notes).get(self.address)
        headers = {"Accept-Encoding": "identity", "User-Agent": "serpens"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        with self._answer(session, headers) as answer:
            start = self._from_where(answer, have)
            if start is not None:
                self._note(answer)
                self._receive(answer, start)
        self._settle()

    @contextmanager
    def _answer(self, session: "Session", headers: dict[str, str]) -> Iterator["Response"]:
        """Yield the answer, after redirects, each of which must be as safe as what it follows."""
        import requests
        from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

        address, own = self.address, True
        limits = (self.patience.connect, self.patience.stall)
        for _ in range(MOST_REDIRECTS + 1):
            try:
                # what a .netrc holds for a host goes to that host alone, and after a redirect to no other
                auth = None if own else (lambda request: request)
                answer = session.get(
                    address, headers=headers, stream=True, allow_redirects=False, timeout=limits, auth=auth
                )
            except requests.exceptions.SSLError as err:
                raise _NeverError(f"the certificate must be one that this machine trusts; {without(str(err))}") from err
            except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as err:
                raise _NeverError(f"must be a valid address; {without(str(err))}") from err
            except requests.exceptions.ConnectionError as err:
                cause = getattr(err.args[0] if err.args else None, "reason", None)
                network = isinstance(cause, NewConnectionError | ConnectTimeoutError)
                raise _AgainError(f"no answer ({_reason(err)})", network=network) from err
            except requests.exceptions.RequestException as err:
                raise _AgainError(f"no answer ({_reason(err)})") from err
            if not answer.is_redirect:
                with answer:
                    yield answer
                return
            answer.close()
            target = urljoin(address, answer.headers["Location"])
            if urlsplit(target).scheme not in ("http", "https"):
                raise _NeverError(f"redirects to {shown(target)}, which is neither https nor http")
            if (urlsplit(address).scheme, urlsplit(target).scheme) == ("https", "http"):
                raise _NeverError(f"redirects from https to {shown(target)}, where anybody may read and change it")
            own = own and urlsplit(target).netloc == urlsplit(address).netloc
            address = target
        raise _NeverError(f"redirects more than {MOST_REDIRECTS} times")

    def _from_where(self, answer: "Response", have: int) -> int | None:
        """Return from which byte the answer goes on, or None if there is nothing to receive."""
        status = answer.status_code
        if status == 206 and have:
            start = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
            if start == str(have):
                self.resumed = True
                return have
            self._forget()
            raise _AgainError(f"was asked for what follows byte {have} and answers with other bytes")
        if status == 416 and have:  # nothing follows: it is whole, or another file
            self.resumed = True
            return None
        if status == 200:  # from the start: what was there is of another file, or the server knows no ranges
            self._forget()
            return 0
        if status == 429 or status >= 500:
            raise _AgainError(f"answers {status} {answer.reason}", _asked_wait(answer, self.patience.most_wait))
        if status in (401, 403, 407):
            raise _NeverError(
                f"answers {status} {answer.reason}: the file is not for everybody; if you may have it, put user and "
                "password of this host into ~/.netrc"
            )
        raise _NeverError(f"answers {status} {answer.reason}")

    def _note(self, answer: "Response") -> None:
        """Keep what tells a later attempt that the file is still the same; a weak ETag does not."""
        tag = answer.headers.get("ETag", "")
        validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
        with writing(self.notes):
            io.write_cache(self.notes, {self.address: validator} if validator else {})

    def _receive(self, answer: "Response", have: int) -> None:
        import requests
        import urllib3

        length = answer.headers.get("Content-Length", "")
        left = int(length) if length.isdigit() else None
        total = None if left is None else have + left
        free = disk_usage(self.folder).free
        if left is not None and left > free:
            raise EnvironmentFaultError(
                f"{self.folder} must have room for {left / MB:,.1f} MB that are still to come from "
                f"{shown(self.address)}; it has {free / MB:,.1f} MB: free some, then run again"
            )
        kept = "; what has come is kept, and the next run goes on from there"
        with writing(self.part, kept), self.part.open("ab") as out:
            digest = self._digest()
            try:
                # not decoded, for the sha256 is of the bytes of the file; read1 hands on what is there and no more is
                while chunk := answer.raw.read1(CHUNK, decode_content=False):
                    out.write(chunk)
                    digest.update(chunk)
                    have += len(chunk)
                    self._tell(have, total)
            except (urllib3.exceptions.HTTPError, requests.exceptions.RequestException, TimeoutError) as err:
                of = f" of {total:,}" if total is not None else ""
                raise _AgainError(f"broke off after {have:,}{of} bytes ({_reason(err)})") from err
        self.found = digest.hexdigest()

    def _digest(self) -> "hashlib._Hash":
        """Return the sha256 of what is there so far."""
        with self.part.open("rb") as file:
            return hashlib.file_digest(file, "sha256")

    def _tell(self, have: int, total: int | None) -> None:
        if time.monotonic() - self.told < TOLD_EVERY:
            return
        self.told = time.monotonic()
        of = f" of {total / MB:,.1f} MB ({have / total:.0%})" if total else " MB"
        logger.info("%s: %.1f%s have come", shown(self.address), have / MB, of)

    def _settle(self) -> None:
        """Give the file its name if it is what was asked for."""
        with writing(self.part):
            with self.part.open("ab") as out:
                os.fsync(out.fileno())
            found = self.found or self._digest().hexdigest()
            n_bytes = self._there()
            if found == self.sha256:
                self.part.replace(self.folder / self.sha256)
                self.notes.unlink(missing_ok=True)
                logger.info("%s: %s bytes have come, and their sha256 is right", shown(self.address), f"{n_bytes:,}")
                return
            resumed, self.resumed, self.found = self.resumed, False, ""
            self._forget()
        if resumed:
            raise _AgainError("is not the file whose beginning was here, and is asked for as a whole", 0.0)
        raise _NeverError(f"gives {n_bytes:,} bytes of the sha256 {found}, which are not kept")

    def _forget(self) -> None:
        with writing(self.part):
            self.part.unlink(missing_ok=True)
            self.notes.unlink(missing_ok=True)


def _asked_wait(answer: "Response", most: float) -> float | None:
    """Return for how many seconds a server asks to be left alone.

    Raises
    ------
    _NeverError
        If that is longer than a job should wait.
    """
    text = answer.headers.get("Retry-After", "")
    if not text:
        return None
    if text.isdigit():
        wait = float(text)
    else:
        try:
            wait = max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except ValueError:
            return None
    if wait > 10 * most:
        raise _NeverError(f"answers {answer.status_code} {answer.reason}, and asks to come back in {wait:,.0f} s")
    return wait


def _reason(err: BaseException) -> str:
    """Return the innermost cause, which says what happened; its addresses without secrets."""
    inner: Any = err
    while (
        deeper := getattr(inner, "reason", None)
        or inner.__cause__
        or next((each for each in inner.args if isinstance(each, BaseException)), None)
    ) is not None and isinstance(deeper, BaseException):
        inner = deeper
    return without(str(inner)).strip() or type(inner).__name__
