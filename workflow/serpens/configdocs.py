"""Make the JSON Schema and the page of the configuration: ``python -m serpens.configdocs``, from the root."""

import json
from pathlib import Path
from typing import Any

from serpens.config import (
    Claim,
    Column,
    Data,
    Image,
    Model,
    Project,
    Read,
    Resources,
    Split,
    Study,
    Training,
)
from serpens.configtypes import Section
from serpens.dataconfig import HuggingFace, Join
from serpens.modelconfig import FAMILY_SECTIONS

SCHEMA_FILE = Path("workflow/schemas/config.schema.json")
PAGE_FILE = Path("docs/configuration.md")

HEAD = """\
# The configuration

This page is made from `workflow/serpens/config.py`; mend it there, then run `python -m serpens.configdocs`.

A study needs three keys; every other has a default or is inferred from the data:

```yaml
studies:
  my_study:
    question: Which patients come back within a month?
    data: my.csv
    target: readmitted
```

Paths are relative to the working directory and may not leave it by `..`; absolute paths may be given. A wrong
configuration stops before any job, with one line for each fault. Names of studies and models are letters,
digits, `-` and `_`, because they become paths.

YAML has traps, and Serpens says so instead of guessing: write `0.001` or `1.0e-3`, since `1e-3` is text to
YAML, and put words such as `"no"` and `"on"` in quotes, since they are truth values to it. Dates and numbers
with leading zeros stay the text that you wrote.
"""

SECTIONS: dict[str, tuple[str, type[Section]]] = {
    "The file": ("", Project),
    "A study": ("studies.<name>", Study),
    "data": ("studies.<name>.data", Data),
    "join": ("studies.<name>.data.join[]", Join),
    "huggingface": ("studies.<name>.data.huggingface", HuggingFace),
    "read": ("studies.<name>.read", Read),
    "test_on": ("studies.<name>.test_on", Claim),
    "split": ("studies.<name>.split", Split),
    "columns": ("studies.<name>.columns.<column>", Column),
    "image": ("studies.<name>.image", Image),
    "resources": ("studies.<name>.resources", Resources),
    "training": ("studies.<name>.training", Training),
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, for editors that complete and check."""
    schema = Project.model_json_schema()
    keys = schema["$defs"]["Study"]["properties"]
    schema["properties"]["defaults"] |= {
        "properties": {key: {"$ref": f"#/$defs/Study/properties/{key}"} for key in keys},
        "additionalProperties": False,
    }
    schema["$defs"]["Data"]["anyOf"][1]["additionalProperties"] = True  # a simulator's arguments
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Serpens configuration",
    } | schema


def page() -> str:
    """Return the configuration page of the docs, as Markdown."""
    parts = [HEAD]
    for title, (where, section) in SECTIONS.items():
        name = f"`{title}`" if where.count(".") > 1 else title
        parts.append(f"## {name}\n\n{_docstring(section)}\n\n{_table(section)}")
    parts.append(
        "## Models and baselines\n\n"
        "Each is the name of a family, or a mapping: `{name: wide, family: mlp, width: 512, training: "
        "{max_epochs: 50}}`. `training` takes any key of the study's `training`, for this model alone.\n\n"
        f"{_table(Model)}"
    )
    for family, section in FAMILY_SECTIONS.items():
        table = _table(section, without=tuple(Model.model_fields))
        parts.append(f"### `{family}`\n\n{_docstring(section)}\n\n{table}")
    return "\n".join(parts)


def write() -> None:
    """Write both files below the working directory."""
    for path, text in ((SCHEMA_FILE, schema_text()), (PAGE_FILE, page())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def schema_text() -> str:
    """Return the JSON Schema as it stands in its file."""
    return json.dumps(schema(), indent=2) + "\n"


def _docstring(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _table(section: type[Section], without: tuple[str, ...] = ()) -> str:
    described = section.model_json_schema()
    described = next((part for part in described.get("anyOf", ()) if "properties" in part), described)
    required = described.get("required", ())
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, value in described["properties"].items():
        if key not in without:
            default = "required" if key in required else _default(section, key)
            meaning = " ".join((section.model_fields[key].description or "").split())
            rows.append(f"| `{key}` | {_kind(value)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(section: type[Section], key: str) -> str:
    field = section.model_fields[key]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(default, Section):
        return "see its keys"
    if isinstance(default, tuple):
        return f"`[{', '.join(item.name if isinstance(item, Model) else str(item) for item in default)}]`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "" if default is None else f"`{default}`"


def _kind(value: dict[str, Any]) -> str:
    """Say in words what a JSON Schema takes."""
    if "$ref" in value:
        return "mapping"
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        kinds = [_kind(part) for part in value["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "array": "list",
        "object": "mapping",
    }
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    ranges = [f"{sign} {value[bound]:.10g}" for bound, sign in bounds.items() if bound in value]
    return " ".join([words[value["type"]], ", ".join(ranges)]).strip()


if __name__ == "__main__":
    write()
