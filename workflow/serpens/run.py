"""The frame around every script of the workflow: its log, its errors and its record."""

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serpens import io, provenance
from serpens.errors import SerpensError

if TYPE_CHECKING:
    from snakemake.script import Snakemake

logger = logging.getLogger("serpens")


class Facts(dict[str, Any]):
    """What a script adds to its own record, such as the device it used."""


@contextmanager
def script_run(snakemake: "Snakemake") -> Iterator[Facts]:
    """Run a script's body: log to the rule's log file, report errors there, write the record at the end.

    A :class:`SerpensError` is the user's to mend: its text is the last line of the log and of the terminal, and
    nobody needs our stack. Any other error is ours: the log gets the stack as well.
    """
    handler = logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").addHandler(handler)
    start, clock, facts = provenance.now(), time.perf_counter(), Facts()
    try:
        yield facts
        seconds = time.perf_counter() - clock
        written = provenance.record(
            rule=snakemake.rule,
            wildcards=dict(snakemake.wildcards.items()),
            inputs=[str(path) for path in snakemake.input],
            params=dict(snakemake.params.items()),
            threads=snakemake.threads,
            start=start,
            seconds=seconds,
        )
        io.write_json(snakemake.output.record, written | facts)
        logger.info("done in %.1f s", seconds)
    except Exception as err:
        if not isinstance(err, SerpensError):
            logger.error("%s", "".join(traceback.format_exception(err)).rstrip())
        _end(snakemake, f"{type(err).__name__}: {err}", handler)
    finally:
        logger.removeHandler(handler)
        logging.getLogger("py.warnings").removeHandler(handler)
        handler.close()


def _end(snakemake: "Snakemake", message: str, handler: logging.Handler) -> None:
    """Write the message as the log's last line, repeat it on the terminal, remove what was written, and exit."""
    for path in snakemake.output:
        Path(path).unlink(missing_ok=True)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.error("%s", message)
    sys.stderr.write(f"{snakemake.rule} {' '.join(snakemake.wildcards)}: {message}\n")
    sys.exit(1)
