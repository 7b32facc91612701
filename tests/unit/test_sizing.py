"""What jobs ask for: by their size, by what they took, by what the study says."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from serpens.config import Project
from serpens.costs import PIECES_MB
from serpens.extent import Extent
from serpens.jobs import INDEX, Job, Jobs
from serpens.plan import Reason, Took
from serpens.sizing import BY_STUDY, MB_STEP, RESOURCES, Sizes, resources, small_rules

STUDY = {
    "question": "Why?",
    "data": {"simulator": "qubit", "rows": 20_000},
    "target": "y",
    "models": ["mlp"],
    "repeats": 2,
}
MLP = Job("train", "one", "mlp", 0, 1)
LINEAR = Job("train", "one", "linear", 0, 0)
FOUR_GPUS = {"gpu": 4, "nodes": 2, "gpu_model": "a100"}


def jobs(**keys):
    return Jobs(Project.model_validate({"studies": {"one": STUDY | keys}}))


def sizes(took=None, stale=(), gpus=None, **keys):
    every = jobs(**keys)
    plan = None
    if took is not None:
        plan = SimpleNamespace(last=took, stale={job: [Reason(kind, "it")] for job, kind in stale})
    return Sizes(every, plan, gpus=gpus)


def ask(job, attempt=1, **keys):
    return sizes(**keys).ask(job, attempt)


def network(**settings):
    return {"models": [{"name": "mlp", "family": "mlp", **settings}]}


IMAGE = {"data": {"simulator": "sim.py:go", "rows": 5000}, "image": {"columns": "p*", "shape": [1, 32, 32]}}
MANY = {"data": {"simulator": "qubit", "rows": 1_000_000}}
SERIES = {"time": "t", "horizon": 4, "history": 20}
# each asks for as much as the first, or more
GROWING = {
    "rows": [{"data": {"simulator": "qubit", "rows": 10**n}} for n in (3, 5, 7, 9)],
    "epochs": [{"training": {"max_epochs": 10**n}} for n in (1, 3, 5, 7)],
    "width": [network(width=4**n) for n in (2, 4, 6, 8)],
    "depth": [network(n_blocks=n) for n in (1, 30, 900)],
    "folds": [MANY | {"split": {"folds": n}} for n in (2, 20)],
    "channels": [IMAGE | {"models": [{"name": "mlp", "family": "cnn", "channels": [8**n]}]} for n in (1, 2, 3)],
    "repeats": [{"repeats": n} for n in (1, 10, 100)],
    "history": [SERIES | {"history": 10**n} for n in (1, 3, 5)],
    "horizon": [SERIES | {"horizon": 10**n} for n in (0, 2, 4)],
    "trees": [{"baselines": [{"family": "boosted_trees", "max_iterations": 10**n}]} for n in (1, 3, 5)],
    "leaves": [{"baselines": [{"family": "boosted_trees", "max_leaf_nodes": 8**n}]} for n in (1, 3, 5)],
    "strengths": [MANY | {"baselines": [{"family": "linear", "strengths": [1.0] * n}]} for n in (1, 100)],
}


@pytest.mark.parametrize("what", GROWING)
@pytest.mark.parametrize("gpus", [0, None])
def test_what_is_larger_never_asks_for_less(what, gpus):
    asks = [
        {(job.rule, job.model): each.ask(job) for job in each.jobs.of_study("one")}
        for each in (sizes(gpus=gpus, **keys) for keys in GROWING[what])
    ]
    figures = (*RESOURCES, "threads", "seconds")
    for smaller, larger in pairwise(asks):
        for kind in smaller.keys() & larger.keys():
            for figure in figures:
                assert getattr(larger[kind], figure) >= getattr(smaller[kind], figure), (kind, figure)
    first, last = asks[0], asks[-1]
    assert any(getattr(last[kind], figure) > getattr(first[kind], figure) for kind in first for figure in figures)


def test_a_batch_takes_memory():
    small, large = (ask(MLP, gpus=0, training={"batch_size": n}) for n in (32, 14_000))
    assert large.mem_mb > small.mem_mb
    assert large.seconds < small.seconds


@pytest.mark.parametrize("rule", ["collect", "clean", "split"])
def test_rows_that_go_by_piece_by_piece_ask_for_no_more_memory(rule, monkeypatch):
    def memory(rows, data):
        each = sizes(data=data, split={"test": 0.2})
        extent = Extent(rows, 30, 100 * rows, 29, rows, rows, rows, (29,), 1)
        monkeypatch.setattr(each, "extent", lambda _: extent)
        found = each.ask(Job(rule, "one"))
        # each further thread has pieces of its own
        return found.mem_mb - 1.5 * (found.threads - 1) * PIECES_MB

    here = {"file": "t.csv"}
    assert memory(10**6, here) == pytest.approx(memory(10**8, here), abs=MB_STEP)
    held = {"simulator": "qubit", "rows": 9}
    assert (memory(10**8, held) > 50 * memory(10**6, here)) == (rule == "collect")


def test_each_thread_of_a_table_has_memory_of_its_own(monkeypatch):
    each = sizes(data="t.csv", split={"test": 0.2})
    monkeypatch.setattr(each, "extent", lambda _: Extent(10**8, 30, 10**10, 29, 1, 1, 1, (29,), 1))
    ask = each.ask(Job("clean", "one"))
    assert (ask.threads, ask.mem_mb) == (8, 3500)  # 350 + 1.5 (200 + 80 x 8 + 7 x 180)


@pytest.mark.parametrize("job", [MLP, LINEAR, Job("clean", "one"), INDEX])
def test_a_further_attempt_asks_for_as_much_again(job):
    first, second, third = (ask(job, attempt) for attempt in (1, 2, 3))
    for figure in RESOURCES:
        assert getattr(second, figure) == 2 * getattr(first, figure)
        assert getattr(third, figure) == 3 * getattr(first, figure)
    assert (second.gpu, second.threads) == (first.gpu, first.threads)


def test_networks_ask_for_a_gpu_and_nothing_else_does():
    found = {job.model or job.rule: ask(job).gpu for job in jobs().of_study("one")}
    assert found.pop("mlp") == 1
    assert set(found.values()) == {0}
    assert ask(MLP).why["gpu"] == "a network"


def test_a_study_can_train_on_the_cpu():
    told = ask(MLP, resources={"gpu": 0, "gpu_model": "a100"})
    assert (told.gpu, told.gpu_model, told.why["gpu"]) == (0, None, BY_STUDY)
    assert told.mem_mb < ask(MLP).mem_mb  # no CUDA in its memory


def test_no_more_gpus_are_asked_for_than_there_are():
    told = ask(MLP, resources={"gpu": 4, "gpu_model": "a100"}, gpus=2)
    assert (told.gpu, told.gpu_model) == (2, "a100")
    assert told.why["gpu"] == "4 wanted, 2 to be had"
    told = ask(MLP, resources={"gpu": 4, "gpu_model": "a100"}, gpus=0)
    assert (told.gpu, told.gpu_model) == (0, None)


def test_several_nodes():
    told = ask(MLP, resources=FOUR_GPUS | {"threads": 16})
    assert (told.gpu, told.gpu_model, told.nodes, told.threads, told.cpus_per_task) == (4, "a100", 2, 16, 8)
    assert (told.tasks, told.tasks_per_gpu, told.mpi) == (2, -1, "srun")
    assert told.slurm_extra == f"--ntasks-per-node=1 --gpus-per-node={told.gpu // 2}"
    told = ask(MLP, resources={"processes": 6, "nodes": 2})
    assert (told.gpu, told.nodes, told.tasks, told.threads, told.cpus_per_task) == (0, 2, 2, 6, 3)
    assert told.why["threads"] == "one for each of its 6 processes"
    assert told.why["gpu"] == "its processes are for CPUs"
    told = ask(MLP, resources={"nodes": 3})
    assert (told.gpu, told.why["gpu"]) == (3, "a network, one on each node")
    told = ask(MLP)
    assert (told.nodes, told.tasks, told.cpus_per_task) == (None, None, None)


def test_processes_on_a_node_each_take_the_memory():
    one, two, spread = (ask(MLP, resources={"gpu": n, "nodes": m}) for n, m in ((1, 1), (2, 1), (2, 2)))
    assert two.mem_mb > 1.8 * one.mem_mb
    assert spread.mem_mb == one.mem_mb


def test_a_baseline_runs_on_one_node():
    told = ask(LINEAR, resources=FOUR_GPUS | {"threads": 7})
    assert (told.gpu, told.gpu_model, told.nodes, told.tasks, told.threads) == (0, None, None, None, 4)


def test_the_study_says_what_trainings_ask_for():
    given = {"mem_mb": 12345, "disk_mb": 23, "runtime": 7, "threads": 3}
    for job in (MLP, LINEAR):
        told = ask(job, resources=given)
        assert {name: getattr(told, name) for name in given} == given
        assert {name: told.why[name] for name in given} == dict.fromkeys(given, BY_STUDY)
    assert ask(MLP, 2, resources=given).mem_mb == 2 * 12345
    assert ask(Job("clean", "one"), resources=given) == ask(Job("clean", "one"))


def test_reasons_name_what_was_counted():
    assert ask(MLP).why["mem_mb"] == "20,000 rows x 4 features, 200 epochs, 0.13 million parameters"
    own = ask(MLP, models=[{"name": "mlp", "family": "custom", "path": "net.py:Net"}])
    assert own.why["mem_mb"] == "20,000 rows x 4 features, 200 epochs, 10 million parameters assumed"
    assert ask(MLP, gpus=0).why["threads"] == "about 63.9 s of work for one core"
    assert ask(LINEAR).why["runtime"] == "20,000 rows x 4 features, 7 strengths of the penalty"
    assert ask(Job("evaluate", "one")).why["mem_mb"] == "4 models on about 4,000 test rows"
    assert ask(INDEX).why["disk_mb"] == "a line for each study"


# --- what jobs took ---------------------------------------------------------------------------------------------------


def test_a_job_that_ran_asks_for_what_it_took():
    took = {MLP: Took(3600.0, 10_000.0, "cpu")}
    told = ask(MLP, took=took, gpus=0)
    assert (told.mem_mb, told.runtime, told.seconds) == (13_400, 130, 3600.0)
    assert told.why["mem_mb"] == told.why["runtime"] == "took 60.0 min and 10,000 MB last time"
    # also for less than its size lets expect
    assert ask(MLP, took={MLP: Took(1.0, 300.0, "cpu")}, gpus=0).mem_mb < ask(MLP, gpus=0).mem_mb


def test_the_most_that_trainings_of_a_model_took_is_asked_for_by_all():
    took = {MLP: Took(600.0, 900.0, "cpu"), MLP._replace(repeat=0): Took(1200.0, 800.0, "cpu")}
    told = [ask(MLP._replace(repeat=k), took=took, gpus=0) for k in (0, 1)]
    assert told[0] == told[1]
    assert (told[0].seconds, told[0].mem_mb) == (1200.0, 1600)
    assert ask(LINEAR, took=took, gpus=0) == ask(LINEAR, gpus=0)


@pytest.mark.parametrize("kind", ["setting", "data", "follows"])
def test_after_a_change_the_larger_of_both_is_asked_for(kind):
    stale = [(MLP, kind)]
    less = ask(MLP, took={MLP: Took(1.0, 200.0, "cpu")}, stale=stale, gpus=0)
    assert less == ask(MLP, gpus=0)
    more = ask(MLP, took={MLP: Took(7200.0, 200.0, "cpu")}, stale=stale, gpus=0)
    assert more.runtime == 250
    assert more.why["runtime"] == "took 2.0 h and 200 MB last time, before a change"
    assert more.why["mem_mb"] == less.why["mem_mb"]


@pytest.mark.parametrize("kind", ["never made", "forced", "code", "library", "output"])
def test_what_changes_no_size_is_no_change(kind):
    took = {MLP: Took(1.0, 200.0, "cpu")}
    assert ask(MLP, took=took, stale=[(MLP, kind)], gpus=0) == ask(MLP, took=took, gpus=0)


def test_what_ran_on_another_kind_of_device_tells_nothing():
    on_cpu, on_gpu = ({MLP: Took(9000.0, 20_000.0, device)} for device in ("cpu", "cuda"))
    assert ask(MLP, took=on_cpu) == ask(MLP)
    assert ask(MLP, took=on_gpu, gpus=0) == ask(MLP, gpus=0)
    assert ask(MLP, took=on_gpu).mem_mb == 26_400


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "threads"), [(200, 1), (4_000, 1), (8_000, 2), (30_000, 4), (100_000, 8), (10_000_000, 8)]
)
def test_long_trainings_get_threads(epochs, threads):
    assert ask(MLP, training={"max_epochs": epochs}, gpus=0).threads == threads


def test_small_steps_are_not_shared():
    assert ask(MLP, training={"max_epochs": 10_000_000}, **network(width=16)).threads == 1
    assert ask(MLP, training={"max_epochs": 10_000_000, "batch_size": 64}, **network(width=256)).threads == 2


@pytest.mark.parametrize(("rows", "threads"), [(14_000, 1), (3_500_000, 2), (70_000_000, 8)])
@pytest.mark.parametrize("nodes", [1, 2])
def test_trees_get_threads_on_much_data(rows, threads, nodes, monkeypatch):
    many = sizes(resources={"nodes": nodes})
    extent = Extent(2 * rows, 101, 10**9, 100, rows, rows // 4, rows // 2, (300,), 5)
    monkeypatch.setattr(many, "extent", lambda _: extent)
    assert many.ask(Job("train", "one", "boosted_trees", 0, 0)).threads == threads


def test_threads_gpus_and_nodes_depend_on_the_study_alone():
    """As on a node of a cluster, where neither the record is left nor the machine the same."""
    took = {MLP: Took(90_000.0, 20_000.0, "cuda"), LINEAR: Took(9000.0, 20_000.0, "cpu")}
    for keys in ({}, {"resources": FOUR_GPUS}, {"training": {"max_epochs": 30_000}}):
        for job in (MLP, LINEAR):
            here, there = ask(job, took=took, **keys), ask(job, **keys)
            assert [here.gpu, here.nodes, here.threads, here.tasks] == [
                there.gpu,
                there.nodes,
                there.threads,
                there.tasks,
            ]
        assert ask(MLP, gpus=0, **keys).threads == ask(MLP, **keys).threads


# --- what Snakemake is told -------------------------------------------------------------------------------------------


def test_only_what_a_study_needs_is_asked_for():
    def names(rule, **keys):
        return set(resources(rule, jobs(**keys).project))

    assert names("clean", resources=FOUR_GPUS) == set(RESOURCES)
    assert names("train") == {"gpu", *RESOURCES}
    assert names("train", resources={"gpu": 2, "gpu_model": "a100"}) == {"gpu", "gpu_model", *RESOURCES}
    several = {"nodes", "tasks", "tasks_per_gpu", "mpi", "cpus_per_task", "slurm_extra"}
    assert names("train", resources=FOUR_GPUS) == {"gpu", "gpu_model", *RESOURCES, *several}
    assert names("train", resources={"processes": 2, "nodes": 2}) == {"gpu", *RESOURCES, *several}


# --- small jobs -------------------------------------------------------------------------------------------------------


def test_small_rules_are_those_all_of_whose_jobs_are_small():
    assert small_rules(jobs()) == {"collect", "clean", "split", "evaluate", "report", "index"}
    # what goes through a table piece by piece stays small, whatever its rows
    assert small_rules(jobs(data={"simulator": "qubit", "rows": 3_000_000})) == {"clean", "split", "index"}
    assert "train" in small_rules(jobs(models=[{"name": "line", "family": "linear"}]))
    own = {"data": {"simulator": "sim.py:go", "rows": 100}, "split": {"test": 0.2}}
    assert "collect" not in small_rules(jobs(**own))  # nobody knows how long it takes


def test_only_the_studies_that_are_made_count():
    large = STUDY | {"data": {"simulator": "qubit", "rows": 3_000_000}}
    tree = {"studies": {"one": STUDY, "two": large}, "run": "one"}
    assert small_rules(Jobs(Project.model_validate(tree))) == {"collect", "clean", "split", "evaluate", "report"}
