"""The benchmark that a machine with a GPU runs: here, that it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/gpu"))
import run as program  # noqa: E402 - they lie there
import steps  # noqa: E402


def started(*arguments, **environment):
    command = [sys.executable, str(ROOT / "benchmarks/gpu/run.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path):
    done = started("--out", str(tmp_path / "figures.json"), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no GPU: torch ")
    assert done.stdout.endswith(" sees none on this machine, and nothing is measured\n")
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.slow
def test_all_of_its_code_runs_on_a_cpu(tmp_path):
    out = tmp_path / "figures.json"
    done = started("--device", "cpu", "--quick", "--minutes", "1", "--out", str(out), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all that was checked holds\n")
    found = json.loads(out.read_text())
    assert set(found) == {"machine", "quick", "exactness", "resume", "steps"}
    assert set(found["exactness"]) == {"digits", "qubit"}
    assert {name: figures["kills"] for name, figures in found["resume"].items()} == {"mlp": 1, "cnn": 1}
    assert len(found["steps"]) == 4
    for contenders in found["steps"].values():
        assert {steps.BOUND, steps.OURS, "DataLoader"} <= contenders.keys()
        assert contenders[steps.BOUND]["of the bound"] == 1


def test_what_fails_is_said_and_the_rest_goes_on(monkeypatch, tmp_path, capsys):
    def broken(seconds):
        raise RuntimeError("no such kernel")

    out, parts = tmp_path / "figures.json", {"steps": lambda device, quick: iter([("one", broken), ("two", whole)])}
    whole = lambda seconds: {"holds": True}  # noqa: E731 - as short as it is
    monkeypatch.chdir(tmp_path)  # so that the test ends where it began
    monkeypatch.setattr(program, "PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cpu", "--quick", "--out", str(out), "--parts", "steps"])
    with pytest.raises(SystemExit, match="1"):
        program.main()
    assert capsys.readouterr().out.endswith("did not hold:\nsteps: one\n")
    assert json.loads(out.read_text())["steps"] == {
        "one": {"failed": "RuntimeError: no such kernel", "holds": False},
        "two": {"holds": True},
    }


def test_figures_are_medians_of_ratios_within_rounds():
    taken = {steps.BOUND: [1.0, 2.0, 30.0], steps.OURS: [2.0, 2.5, 120.0]}
    assert steps.ratio(taken, steps.BOUND, steps.OURS) == 0.5
    assert steps.ratio(taken, steps.LIGHTNING, steps.OURS) is None
