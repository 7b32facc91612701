"""The definitions of containers: the same environment twice, and what it runs where nothing of this machine is there.

No image is built here. What is run is what an image would run, as its unknown user, offline, from code that nobody may
write to.
"""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from tests.workflow.conftest import ROOT
from tests.workflow.test_runs import STUDY, table
from tests.workflow.workspace import CODE, copy

from serpens import environment

DOCKER = re.sub(r"\\\n", " ", (ROOT / "envs/Dockerfile").read_text())
APPTAINER = (ROOT / "envs/serpens.def").read_text()
USER = "4711"
# a user without a name, without power over other users' files, on a machine without network
ALONE = ["unshare", "--user", f"--map-user={USER}", "--net"]


def docker(instruction):
    """Return what an instruction of the Dockerfile is given, each time."""
    return [" ".join(found.split()) for found in re.findall(rf"^{instruction} (.*)$", DOCKER, flags=re.MULTILINE)]


def apptainer(section):
    """Return the lines of a section of the Apptainer definition."""
    body = re.search(rf"^%{section}\n((?: .*\n|\n)*)", APPTAINER, flags=re.MULTILINE).group(1)
    return [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_both_start_from_the_python_that_is_locked():
    (base,) = docker("FROM")
    assert re.search(r"^From: (.*)$", APPTAINER, flags=re.MULTILINE).group(1) == base
    assert base == f"python:{'.'.join(map(str, environment.PYTHON))}-slim-bookworm"


def test_both_take_all_that_a_run_needs():
    copied = [entry.split() for entry in docker("COPY")]
    assert [source for source, _ in copied] == [target for _, target in copied]
    assert {source for source, _ in copied} == set(CODE)
    assert {tuple(line.split()) for line in apptainer("files")} == {(name, f"/opt/serpens/{name}") for name in CODE}
    assert all((ROOT / name).exists() for name in CODE)


def test_both_install_the_same_with_the_build_of_torch_that_is_asked_for():
    *commands, user = " && ".join(docker("RUN")).replace('"$TORCH"', '"{{ TORCH }}"').split(" && ")
    assert user.startswith("useradd")
    assert [line for line in apptainer("post") if line not in ("set -eu", "cd /opt/serpens")] == commands
    assert commands[-1].endswith('python requirements/install.py "{{ TORCH }}"')
    assert docker("ARG") == apptainer("arguments") == ["TORCH=cpu"]


def test_neither_runs_as_root_or_takes_libraries_from_the_home_folder():
    assert docker("USER") == ["serpens"]
    variables = dict(pair.split("=") for entry in docker("ENV") for pair in entry.split())
    assert variables["PYTHONNOUSERSITE"] == "1"
    assert "export PYTHONNOUSERSITE=1" in apptainer("environment")


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*ALONE, "true"], capture_output=True).returncode != 0,
    reason="needs a namespace of one's own",
)
def test_a_study_runs_as_nobody_known_from_code_that_is_read_only_and_without_network(project):
    code, home = project.folder / "opt", project.folder / "home"
    code.mkdir()
    home.mkdir()
    for name in CODE:
        copy(ROOT / name, code / name)
    project.write("mine.yaml", STUDY)
    project.write("table.csv", table())
    subprocess.run(["chmod", "-R", "a-w", code], check=True)
    entry = shlex.split(docker("ENTRYPOINT")[0].strip("[]").replace(",", " "))
    entry = [sys.executable, "-m", *(word.replace("/opt/serpens", str(code)) for word in entry)]
    variables = [pair.replace("/tmp", str(home)) for entry in docker("ENV") for pair in entry.split()]
    command = [
        *ALONE,
        "env",
        "-i",
        "PATH=/usr/bin:/bin",
        *variables,
        *entry,
        "--cores",
        "2",
        "--configfile",
        "mine.yaml",
    ]
    try:
        done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (project.folder / "results/small/report.html").is_file()
        assert not list(code.rglob("__pycache__"))
    finally:
        subprocess.run(["chmod", "-R", "u+w", code], check=True)
