"""A data set of OpenML, by its number, which is one version of it; brought by OpenML's own client."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from serpens.errors import DataError, EnvironmentFaultError
from serpens.layout import DOWNLOADS
from serpens.sources.parts import Brought, Given, Table
from serpens.sources.secrets import without
from serpens.streams import whole

INSTALL = ".venv/bin/python -m pip install -r requirements/hubs.lock"


def bring(data: Mapping[str, Any], given: Given) -> Brought:
    """Return the table of a data set; the client keeps what it downloaded, and it is held in memory.

    Raises
    ------
    EnvironmentFaultError
        If the client is not installed, or does not reach OpenML.
    DataError
        If there is no such data set, or its table is not of the sha256.
    """
    try:
        import openml
    except ImportError as err:
        raise EnvironmentFaultError(f"openml must be installed to read from OpenML; it is not: {INSTALL}") from err
    import requests

    number = data["openml"]
    openml.config.set_root_cache_directory(DOWNLOADS / "openml")
    try:
        # feather, for the other choice is a pickle
        found = openml.datasets.get_dataset(
            number, download_data=True, download_features_meta_data=True, cache_format="feather"
        )
        frame: Any = found.get_data(include_row_id=True, include_ignore_attribute=True)[0]
    except (requests.RequestException, ConnectionError) as err:
        raise EnvironmentFaultError(f"OpenML must be reached from this machine; {without(str(err))}") from err
    except (openml.exceptions.PyOpenMLError, ValueError, OSError) as err:
        raise DataError(f"data.openml: OpenML must have a data set {number}; {without(str(err))}") from err
    for name in frame.columns[[kind == "category" for kind in frame.dtypes.astype(str)]]:
        frame[name] = frame[name].astype(object)  # its words, whatever their codes
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    sha256 = _digest(table)
    if data["sha256"] and data["sha256"][0] != sha256:
        msg = f"data set {number} of OpenML: sha256 of its values must be {data['sha256'][0]}; it is {sha256}"
        raise DataError(msg)
    logging.getLogger(__name__).info("data set %d of OpenML: %s, version %s", number, found.name, found.version)
    origin = f"OpenML data set {number} ({found.name}, version {found.version})"
    return Brought(tables=(Table(whole(table), origin, table.nbytes, sha256),))


def _digest(table: pa.Table) -> str:
    """Return a digest of names and values: the client may bring the same table in several formats."""
    content = hashlib.sha256()
    for name in table.column_names:
        content.update(f"\x1d{name}\x1e".encode())
        content.update("\x1f".join(map(repr, table.column(name).to_pylist())).encode())
    return content.hexdigest()
