"""A file of a data set on the Hugging Face hub, at a commit; brought by the hub's own client."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from serpens import io
from serpens.errors import DataError, EnvironmentFaultError
from serpens.layout import DOWNLOADS
from serpens.sources.files import check
from serpens.sources.parts import Brought, File, Given
from serpens.sources.secrets import without

INSTALL = ".venv/bin/python -m pip install -r requirements/hubs.lock"


def bring(data: Mapping[str, Any], given: Given) -> Brought:
    """Return the file, which the client keeps below the folder of downloads, and fetches once.

    Raises
    ------
    EnvironmentFaultError
        If the client is not installed, or does not reach the hub.
    DataError
        If there is no such file, it is not for this user, or not of the sha256.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as err:
        msg = f"huggingface_hub must be installed to read from the Hugging Face hub; it is not: {INSTALL}"
        raise EnvironmentFaultError(msg) from err

    wanted = data["huggingface"]
    origin = f"hf://datasets/{wanted['repository']}@{wanted['revision'][:12]}/{wanted['file']}"
    try:
        path = huggingface_hub.hf_hub_download(
            wanted["repository"],
            wanted["file"],
            repo_type="dataset",
            revision=wanted["revision"],
            cache_dir=DOWNLOADS / "huggingface",
        )
    except errors.LocalEntryNotFoundError as err:  # not there, and nobody answers
        raise EnvironmentFaultError(
            f"{origin}: the hub must be reached from this machine; {without(str(err))}"
        ) from err
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as err:
        told = "no such data set, or not one for you: log in with  hf auth login, or set HF_TOKEN"
        raise DataError(f"{origin}: the hub must have this file for you; {told}") from err
    except (errors.HfHubHTTPError, ValueError) as err:
        first = without(str(err)).strip().partition("\n")[0]
        raise DataError(f"{origin}: the hub must have this file for you; {first}") from err
    file = Path(path)
    found = File(file, origin, PurePosixPath(wanted["file"]).name, file.stat().st_size, io.sha256(file))
    check([found], data["sha256"])
    return Brought((found,))
