"""A crate from planted records, and what is read from it again."""

import json
from pathlib import Path

import pytest

from serpens import again, crate, io
from serpens.artefacts import CodeRecord, OutputRecord, Record, ResolvedStudy
from serpens.dataartefacts import Source
from serpens.layout import StudyFolder

STUDY = ResolvedStudy(
    question="q?",
    data={"file": "/home/someone/secret/t.csv"},
    target="y",
    name="s",
    classes=(),
    n_splits=1,
    column_types={"x": "number", "y": "number"},
)
MOVED = "../data/raw.parquet", "../data/clean.parquet", "../evaluation.json"


def record(rule, inputs, outputs, *, code="a" * 64, numpy="2.4.6", seconds=1.5, **more):
    return Record(
        rule=rule,
        wildcards={"study": "s"} | more.pop("wildcards", {}),
        key="k",
        inputs=inputs,
        outputs={path: OutputRecord(sha256=sha256, bytes=7) for path, sha256 in outputs.items()},
        settings={"rule": rule},
        code=CodeRecord(sha256=code, definitions={"serpens.m.f": "12345678"}),
        libraries={"python": "3.11.7", "numpy": numpy},
        threads=2,
        versions={"python": "3.11.7", "snakemake": "9.27.1"},
        host="vm",
        machine="Linux x86_64",
        start="2026-11-24T15:09:25+00:00",
        seconds=seconds,
        peak_memory_mb=10.5,
        **more,
    )


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Return what builds the crate of three planted jobs in ``results/s``."""
    monkeypatch.chdir(tmp_path)
    folder = StudyFolder(Path("results/s"))

    def built(*, license=None, citation=None, kind="file", **changed):
        Source(
            kind=kind,
            origin="o",
            bytes=1,
            sha256="5" * 64,
            time="t",
            rows=1,
            columns=1,
            license=license,
            citation=citation,
        ).write(folder.root / "data/source.json")
        STUDY.write(folder.root / "study.json")
        raw, clean, evaluation = (f"results/s/{path.removeprefix('../')}" for path in MOVED)
        given = {"/home/someone/secret/t.csv": "5" * 64} if kind == "file" else {}
        records = {
            "collect": record("collect", given, {raw: "1" * 64}),
            "clean": record("clean", {raw: "1" * 64}, {clean: "2" * 64}),
            "evaluate": record("evaluate", {clean: "2" * 64}, {evaluation: "3" * 64}, **changed),
        }
        for stem in records:
            io.write_json(folder.record(stem), {})
        return crate.build(folder, STUDY, records)

    return built


def by_id(built):
    return {entity["@id"]: entity for entity in built["@graph"]}


def test_files_are_named_relative_to_the_crate_and_carry_their_digest(build):
    entities = by_id(build())
    assert [entities[id_]["sha256"][0] for id_ in MOVED] == ["1", "2", "3"]
    assert [entities[id_]["contentSize"] for id_ in MOVED] == ["7", "7", "7"]
    assert {"@id": MOVED[0]} in entities["./"]["hasPart"]


def test_a_file_outside_is_named_without_telling_where_it_was(build):
    built = build()
    entities = by_id({"@graph": built["@graph"]})
    assert entities["#source/55555555/t.csv"]["name"] == "t.csv"
    assert "secret" not in json.dumps(
        [entity for entity in built["@graph"] if not entity["@id"].startswith("#settings")]
    )


def test_a_job_is_an_action_with_what_it_took(build):
    entities = by_id(build())
    job = entities["#job/clean"]
    assert job["startTime"] == "2026-11-24T15:09:25+00:00"
    assert job["endTime"] == "2026-11-24T15:09:26+00:00"
    assert job["result"] == {"@id": "../data/clean.parquet"}
    assert {"@id": "../data/raw.parquet"} in job["object"]
    usage = {entities[each["@id"]]["propertyID"]: entities[each["@id"]]["value"] for each in job["resourceUsage"]}
    assert usage == {"seconds": "1.5", "peak_memory_mb": "10.5", "threads": "2"}
    assert entities["#run"]["instrument"] == entities["./"]["mainEntity"] == {"@id": "Snakefile"}


def test_what_was_measured_of_a_gpu_is_told(build):
    taken = {"devices": ["A GPU"], "peak_memory_mb": None, "utilisation": 0.5, "energy_wh": 1.25, "how": "counter"}
    entities = by_id(build(gpu_usage=taken, cpu_seconds=3.5))
    usage = {name.rpartition("/")[2]: entity for name, entity in entities.items() if name.startswith("#usage/evaluate")}
    assert usage["gpu_energy_wh"]["value"] == "1.25"
    assert usage["gpu_energy_wh"]["unitCode"] == "https://qudt.org/vocab/unit/W-HR"
    assert usage["cpu_seconds"]["value"] == "3.5"
    assert "gpu_peak_memory_mb" not in usage


def test_licence_and_citation_are_those_of_the_data(build):
    entities = by_id(build(license="CC BY 4.0", citation="Wolberg (1995), doi:10.24432/C5DW2B."))
    source = entities["#source/55555555/t.csv"]
    assert source["license"] == entities["./"]["license"] == {"@id": "https://creativecommons.org/licenses/by/4.0/"}
    assert source["citation"] == {"@id": "https://doi.org/10.24432/C5DW2B"}


def test_a_licence_that_nobody_stated_is_not_invented(build):
    entities = by_id(build())
    assert entities["./"]["license"] == "No licence is stated for the data."
    assert "license" not in entities["#source/55555555/t.csv"]


def test_a_simulator_has_no_file_to_come_from(build):
    found = again.read(build(kind="simulator"))
    assert found.sources == {}


def test_what_is_read_again_is_what_was_written(build):
    found = again.read(build())
    assert found.sources == {"t.csv": "5" * 64}
    assert (found.evaluation, found.jobs, found.machines) == ("3" * 64, 3, ("vm (Linux x86_64)",))
    assert [(library.name, *library.versions) for library in found.libraries] == [
        ("python", "3.11.7"),
        ("numpy", "2.4.6"),
        ("snakemake", "9.27.1"),
    ]
    assert found.differing == ()


def test_versions_that_differ_between_jobs_are_told_with_the_jobs(build):
    found = again.read(build(code="b" * 64, numpy="2.4.5"))
    (library,) = found.differing
    assert library.name == "numpy"
    assert library.versions == {"2.4.6": ("collect", "clean"), "2.4.5": ("evaluate",)}


def test_the_same_jobs_make_the_same_crate(build):
    assert build() == build()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("data/split-3/train.parquet", "data/split-{split}/train.parquet"),
        ("models/mlp/split-0-repeat-2/model.json", "models/{model}/split-{split}-repeat-{repeat}/model.json"),
        ("predictions/a-b/split-0-repeat-2.parquet", "predictions/{model}/split-{split}-repeat-{repeat}.parquet"),
        ("evaluation.json", "evaluation.json"),
    ],
)
def test_a_file_is_of_a_kind(path, kind):
    assert crate._kind(path) == kind
