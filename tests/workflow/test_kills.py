"""A training that is killed, however and whenever, ends in the same bytes as one that never was.

Each scenario is a real run in a folder where the data are split already. It is killed a number of times at moments
that a generator draws, taken up again as a user would, and at its end weights, history and evaluation are compared
with those of an undisturbed run. ``make test`` kills three times, ``make test-full`` twenty.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.workflow.conftest import ROOT, content

STUDY = """
studies:
  small:
    question: Can it be lost?
    data: table.csv
    target: y
    split: {{validation: .2, calibration: 0.0, test: .2}}
    repeats: 1
    image: {image}
    models: [{model}]
    baselines: [trivial]
    training: {{max_epochs: {epochs}, batch_size: 8, patience: 1000}}
    resources: {{checkpoint_seconds: 0.02}}
"""
MODELS = {
    "mlp": ("{name: net, family: mlp, width: 16, n_blocks: 1, dropout: 0.1}", "null", 150),
    "cnn": ("{name: net, family: cnn, channels: [4], width: 8}", "{columns: pixel_*, shape: [1, 4, 4]}", 60),
}
EVALUATION = "results/small/evaluation.json"
RUN = "results/small/{}/net/split-0-repeat-0"
# How long a job is given to show itself or to end.
PATIENCE = 60.0
KILLS = [
    pytest.param(3, id="three"),
    pytest.param(20, id="twenty", marks=pytest.mark.slow),
]


class Site:
    """A folder in which a study is trained, and the processes that work there."""

    def __init__(self, folder, rng):
        self.folder, self.rng = folder, rng
        self.environment = os.environ | {"PYTHONWARNINGS": "default"}
        self.started = []

    def start(self, *arguments, **options):
        """Start Snakemake as the head of a process group of its own, as a terminal does."""
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(
                [*command, *arguments, EVALUATION, "--configfile", "mine.yaml"],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
                **options,
            )
        self.started.append(process)
        return process

    def finish(self, *arguments):
        """Run to the end, whatever was killed before."""
        assert self.start(*arguments).wait(PATIENCE) == 0, self.said

    @property
    def said(self):
        log = self.folder / RUN.format("logs/train").replace("repeat-0", "repeat-0.log")
        return (self.folder / "said").read_text()[-5000:] + (log.read_text() if log.exists() else "")

    def trainings(self):
        """Return the processes that train the network here, orphans too."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    words = (entry / "cmdline").read_bytes().decode().split("\0")
                    if Path(words[0]).name.startswith("python") and words[1].endswith("train.py"):
                        found.append(int(entry.name))
        return found

    def wait_for_training(self, process, other_than=()):
        """Wait until a training has begun; return its process, or None when Snakemake ended before."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if new := set(self.trainings()) - set(other_than):
                return new.pop()
            if process.poll() is not None:
                return None
            time.sleep(0.02)
        raise TimeoutError(self.said)

    def some_time(self):
        """Wait for a moment of a training, from its start on."""
        time.sleep(self.rng.uniform(0.2, self.seconds))

    def results(self):
        return {name: digest for name, digest in content(self.folder / "results").items() if "data/" not in name}


@pytest.fixture(scope="module")
def undisturbed(make_project, tmp_path_factory):
    """Return, for a family, a function that makes a site with split data, and what an undisturbed run gives."""
    made = {}

    def get(family):
        if family not in made:
            project = make_project(tmp_path_factory.mktemp(family))
            rng = np.random.default_rng(0)
            x = rng.normal(size=(150, 16)).round(3)
            y = np.where(x[:, :3].sum(axis=1) > 0, "yes", "no")
            header = ",".join(f"pixel_{i}" for i in range(16)) + ",y\n"
            rows = "\n".join(",".join([*map(str, values), label]) for values, label in zip(x, y, strict=True))
            project.write("table.csv", header + rows + "\n")
            model, image, epochs = MODELS[family]
            project.write("mine.yaml", STUDY.format(model=model, image=image, epochs=epochs))
            # the baseline too, so that the only training to come is the network's
            project.run(
                "results/small/models/trivial/split-0-repeat-0/model.json", "results/small/data/split-0/schema.json"
            )
            fresh = tmp_path_factory.mktemp(f"{family}-fresh") / "site"
            shutil.copytree(project.folder, fresh)
            project.run(EVALUATION)
            record = json.loads((project.folder / RUN.format("records/train")).with_suffix(".json").read_text())
            expected = Site(project.folder, rng).results()
            net = RUN.format("models").removeprefix("results/")
            assert {f"{net}/weights.safetensors", f"{net}/history.parquet", "small/evaluation.json"} <= set(expected)
            assert not list(project.folder.rglob("checkpoints"))
            made[family] = fresh, expected, record["seconds"]
        return made[family]

    return get


@pytest.fixture
def site(undisturbed, tmp_path, request):
    """Return a function that makes a site anew; whatever still runs in it at the end is killed."""
    rng = np.random.default_rng(sum(map(ord, request.node.name)))
    made = []

    def make(family):
        fresh, expected, seconds = undisturbed(family)
        one = Site(tmp_path / f"site-{len(made)}", rng)
        shutil.copytree(fresh, one.folder)
        # a job imports its libraries before its seconds are counted
        one.expected, one.seconds = expected, seconds + 3
        made.append(one)
        return one

    yield make
    for one in made:
        for process in one.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def assert_undisturbed(site):
    assert site.results() == site.expected, site.said
    assert not list(site.folder.rglob("checkpoints")), site.said
    assert not list(site.folder.rglob("*.part"))


def deliver(pid, number):
    """Return whether the signal reached a process that lived."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize(("number", "family"), [("SIGKILL", "mlp"), ("SIGTERM", "cnn"), ("SIGINT", "mlp")])
def test_signals_to_the_job(site, kills, number, family):
    done = 0
    while done < kills:
        here = site(family)
        process = here.start("--retries", "30")
        last = None
        while (pid := here.wait_for_training(process, {last})) is not None and done < kills:
            here.some_time()
            done += deliver(pid, signal.Signals[number])
            last = pid
        assert process.wait(PATIENCE) == 0, here.said
        assert_undisturbed(here)


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize(("number", "family"), [("SIGKILL", "cnn"), ("SIGTERM", "mlp"), ("SIGINT", "cnn")])
def test_signals_to_snakemake(site, kills, number, family):
    """To Snakemake alone, whose jobs may outlive it, or to all, as a terminal or a scheduler does."""
    done = 0
    while done < kills:
        here = site(family)
        while done < kills and not (here.folder / EVALUATION).exists():
            process = here.start()
            if here.wait_for_training(process, here.trainings()) is not None:
                here.some_time()
                whom = -process.pid if here.rng.random() < 0.5 else process.pid
                done += process.poll() is None and deliver_to(whom, signal.Signals[number])
            process.wait(PATIENCE)
        here.finish()
        assert_undisturbed(here)


def deliver_to(whom, number):
    return deliver(whom, number) if whom > 0 else os.killpg(-whom, number) is None


# Python runs a module of this name at its start: a training kills itself within the writing of a checkpoint, before the
# file is whole, when it is written, when it has its name (whole, or torn as by a power failure), or old ones go.
SUICIDE = """
import os, pathlib, random, signal

if "DYING" in os.environ:
    left = pathlib.Path(os.environ["DYING"])
    chance = random.Random(os.getpid())
    writes, place = chance.randint(1, 3), chance.choice(["half", "written", "renamed", "torn", "old"])
    fsync, unlink = os.fsync, os.unlink
    seen = {"writes": 0}

    def now():
        return seen["writes"] >= writes and int(left.read_text()) > 0

    def die():
        left.write_text(str(int(left.read_text()) - 1))
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_fsync(descriptor):
        is_file = os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part")
        seen["writes"] += is_file
        if now() and is_file and place in ("half", "torn"):
            os.ftruncate(descriptor, chance.randrange(os.fstat(descriptor).st_size))
        fsync(descriptor)
        if now() and place in (("half", "written") if is_file else ("renamed", "torn")):
            die()

    def dying_unlink(path, **options):
        if "checkpoint-" in str(path) and place == "old" and now():
            die()
        unlink(path, **options)

    os.fsync, os.unlink = dying_fsync, dying_unlink
"""


@pytest.mark.parametrize("kills", KILLS)
def test_killed_within_the_writing_of_a_checkpoint(site, kills):
    left = kills
    # on a busy disk a training writes seldom, and may end before it is to die
    for _ in range(10 * kills):
        here = site("mlp")
        (here.folder / "hook").mkdir()
        (here.folder / "hook/sitecustomize.py").write_text(SUICIDE)
        (here.folder / "left").write_text(str(left))
        here.environment |= {"PYTHONPATH": str(here.folder / "hook"), "DYING": str(here.folder / "left")}
        process = here.start("--retries", "30")
        assert process.wait(PATIENCE) == 0, here.said
        assert_undisturbed(here)
        left = int((here.folder / "left").read_text())
        if not left:
            return
    raise AssertionError(f"{left} of {kills} kills did not happen")


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a disk of so many bytes on a folder; False where that is not allowed."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("room", [8192, 32768], ids=["no checkpoint fits", "some fit"])
def test_a_full_disk(site, kills, room):
    """Training goes on without checkpoints, or from the last that could be written."""
    done = 0
    while done < kills:
        here = site("mlp")
        disk = here.folder / "results/small/checkpoints"
        with small_disk(disk, room) as mounted:
            # where no disk can be mounted, files may grow so far and no further
            limit = {} if mounted else {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))}
            process = here.start("--retries", "30", **limit)
            last = None
            while (pid := here.wait_for_training(process, {last})) is not None and done < kills:
                here.some_time()
                done += deliver(pid, signal.SIGKILL)
                last = pid
            assert process.wait(PATIENCE) == 0, here.said
            if mounted:
                assert not [path for path in disk.rglob("*") if path.is_file()]
        log = (here.folder / "said").read_text() + here.said
        assert "could not be written: " in log
        if mounted:
            disk.rmdir()
        assert_undisturbed(here)
