"""scikit-learn models as arrays: through skops, without pickle, and the same bytes for the same model.

skops writes a zip with the time of writing, and names each part by the address it had in memory. Both are replaced by
what does not change: a fixed date, and numbers in order of appearance.
"""

import io
import json
import re
import sys
import zipfile
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Importing skops imports every module of scikit-learn, among them its bridge to torch, which no estimator here uses and
# which costs two seconds. An empty module in its place keeps torch out of jobs that do not train networks.
sys.modules.setdefault("sklearn.externals.array_api_compat.torch", ModuleType("not needed"))

import skops.io  # noqa: E402  - after the line above

# Types inside fitted gradient boosting that skops does not trust by itself; all are scikit-learn's own or NumPy's.
TRUSTED = [
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
_EPOCH = (1980, 1, 1, 0, 0, 0)


def to_state(estimator: Any) -> dict[str, NDArray[np.uint8]]:
    """Return a fitted estimator as one array of bytes."""
    return {"skops": np.frombuffer(_canonical(skops.io.dumps(estimator)), dtype=np.uint8)}


def from_state(state: dict[str, NDArray[np.uint8]]) -> Any:
    """Return the estimator; anything but the types that it is made of is refused by skops."""
    return skops.io.loads(state["skops"].tobytes(), trusted=TRUSTED)


def _canonical(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = archive.read("schema.json").decode()
        names: dict[str, str] = {}
        # addresses stand as "__id__": 140..., and as file names "140....npy"
        for address in re.findall(r'"__id__": (\d+)|"(\d+)\.\w+"', schema):
            names.setdefault("".join(address), str(len(names) + 1))
        schema = re.sub(r'("__id__": |")(\d+)(?=[,}\s]|\.\w+")', lambda m: m[1] + names.get(m[2], m[2]), schema)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(json.loads(schema), sort_keys=True))
            parts = [name for name in archive.namelist() if name != "schema.json"]
            renamed = {_rename(name, names): archive.read(name) for name in parts}
            for name in sorted(renamed):
                target.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name], zipfile.ZIP_DEFLATED)
    return written.getvalue()


def _rename(name: str, names: dict[str, str]) -> str:
    stem, _, suffix = name.partition(".")
    return f"{names.get(stem, stem)}.{suffix}"
