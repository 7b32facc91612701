"""Results held against their records."""

import pytest
from tests.unit.test_plan import World

from serpens.jobs import Job
from serpens.verify import main


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = World()
    made.run()
    for record in tmp_path.rglob("records/**/*.json"):
        text = record.read_text()
        record.write_text(text)
    return made


def test_what_is_as_it_was_made_is_said_so(world, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == "Every file is as it was made (21 jobs).\n"


def test_what_was_altered_is_named(world, capsys, tmp_path):
    world.output(Job("report", "one")).write_text("by hand")
    world.output(Job("train", "two", "mlp", 0, 0)).unlink()
    (tmp_path / "results/one/records/clean.json").write_text("{}")
    assert main([]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("results/one/records/clean.json: is no record that can be read (")
    assert told[1:] == [
        "results/one/report.html: was altered after report made it",
        "results/two/models/mlp/split-0-repeat-0/weights.safetensors: train made it, and it is missing",
    ]


def test_what_was_made_from_another_version_is_named(world, capsys):
    world.reader.versions["mlp"] = "2"
    world.make(Job("train", "one", "mlp", 0, 0))
    assert main([]) == 1
    weights = "results/one/models/mlp/split-0-repeat-0/weights.safetensors"
    told = capsys.readouterr().out.splitlines()
    assert set(told) == {
        f"{weights}: evaluate was made from another version of it",
        f"{weights}: report was made from another version of it",
    }


def test_no_records_are_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    assert "there are no records in results; run make first" in capsys.readouterr().out
