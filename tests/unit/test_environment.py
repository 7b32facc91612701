"""The environment that is checked, locked and offered to conda users is one and the same."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from serpens import environment
from serpens.errors import EnvironmentFaultError
from serpens.formats import registry
from serpens.sources import huggingface, openml
from serpens.sources.registry import LOCKED, installation

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "matplotlib-base": "matplotlib",
    "snakemake-minimal": "snakemake",
}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name="core"):
    lines = (ROOT / f"requirements/{name}.lock").read_text().splitlines()
    return {name.lower(): version for name, version in (line.split("==") for line in lines if "==" in line)}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_conda_environments_pin_what_the_lock_pins(name):
    found = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    pins = dict(entry.split("=") for entry in found)
    assert pins.pop("python") == "3.11"
    lock = locked()
    needed = {re.split(r"[<>=]", entry)[0] for entry in PROJECT["dependencies"]}
    assert needed <= {CONDA_NAMES.get(package, package) for package in pins}
    assert {CONDA_NAMES.get(package, package): version for package, version in pins.items()} == {
        CONDA_NAMES.get(package, package): lock[CONDA_NAMES.get(package, package)] for package in pins
    }


@pytest.mark.parametrize("name", ["core", *PROJECT["optional-dependencies"]])
def test_every_dependency_is_locked(name):
    needed = PROJECT["dependencies"] if name == "core" else PROJECT["optional-dependencies"][name]
    found = {re.split(r"[<>=]", entry)[0].lower() for entry in needed}
    assert found <= {*locked(), *locked(name)}


def test_the_commands_that_messages_name_install_what_is_there():
    named = [installation(plugin) for plugin in LOCKED] + [registry.INSTALL, openml.INSTALL, huggingface.INSTALL]
    for command in named:
        assert (ROOT / command.rpartition(" -r ")[2]).is_file(), command


def test_this_environment_passes():
    environment.check()


def test_a_wrong_python_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    with pytest.raises(EnvironmentFaultError) as caught:
        environment.check()
    assert str(caught.value) == (
        "Serpens needs Python 3.11; this is 3.12.1: run `make setup` in the Serpens folder and use the environment "
        "that it makes (.venv)"
    )


@pytest.mark.parametrize(("package", "needed"), [("torch", "2.13."), ("snakemake", "9.")])
def test_a_wrong_or_missing_library_is_one_line(monkeypatch, package, needed):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == package else real(name))
    with pytest.raises(
        EnvironmentFaultError, match=rf"^Serpens needs {package} {needed}x; found 1.0: run `make setup`"
    ):
        environment.check()
