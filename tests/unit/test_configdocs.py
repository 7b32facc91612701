"""The schema and the page say what the models say."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from serpens import configdocs

ROOT = Path(__file__).parents[2]
REPAIR = "out of date; run: python -m serpens.configdocs"


@pytest.mark.parametrize(
    ("path", "made"),
    [(configdocs.SCHEMA_FILE, configdocs.schema_text), (configdocs.PAGE_FILE, configdocs.page)],
)
def test_generated_files_are_up_to_date(path, made):
    assert (ROOT / path).read_text(encoding="utf-8") == made(), f"{path} is {REPAIR}"


def test_every_key_is_described():
    sections = [section for _, section in configdocs.SECTIONS.values()]
    for section in (*sections, *configdocs.FAMILY_SECTIONS.values()):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name} has no docstring"


def test_config_yaml_fits_the_schema():
    jsonschema.validate(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")), configdocs.schema())


def test_the_schema_refuses_a_misspelt_key():
    with pytest.raises(jsonschema.ValidationError, match="repeat"):
        jsonschema.validate(
            {"studies": {"s": {"question": "?", "data": "a.csv", "target": "y", "repeat": 3}}},
            configdocs.schema(),
        )
