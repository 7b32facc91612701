"""What the documentation shows is run."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTENDING = (ROOT / "docs/extending.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", EXTENDING, flags=re.DOTALL)


def test_the_package_alone_fits_and_predicts():
    program = next(block for block in blocks("python") if "fitting.fit(" in block)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "workflow"), "PATH": "/usr/bin:/bin"},
    )
    assert 0.97 < float(done.stdout) <= 1


def test_the_users_own_model_and_simulator(project):
    for block in blocks("python")[:2]:
        name = re.match(r"# (\w+\.py)", block).group(1)
        project.write(name, block)
    simulator = next(block for block in blocks("yaml") if "simulator" in block).strip()
    model = re.search(r"\{name: mine.*\}", next(block for block in blocks("yaml") if "family: custom" in block)).group(
        0
    )
    project.write(
        "mine.yaml",
        f"studies:\n  own:\n    question: Is it a sine?\n    {simulator.replace('rows: 5000', 'rows: 800')}\n"
        f"    target: y\n    split: {{validation: 0.2, test: 0.3}}\n    repeats: 1\n"
        f"    models: [{model}]\n    training: {{max_epochs: 30, learning_rate: 0.01, batch_size: 64}}\n",
    )
    project.run()
    scores = json.loads((project.folder / "results/own/evaluation.json").read_text())["models"]
    # a line cannot follow a sine; the noise alone leaves .2
    assert scores["mine"]["metrics"]["rmse"]["value"] < 0.7 * scores["linear"]["metrics"]["rmse"]["value"]
    assert scores["mine"]["metrics"]["rmse"]["value"] > 0.17


def test_the_readme_names_every_folder_and_top_level_file():
    readme = (ROOT / "README.md").read_text()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ordinary = {"LICENSE", "CHANGELOG.md", "README.md", "Makefile", "pyproject.toml", ".gitignore", ".ci"}
    top = {name.split("/")[0] for name in tracked} - ordinary
    assert not [name for name in sorted(top) if name not in readme]
