"""Set-up with stand-ins for nvidia-smi and pip: which build of torch is chosen, said, fetched, and left alone."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there a machine without a driver is another one")

ROOT = Path(__file__).parents[2]
LOCKED = next(line[7:] for line in (ROOT / "requirements/core.lock").read_text().splitlines() if line[:7] == "torch==")
INDEX = "--index-url https://download.pytorch.org/whl/"
# What pip is told to look for finds its way into a file; it has what stands in PIP_HAS, and installs it.
PIP = """
import os, sys
from pathlib import Path

folder, said = Path(__file__).parent, " ".join(sys.argv[1:])
with (folder / "asked").open("a") as file:
    print(said, file=file)
name = next((word[7:] for word in sys.argv if word.startswith("torch==")), None)
if name is not None:
    sys.exit(0 if any(each in said for each in os.environ["PIP_HAS"].split(";")) else "no matching distribution")
"""
SMI = """#!/bin/sh
case "$1" in
--query-gpu=name,compute_cap) printf '%s' "{rows}" ;;
*) echo "| NVIDIA-SMI 1.2   {header}   |" ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """A machine without a driver, in whose Python there is no torch, and whose pip can have every build."""

    class Machine:
        has = f"torch=={LOCKED}"

        def driver(self, cuda="CUDA Version: 13.0", rows="NVIDIA H200, 9.0\n"):
            (tmp_path / "nvidia-smi").write_text(SMI.format(header=cuda, rows=rows))
            (tmp_path / "nvidia-smi").chmod(0o755)

        def torch(self, build, version=LOCKED):
            """Install torch, as PyPI names it (without its build) or as PyTorch does."""
            cuda = "None" if build == "cpu" else f"'{build[2:-1]}.{build[-1]}'"
            (tmp_path / "torch").mkdir()
            (tmp_path / "torch/version.py").write_text(f"cuda = {cuda}\n")
            (tmp_path / f"torch-{version}.dist-info").mkdir()
            (tmp_path / f"torch-{version}.dist-info/METADATA").write_text(f"Name: torch\nVersion: {version}\n")

        def set_up(self, *wanted):
            """Run the set-up, and return what it said and what it asked pip to install."""
            (tmp_path / "pip.py").write_text(PIP)
            (tmp_path / "asked").unlink(missing_ok=True)
            done = subprocess.run(
                # without the site, so that what is installed in this environment is not there
                [sys.executable, "-S", ROOT / "requirements/install.py", *wanted],
                env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path), "PIP_HAS": self.has},
                capture_output=True,
                text=True,
            )
            asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
            prefix = "install --quiet --disable-pip-version-check "
            assert all(line.startswith(prefix) for line in asked)
            self.failed = done.returncode != 0
            return done.stderr.strip(), [line.removeprefix(prefix) for line in asked]

    return Machine()


def lock(name):
    return f"-r {ROOT}/requirements/{name}.lock"


def test_without_a_driver_the_build_is_for_cpus_and_no_index_is_named_that_pip_does_not_need(machine):
    said, asked = machine.set_up()
    assert said == (
        f"torch {LOCKED}, build cpu: no NVIDIA driver here (for GPUs elsewhere, such as a cluster's, "
        "make setup TORCH=cuda)"
    )
    assert asked == [f"--no-deps torch=={LOCKED}+cpu", lock("core")]


def test_pytorchs_own_index_is_asked_when_pip_finds_no_such_build(machine):
    machine.has = INDEX
    _, asked = machine.set_up()
    name = f"--no-deps torch=={LOCKED}+cpu"
    assert asked == [name, f"{name} {INDEX}cpu", lock("core")]


def test_a_build_that_is_nowhere_is_an_error_with_the_cure(machine):
    machine.has = "nothing"
    said, asked = machine.set_up("cu118")
    assert machine.failed
    assert said.splitlines()[-1] == (
        f"torch=={LOCKED}+cu118 must be found where pip looks, or in https://download.pytorch.org/whl/cu118, and is in "
        "neither: for another build, make setup TORCH=cpu, cuda or default (whatever pip finds); or pip install it "
        "into .venv by hand"
    )
    assert lock("core") not in asked


@pytest.mark.parametrize(
    ("cuda", "rows", "build"),
    [
        ("CUDA Version: 13.0", "NVIDIA H200, 9.0\n", "cu130"),
        ("CUDA UMD Version: 13.3", "NVIDIA B200, 10.0\n", "cu130"),  # since driver 610
        ("CUDA Version: 12.2", "NVIDIA A100, 8.0\n", "cu126"),
        ("CUDA Version: 13.0", "Tesla V100, 7.0\n", "cu126"),
        ("CUDA Version: 13.0", "NVIDIA T4, 7.5\nTesla P100, 6.0\n", "cu126"),
    ],
)
def test_the_build_is_the_newest_that_the_driver_and_all_gpus_serve(machine, cuda, rows, build):
    machine.driver(cuda, rows)
    said, asked = machine.set_up()
    name = rows.partition(",")[0]
    assert said == f"torch {LOCKED}, build {build}: {name}, driver for CUDA {cuda[-4:]}"
    assert asked[0] == f"--no-deps torch=={LOCKED}+{build}"


@pytest.mark.parametrize(
    ("cuda", "rows", "found"),
    [
        ("11.4", "Tesla K80, 3.7\n", "Tesla K80, driver for CUDA 11.4, compute capability 3.7"),
        ("12.8", "NVIDIA B200, 10.0\n", "NVIDIA B200, driver for CUDA 12.8, compute capability 10.0"),
    ],
)
def test_a_gpu_for_which_no_build_is_made_is_an_error_with_the_cure(machine, cuda, rows, found):
    machine.driver(f"CUDA Version: {cuda}", rows)
    said, asked = machine.set_up()
    assert machine.failed
    assert said == (
        f"torch {LOCKED} must have a build for this machine ({found}), and has none: cu130 needs CUDA 13.0 and compute "
        "capability 7.5 to 12.9; cu126 needs CUDA 12.0 and compute capability 5.0 to 9.9. Update the driver, or train "
        "on the CPU: make setup TORCH=cpu"
    )
    assert asked == []


def test_macos_has_one_build():
    choose = runpy.run_path(str(ROOT / "requirements/install.py"))["choose"]
    assert choose("auto", None, "Darwin", LOCKED) == ("default", "macOS has one build, which knows its GPU (MPS)")


def test_a_driver_that_does_not_answer_is_none(machine, tmp_path):
    machine.driver()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho could not communicate with the driver\nexit 9\n")
    assert "no NVIDIA driver here" in machine.set_up()[0]


@pytest.mark.parametrize(
    ("header", "rows", "shows"),
    [
        ("CUDA Version: N/A", "NVIDIA H200, 9.0\n", "no version of CUDA, and ['NVIDIA H200, 9.0']"),
        ("CUDA Version: 13.0", "NVIDIA H200, [N/A]\n", "CUDA Version: 13.0, and ['NVIDIA H200, [N/A]']"),
        ("CUDA Version: 13.0", "", "CUDA Version: 13.0, and no GPU"),
    ],
)
def test_a_driver_that_does_not_say_enough_leaves_the_choice_to_the_user(machine, header, rows, shows):
    machine.driver(header, rows)
    said, asked = machine.set_up()
    assert machine.failed
    assert said == (
        "nvidia-smi must show the CUDA that the driver serves, and name and compute capability of each GPU; it shows "
        f"{shows}: say which build to install, make setup TORCH=cu130 (or cu126, or cpu)"
    )
    assert asked == []
    assert machine.set_up("cpu")[1] == [f"--no-deps torch=={LOCKED}+cpu", lock("core")]


@pytest.mark.parametrize(
    ("wanted", "fetched"), [("cpu", "cpu"), ("cuda", "cu130"), ("cu126", "cu126"), ("cu132", "cu132")]
)
def test_another_build_may_be_asked_for(machine, wanted, fetched):
    said, asked = machine.set_up(wanted)
    assert said.startswith(f"torch {LOCKED}, build {fetched}: as asked for")
    assert asked[0] == f"--no-deps torch=={LOCKED}+{fetched}"


def test_the_default_is_what_pip_finds(machine):
    assert machine.set_up("default")[1][0] == f"--no-deps torch=={LOCKED}"


def test_a_word_that_is_none_of_them_is_refused(machine):
    assert machine.set_up("gpu") == (
        "TORCH must be auto, cpu, cuda, the name of a build such as cu130, or default; found gpu",
        [],
    )
    assert machine.failed


@pytest.mark.parametrize(
    ("present", "driver", "wanted"),
    [
        ("cpu", False, "auto"),
        ("cu130", False, "auto"),
        ("cu126", False, "cuda"),
        ("cu130", True, "auto"),
        ("cu126", True, "auto"),
        ("cu132", True, "cuda"),
        ("cpu", True, "cpu"),
        ("cu130", True, "default"),
    ],
)
def test_a_build_that_fits_is_left_alone(machine, present, driver, wanted):
    machine.torch(present)
    if driver:
        machine.driver()
    said, asked = machine.set_up(wanted)
    assert said.startswith(f"torch {LOCKED}, build {present} is installed: ")
    assert asked == [lock("core" if present == "cpu" else "gpu")]


@pytest.mark.parametrize(("present", "rows"), [("cpu", "NVIDIA H200, 9.0\n"), ("cu130", "Tesla V100, 7.0\n")])
def test_a_build_that_does_not_fit_is_named_with_the_cure_and_left_to_the_user(machine, present, rows):
    machine.torch(present)
    machine.driver(rows=rows)
    build, name = ("cu130" if present == "cpu" else "cu126"), rows.partition(",")[0]
    said, asked = machine.set_up()
    assert said == (
        f"torch {LOCKED} is installed in the build {present}, which does not fit ({name}, driver for CUDA 13.0): "
        f"make setup TORCH=cuda puts {build} in its place"
    )
    assert asked == [lock("core" if present == "cpu" else "gpu")]
    said, asked = machine.set_up("cuda")
    assert said == f"torch {LOCKED}, build {build} in place of {present}: {name}, driver for CUDA 13.0"
    assert asked[0] == f"--no-deps torch=={LOCKED}+{build}"


def test_another_version_is_replaced(machine):
    machine.torch("cu126", version="2.0.1")
    assert machine.set_up()[1][0] == f"--no-deps torch=={LOCKED}+cpu"


def test_make_looks_again_when_it_is_asked_to(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("requirements/core.lock", "requirements/install.py", ".venv/bin/python", ".venv/core"):
        (tmp_path / name).touch()

    def made(*arguments):
        command = ["make", "-n", "-f", ROOT / "Makefile", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if "install.py" in line]

    assert made("run") == []
    assert made("setup") == [".venv/bin/python requirements/install.py auto"]
    assert made("run", "TORCH=cuda") == [".venv/bin/python requirements/install.py cuda"]
