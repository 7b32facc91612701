"""A study as an RO-Crate: what was run, from what, on what, with which result, for machines that know nothing of us.

The crate is built from the records of the jobs and conforms to the Provenance Run Crate profile. It copies no results:
its files are those of the study's folder, named relative to ``crate/``, so that the folder can be moved as a whole. Of
the workflow the Snakefile is there, as the profile asks. The files that the data came from lie outside: they are
described, with their digest, under a name of their own.

References
----------
Leo et al. (2024), Recording provenance of workflow runs with RO-Crate. PLOS ONE 19(9), 10.1371/journal.pone.0309210.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from serpens import io
from serpens.artefacts import Record, ResolvedStudy
from serpens.dataartefacts import Source
from serpens.layout import StudyFolder

Entity = dict[str, Any]

RO_CRATE = "1.1"  # the version that the profiles build on
PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/provenance/0.5", "Provenance Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
# Terms of the profiles that RO-Crate's own context lacks; here, so that a reader need not fetch a second context.
TERMS = {name: f"https://w3id.org/ro/terms/workflow-run#{name}" for name in ("sha256", "resourceUsage")}
FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".csv": "text/csv",
    ".html": "text/html",
    ".safetensors": "application/octet-stream",
}
LICENSES = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-SA 4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "public domain": "https://creativecommons.org/publicdomain/mark/1.0/",
}
COMPLETED = "http://schema.org/CompletedActionStatus"
WORKFLOW = "Snakefile"
SNAKEFILE = Path(__file__).parents[2] / WORKFLOW


def build(folder: StudyFolder, study: ResolvedStudy, records: Mapping[str, Record]) -> Entity:
    """Return the crate of a study, as JSON-LD; ``study.json`` must have been written.

    Parameters
    ----------
    records
        Of every job from collecting to evaluating, by stem (:mod:`serpens.records`), in the order of the workflow.
        The report only shows what these made; it is a part of the crate, and its digest is in its own record.
    """
    return _Builder(folder, study, records).build()


class _Builder:
    """The entities of one crate, each added once."""

    def __init__(self, folder: StudyFolder, study: ResolvedStudy, records: Mapping[str, Record]) -> None:
        from rocrate.rocrate import ROCrate

        self.folder, self.study, self.records = folder, study, records
        self.source = Source.read(folder.root / "data/source.json")
        self.crate = ROCrate(version=RO_CRATE)
        self.files: dict[str, Entity] = {}
        self.parameters: dict[str, Entity] = {}
        self.tools: dict[str, Entity] = {}
        self.others: dict[str, Entity] = {}
        self.actions: list[Entity] = []

    def build(self) -> Entity:
        from rocrate.model.contextentity import ContextEntity

        for stem in self.records:
            self._job(stem)
        self._shown()
        workflow = self._workflow()
        self._root(workflow)
        everything = [workflow, *self.files.values(), *self.parameters.values(), *self.tools.values()]
        for entity in [*everything, *self.actions, *self.others.values()]:
            known = {name: _compact(value) for name, value in entity.items() if value not in ([], None)}
            # add_jsonld would look through all entities for each one
            self.crate.add(ContextEntity(self.crate, known.pop("@id"), properties=known))
        self.crate.metadata.extra_terms.update(TERMS)
        generated: Entity = self.crate.metadata.generate()
        return generated

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _job(self, stem: str) -> None:
        record = self.records[stem]
        inputs = [self._file(path, sha256) for path, sha256 in record.inputs.items()]
        outputs = [
            self._file(path, output.sha256, output.bytes)
            for path, output in record.outputs.items()
            if PurePath(path) != self.folder.record(stem)
        ]
        settings = self._settings(record)
        tool = self._tool(record)
        for direction, files in (("input", [*inputs, settings]), ("output", outputs)):
            for entity in files:
                _refer(tool, direction, entity["exampleOfWork"])
        own = self._file(str(self.folder.record(stem)), io.sha256(self.folder.record(stem)))
        name = _title(record)
        action = {
            "@id": f"#job/{stem}",
            "@type": "CreateAction",
            "name": name,
            "description": f"Job of the rule {record.rule}, on {record.threads} thread{'s' * (record.threads > 1)}"
            + (f", on the device {record.device}" if record.device else ""),
            "instrument": _ref(tool),
            "object": _refs([*inputs, settings]),
            "result": _refs(outputs),
            "startTime": record.start,
            "endTime": _end(record),
            "actionStatus": COMPLETED,
            "location": _ref(self._machine(record)),
            "resourceUsage": _refs(self._usage(stem, record)),
            "subjectOf": _ref(own),
        }
        control = {
            "@id": f"#control/{stem}",
            "@type": "ControlAction",
            "name": f"start of {name}",
            "instrument": {"@id": f"#step/{record.rule}"},
            "object": _ref(action),
            "actionStatus": COMPLETED,
        }
        self.actions += [action, control]

    def _file(self, path: str, sha256: str, n_bytes: int | None = None) -> Entity:
        """Return the entity of a file: a part of the crate if it lies in the study's folder."""
        inside = PurePath(path).is_relative_to(self.folder.root)
        relative = PurePath(path).relative_to(self.folder.root).as_posix() if inside else PurePath(path).name
        id_ = f"../{quote(relative)}" if inside else f"#source/{sha256[:8]}/{quote(relative)}"
        if id_ not in self.files:
            self.files[id_] = {
                "@id": id_,
                "@type": "File",
                "name": relative,
                "encodingFormat": FORMATS.get(PurePath(path).suffix, "application/octet-stream"),
                "exampleOfWork": _ref(self._parameter(_kind(relative) if inside else "source", "File")),
                "sha256": sha256,
            }
            self._example(self.files[id_])
            if not inside or relative == "data/raw.parquet":
                self.files[id_] |= self._rights()
        if n_bytes is not None:
            self.files[id_]["contentSize"] = str(n_bytes)
        return self.files[id_]

    def _settings(self, record: Record) -> Entity:
        value = json.dumps(record.settings, sort_keys=True, ensure_ascii=False)
        entity = {
            "@id": f"#settings/{record.rule}/{hashlib.sha256(value.encode()).hexdigest()[:8]}",
            "@type": "PropertyValue",
            "name": f"settings of {record.rule}",
            "value": value,
            "exampleOfWork": _ref(self._parameter(f"settings of {record.rule}", "PropertyValue")),
        }
        return self._once(entity, example=True)

    def _parameter(self, name: str, kind: str) -> Entity:
        """Return what files or settings of one kind are an example of, outputs of one rule and inputs of others."""
        id_ = f"#parameter/{quote(name.replace('{', '').replace('}', ''))}"
        return self.parameters.setdefault(
            id_,
            {
                "@id": id_,
                "@type": "FormalParameter",
                "additionalType": kind,
                "name": name,
                "conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
                "workExample": [],
            },
        )

    def _example(self, entity: Entity) -> None:
        _refer(self.parameters[entity["exampleOfWork"]["@id"]], "workExample", _ref(entity))

    def _tool(self, record: Record) -> Entity:
        """Return what a job ran: two jobs with the same code and the same libraries ran the same."""
        id_ = f"#script/{record.rule}/{record.code.sha256[:8]}"
        return self.tools.setdefault(
            id_,
            {
                "@id": id_,
                "@type": "SoftwareSourceCode",
                "name": record.rule,
                "version": record.code.sha256,
                "description": f"workflow/scripts/{record.rule}.py and the "
                f"{len(record.code.definitions)} definitions that it reaches; the version is their digest",
                "programmingLanguage": _ref(self._library("python", record.versions["python"], "ComputerLanguage")),
                "softwareRequirements": [
                    _ref(self._library(name, version)) for name, version in record.libraries.items() if name != "python"
                ],
                "input": [],
                "output": [],
            },
        )

    def _library(self, name: str, version: str, kind: str = "SoftwareApplication") -> Entity:
        public = version.split("+")[0]  # a local label, as in 2.13.0+cpu, says how it was built
        url = (
            f"https://docs.python.org/release/{public}/"
            if name == "python"
            else f"https://pypi.org/project/{name}/{public}/"
        )
        id_ = url if public == version else f"{url}#{version}"
        return self._once({"@id": id_, "@type": kind, "name": name, "version": version, "url": {"@id": url}})

    def _machine(self, record: Record) -> Entity:
        return self._once(
            {
                "@id": f"#machine/{quote(record.host)}",
                "@type": "Place",
                "name": record.host,
                "description": f"a computer: {record.machine}",
            }
        )

    def _usage(self, stem: str, record: Record) -> list[Entity]:
        gpu = record.gpu_usage
        return [
            self._once(
                {
                    "@id": f"#usage/{stem}/{name}",
                    "@type": "PropertyValue",
                    "name": name.replace("_", " "),
                    "propertyID": name,
                    "value": str(value),
                    "unitCode": f"https://qudt.org/vocab/unit/{unit}",
                }
            )
            for name, value, unit in (
                ("seconds", record.seconds, "SEC"),
                ("cpu_seconds", record.cpu_seconds, "SEC"),
                ("peak_memory_mb", record.peak_memory_mb, "MegaBYTE"),
                ("gpu_peak_memory_mb", gpu and gpu.peak_memory_mb, "MegaBYTE"),
                ("gpu_energy_wh", gpu and gpu.energy_wh, "W-HR"),
                ("threads", record.threads, "NUM"),
            )
            if value is not None
        ]

    def _once(self, entity: Entity, *, example: bool = False) -> Entity:
        if entity["@id"] not in self.others:
            self.others[entity["@id"]] = entity
            if example:
                self._example(entity)
        return self.others[entity["@id"]]

    # --- the whole ----------------------------------------------------------------------------------------------------

    def _shown(self) -> None:
        """Add what the report makes: the resolved study, with its digest, and the page that shows all of this."""
        study = self.folder.root / "study.json"
        self._file(str(study), io.sha256(study), study.stat().st_size)
        self.files["../study.json"]["description"] = "The study with every default and all that was inferred"
        self.files["../report.html"] = {
            "@id": "../report.html",
            "@type": "File",
            "name": "report.html",
            "encodingFormat": FORMATS[".html"],
            "description": "Shows this evaluation to a person; made last, its digest is in records/report.json",
        }

    def _workflow(self) -> Entity:
        from rocrate.model.computerlanguage import get_lang

        last = self.records["evaluate"]
        version = last.versions["snakemake"]
        language = get_lang(self.crate, "snakemake", version)
        self.crate.add(language)
        engine = self._library("snakemake", version)
        sources = [entity for id_, entity in self.files.items() if id_.startswith("#source")]
        given = [*sources, self.files["../study.json"]]
        results = [self.files[f"../{name}"] for name in ("evaluation.json", "scores.csv") if f"../{name}" in self.files]
        rules = list(dict.fromkeys(record.rule for record in self.records.values()))
        steps = [
            self._once(
                {
                    "@id": f"#step/{rule}",
                    "@type": "HowToStep",
                    "name": rule,
                    "position": str(position),
                    "workExample": _refs(tool for tool in self.tools.values() if tool["name"] == rule),
                }
            )
            for position, rule in enumerate(rules)
        ]
        start, end = (min(r.start for r in self.records.values()), max(map(_end, self.records.values())))
        run = {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"evaluation of {self.study.name}",
            "description": "From the first to the last of the jobs. They may be of several invocations of Snakemake: "
            "what was up to date did not run again.",
            "instrument": {"@id": WORKFLOW},
            "object": _refs(given),
            "result": _refs(results),
            "startTime": start,
            "endTime": end,
            "actionStatus": COMPLETED,
        }
        controls = [action for action in self.actions if action["@type"] == "ControlAction"]
        organize = {
            "@id": "#organize",
            "@type": "OrganizeAction",
            "name": f"Snakemake {version}",
            "instrument": _ref(engine),
            "object": _refs(controls),
            "result": _ref(run),
            "startTime": start,
            "endTime": end,
            "actionStatus": COMPLETED,
        }
        self.actions = [organize, run, *self.actions]
        codes = sorted(tool["version"] for tool in self.tools.values())
        return {
            "@id": WORKFLOW,
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "Serpens",
            "description": "From a research question and a data set to evidence; the version is the digest of the code "
            "that these jobs ran",
            "version": hashlib.sha256("".join(codes).encode()).hexdigest(),
            "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
            "encodingFormat": "text/plain",
            "programmingLanguage": {"@id": language.id},
            "license": {"@id": "https://spdx.org/licenses/MIT"},
            "input": [entity["exampleOfWork"] for entity in given],
            "output": [entity["exampleOfWork"] for entity in results],
            "hasPart": _refs(self.tools.values()),
            "step": _refs(steps),
            "sha256": io.sha256(SNAKEFILE),
            "contentSize": str(SNAKEFILE.stat().st_size),
        }

    def _rights(self) -> Entity:
        """Return licence and citation of the data, as far as the study states them."""
        rights: Entity = {}
        if self.source.license:
            rights["license"] = _ref(self._license(self.source.license))
        if self.source.citation:
            doi = re.search(r"10\.\d{4,9}/[^\s,;]+", self.source.citation)
            id_ = f"https://doi.org/{doi.group().rstrip('.)')}" if doi else "#citation"
            rights["citation"] = _ref(
                self._once({"@id": id_, "@type": "ScholarlyArticle", "name": self.source.citation})
            )
        return rights

    def _license(self, words: str) -> Entity:
        url = LICENSES.get(words, words if words.startswith("https://") else None)
        return self._once(
            {"@id": url or "#license", "@type": "CreativeWork", "name": words, "url": {"@id": url} if url else None}
        )

    def _root(self, workflow: Entity) -> None:
        root = self.crate.root_dataset
        root["name"] = f"{self.study.name}: {self.study.question}"
        root["description"] = (
            "The evaluation of a study by Serpens: its data, models, predictions and scores, and every job that made "
            "them, from collecting to evaluating. Files are those of the study's folder, of which this is a part."
        )
        root["datePublished"] = _end(self.records["evaluate"])
        root["license"] = (
            _ref(self._license(self.source.license)) if self.source.license else "No licence is stated for the data."
        )
        root["conformsTo"] = [{"@id": id_} for id_, _, _ in PROFILES]
        root["mainEntity"] = _ref(workflow)
        root["hasPart"] = _refs([workflow, *self.files.values()])
        root["mentions"] = _refs(action for action in self.actions if action["@type"] != "ControlAction")
        for id_, name, version in PROFILES:
            self._once({"@id": id_, "@type": "CreativeWork", "name": name, "version": version})
        self._once(
            {
                "@id": "https://spdx.org/licenses/MIT",
                "@type": "CreativeWork",
                "name": "MIT",
                "url": {"@id": "https://spdx.org/licenses/MIT"},
            }
        )
        self.crate.metadata["conformsTo"] = [
            {"@id": f"https://w3id.org/ro/crate/{RO_CRATE}"},
            {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
        ]


def _ref(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _refs(entities: Iterable[Entity]) -> list[Entity]:
    return [_ref(entity) for entity in entities]


def _compact(value: Any) -> Any:
    """Return one value as itself, not as a list of one, as RO-Crate wants it."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _refer(entity: Entity, name: str, reference: Entity) -> None:
    if reference not in entity[name]:
        entity[name].append(reference)


def _kind(relative: str) -> str:
    """Return what a file of a study is, whichever split, model and repeat it is of."""
    kind = re.sub(r"(split|repeat)-\d+", r"\1-{\1}", relative)
    return re.sub(r"^(models|predictions|records/train)/[^/]+/", r"\1/{model}/", kind)


def _title(record: Record) -> str:
    words = [record.rule, record.wildcards.get("model", "")]
    words += [f"{name} {record.wildcards[name]}" for name in ("split", "repeat") if name in record.wildcards]
    return " ".join(filter(None, words))


def _end(record: Record) -> str:
    end = datetime.fromisoformat(record.start) + timedelta(seconds=record.seconds)
    return end.isoformat(timespec="seconds")
