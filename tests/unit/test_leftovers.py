"""What stopped trainings left: told apart by whether a training of now would go on from it."""

import json
import os
from pathlib import Path

import pytest
from tests.unit.test_checkpoints import some
from tests.unit.test_plan import World

from serpens import leftovers
from serpens.checkpoints import KEY_DIGITS, Checkpoints
from serpens.jobs import Job, Jobs


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = World()
    made.run()
    monkeypatch.setattr(leftovers.configfile, "load", lambda *_: made.jobs.project)
    monkeypatch.setattr(leftovers, "Reader", lambda _: made.reader)
    return made


def left(study, key, root="results"):
    """Stop a training after a step."""
    folder = f"{root}/{study}/checkpoints/mlp/split-0-repeat-0"
    with pytest.raises(ZeroDivisionError), Checkpoints(folder, key) as checkpoints:
        checkpoints.open()
        checkpoints.save(some())
        raise ZeroDivisionError
    return Path(folder, key)


def key(world, study):
    """Return the key that a training of now was recorded with."""
    return json.loads(Path(world.jobs.record(Job("train", study, "mlp", 0, 0))).read_text())["key"][:KEY_DIGITS]


def test_what_a_training_would_go_on_from_stays(world, capsys):
    kept, orphaned = left("one", key(world, "one")), left("two", "0" * KEY_DIGITS)
    assert leftovers.main([]) == 0
    first, second = capsys.readouterr().out.splitlines()
    size = next(kept.iterdir()).stat().st_size
    assert first == f"{kept}  {size / 1e6:.1f} MB  0.0 h old  the next run goes on from it"
    assert second.endswith("orphaned: no training goes on from it")
    leftovers.main(["remove"])
    assert [line.startswith("removed  ") for line in capsys.readouterr().out.splitlines()] == [False, True]
    assert kept.exists()
    assert not orphaned.exists()
    leftovers.main(["remove", "--all"])
    assert not kept.exists()
    capsys.readouterr()
    leftovers.main([])
    assert capsys.readouterr().out == "no checkpoints below results\n"


def test_other_code_orphans_it(world):
    kept = left("one", key(world, "one"))
    world.reader.versions["mlp"] = "2"
    leftovers.main(["remove"])
    assert not kept.exists()


def test_what_is_in_use_stays(world, capsys):
    with Checkpoints("results/one/checkpoints/mlp/split-0-repeat-0", "another") as checkpoints:
        checkpoints.open()
        checkpoints.save(some())
        leftovers.main(["remove", "--all"])
        assert capsys.readouterr().out.endswith(f"in use by process {os.getpid()} on {os.uname().nodename}\n")
        assert checkpoints.latest().step == 1


def test_on_a_scratch_disk_projects_are_kept_apart(world, tmp_path, monkeypatch, capsys):
    ours = world.jobs.project.model_copy(update={"scratch": f"{tmp_path}/fast"})
    monkeypatch.setattr(leftovers.configfile, "load", lambda *_: ours)
    jobs = Jobs(ours)
    root = jobs.checkpoints("one").parents[1]
    assert root.parent == tmp_path / "fast"
    assert root.name.startswith(f"{tmp_path.name}-")
    (tmp_path / "elsewhere").mkdir()
    with monkeypatch.context() as away:
        away.chdir(tmp_path / "elsewhere")
        assert jobs.checkpoints("one").parents[1] != root
    kept = left("one", key(world, "one"), root)
    leftovers.main(["remove"])
    assert capsys.readouterr().out.endswith("the next run goes on from it\n")
    leftovers.main(["remove", "--all"])
    assert not kept.exists()
