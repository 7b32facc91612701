import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from serpens import artefacts, dataartefacts

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"


@pytest.mark.parametrize("name", artefacts.MODELS)
def test_schemas_are_those_of_the_models(name, tmp_path):
    artefacts.write_schemas(tmp_path)
    committed = (SCHEMAS / f"{name}.schema.json").read_text()
    assert committed == (tmp_path / f"{name}.schema.json").read_text(), "run: make generate"


@pytest.mark.parametrize("name", artefacts.MODELS)
def test_schemas_are_schemas(name):
    Draft202012Validator.check_schema(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def test_what_is_written_is_read_back(tmp_path):
    account = dataartefacts.Cleaning(
        rows=dataartefacts.RowAccount(read=3, kept=2, inserted=0, dropped={"no target": 1}, duplicates=0),
        columns=(dataartefacts.ColumnAccount(name="x", role="feature", kept=True, reason=None, type="number"),),
    )
    account.write(tmp_path / "cleaning.json")
    assert dataartefacts.Cleaning.read(tmp_path / "cleaning.json") == account


def test_an_unknown_key_is_refused(tmp_path):
    (tmp_path / "cleaning.json").write_text('{"rows": {}, "columns": [], "more": 1}')
    with pytest.raises(ValidationError, match="more"):
        dataartefacts.Cleaning.read(tmp_path / "cleaning.json")


def test_a_record_of_another_version_is_read():
    known = {
        "rule": "collect", "wildcards": {}, "key": "a", "inputs": {}, "outputs": {"x": {"sha256": "b", "bytes": 1}},
        "settings": {}, "code": {"sha256": "c", "definitions": {}}, "libraries": {}, "threads": 1, "versions": {},
        "host": "h", "machine": "m", "start": "2026-01-01", "seconds": 1.0, "peak_memory_mb": 1.0,
    }  # fmt: skip
    later = known | {"outputs": {"x": {"sha256": "b", "bytes": 1, "stamp": [1]}}, "colour": "red"}
    assert artefacts.Record.model_validate(later) == artefacts.Record.model_validate(known)
