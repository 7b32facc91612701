"""Install what is locked into the Python that runs this, with the build of torch that fits the machine.

    python requirements/install.py          what `make setup` and every other target of the Makefile do first
    python requirements/install.py cpu      what `make setup TORCH=cpu` does

    auto      by the machine: an NVIDIA driver decides, by the version of CUDA that it serves; macOS has one build
    cpu       the build for CPUs, hundreds of megabytes in place of gigabytes
    cuda      the newest build for GPUs that fits, also on a machine without one, such as a cluster's login node
    cu126     this very build
    default   whatever pip finds

A build that fits is left alone. With a build for GPUs comes what measures their energy (gpu.lock).
"""

import platform
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
# Where PyTorch keeps its builds, as pytorch.org says; on PyPI each system has but one.
INDEX = "https://download.pytorch.org/whl"
WORD = re.compile(r"auto|cpu|cuda|cu\d+|default")
BY_MACHINE = ("auto", "cuda")
# The header of nvidia-smi, with UMD since driver 610; a line of what it answers to a query.
CUDA = re.compile(r"CUDA (?:UMD )?Version: *(\d+\.\d+)")
ROW = re.compile(r"(.+), *(\d+\.\d+)")


class Build(NamedTuple):
    """A build of torch for GPUs: the CUDA whose drivers it needs, and the compute capabilities that it was made for."""

    name: str
    cuda: tuple[int, int]
    least: tuple[int, int]
    most: tuple[int, int]


# Of torch 2.13, the newest first. Within a major version of CUDA any driver serves any build.
# https://github.com/pytorch/pytorch/blob/main/RELEASE.md, release compatibility and CUDA support matrices
BUILDS = (
    Build("cu130", cuda=(13, 0), least=(7, 5), most=(12, 9)),
    Build("cu126", cuda=(12, 0), least=(5, 0), most=(9, 9)),
)


class Gpus(NamedTuple):
    """The NVIDIA GPUs of a machine, and the CUDA that their driver serves."""

    name: str
    cuda: tuple[int, int]
    capabilities: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.name}, driver for CUDA {_dotted(self.cuda)}"

    def fits(self, build: Build) -> bool:
        """Return whether a build can use all of them."""
        return self.cuda >= build.cuda and all(build.least <= each <= build.most for each in self.capabilities)


class Torch(NamedTuple):
    """An installed torch."""

    version: str
    build: str


class SetUpError(Exception):
    """What the user must decide or mend."""


def gpus() -> Gpus | None:
    """Return what nvidia-smi shows; None without a driver that answers.

    Raises
    ------
    SetUpError
        If it answers, and does not say what the choice depends on.
    """
    try:
        header = _shown("nvidia-smi")
        rows = _shown("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader").splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    cuda, found = CUDA.search(header), [ROW.fullmatch(row) for row in rows]
    if cuda is None or not found or None in found:
        msg = (
            f"nvidia-smi must show the CUDA that the driver serves, and name and compute capability of each GPU; it "
            f"shows {cuda[0] if cuda else 'no version of CUDA'}, and {rows or 'no GPU'}: say which build to install, "
            f"make setup TORCH={BUILDS[0].name} (or {', '.join(build.name for build in BUILDS[1:])}, or cpu)"
        )
        raise SetUpError(msg)
    shown = [each.groups() for each in found if each]
    return Gpus(shown[0][0], _version(cuda[1]), tuple(_version(capability) for _, capability in shown))


def _shown(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def installed() -> Torch | None:
    """Return the torch of this Python, without importing it."""
    try:
        found = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        return None
    known = runpy.run_path(str(found.locate_file("torch/version.py")))
    cuda = known.get("cuda")
    return Torch(found.version.partition("+")[0], f"cu{cuda.replace('.', '')}" if cuda else "cpu")


def choose(wanted: str, shown: Gpus | None, system: str, version: str) -> tuple[str, str]:
    """Return the build to install, and why.

    Raises
    ------
    SetUpError
        If there is none for these GPUs.
    """
    if wanted not in BY_MACHINE:
        return wanted, "as asked for"
    if shown is None:
        if wanted == "cuda":
            return BUILDS[0].name, "as asked for; no NVIDIA driver here tells which GPUs it is for"
        if system == "Darwin":
            return "default", "macOS has one build, which knows its GPU (MPS)"
        return "cpu", "no NVIDIA driver here (for GPUs elsewhere, such as a cluster's, make setup TORCH=cuda)"
    for build in BUILDS:
        if shown.fits(build):
            return build.name, str(shown)
    made = "; ".join(
        f"{build.name} needs CUDA {_dotted(build.cuda)} and compute capability {_dotted(build.least)} to "
        f"{_dotted(build.most)}"
        for build in BUILDS
    )
    found = ", ".join(sorted({_dotted(each) for each in shown.capabilities}))
    msg = (
        f"torch {version} must have a build for this machine ({shown}, compute capability {found}), and has none: "
        f"{made}. Update the driver, or train on the CPU: make setup TORCH=cpu"
    )
    raise SetUpError(msg)


def stays(build: str, wanted: str, shown: Gpus | None) -> bool:
    """Return whether an installed build is as wanted."""
    if wanted not in BY_MACHINE:
        return wanted in (build, "default")
    if build == "cpu":
        return wanted == "auto" and shown is None
    known = [each for each in BUILDS if each.name == build]
    return shown is None or all(shown.fits(each) for each in known)


def put(version: str, build: str) -> None:
    """Install a build of torch; what it needs comes with the lock.

    Raises
    ------
    SetUpError
        If pip finds none.
    """
    if build == "default":
        _pip("--no-deps", f"torch=={version}")
        return
    name = f"torch=={version}+{build}"
    # where pip looks anyway, a mirror or a folder of wheels, it may be; PyPI has no such names
    if _pip("--no-deps", name, told=False):
        return
    if not _pip("--no-deps", name, "--index-url", f"{INDEX}/{build}"):
        msg = (
            f"{name} must be found where pip looks, or in {INDEX}/{build}, and is in neither: for another build, "
            "make setup TORCH=cpu, cuda or default (whatever pip finds); or pip install it into .venv by hand"
        )
        raise SetUpError(msg)


def _pip(*arguments: str, told: bool = True) -> bool:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stderr=None if told else subprocess.DEVNULL).returncode == 0


def main(wanted: str = "auto") -> None:
    """Install torch and the lock.

    Raises
    ------
    SetUpError
        If the word is none of those above, or something cannot be installed.
    """
    if not WORD.fullmatch(wanted):
        msg = f"TORCH must be auto, cpu, cuda, the name of a build such as {BUILDS[0].name}, or default; found {wanted}"
        raise SetUpError(msg)
    version = re.findall(r"^torch==(.+)$", (HERE / "core.lock").read_text(), flags=re.MULTILINE)[0]
    shown, present = gpus() if wanted in BY_MACHINE else None, installed()
    build, why = choose(wanted, shown, platform.system(), version)
    if present is None or present.version != version:
        _say(f"torch {version}, build {build}: {why}")
        put(version, build)
    elif stays(present.build, wanted, shown):
        _say(f"torch {version}, build {present.build} is installed: {why}")
    elif wanted == "auto":
        _say(
            f"torch {version} is installed in the build {present.build}, which does not fit ({why}): "
            f"make setup TORCH=cuda puts {build} in its place"
        )
    else:
        _say(f"torch {version}, build {build} in place of {present.build}: {why}")
        put(version, build)
    now = installed()
    lock = HERE / ("gpu.lock" if now and now.build != "cpu" else "core.lock")
    if not _pip("-r", str(lock)):
        msg = f"pip must be able to install {lock}; what it says stands above"
        raise SetUpError(msg)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SetUpError as error:
        sys.exit(str(error))
