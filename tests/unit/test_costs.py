"""What jobs cost, held against what real jobs took."""

import pytest
from tests.workflow.conftest import ROOT

from serpens import configfile, costs, intervals, io, ordering, pieces, training
from serpens.config import Project, Study
from serpens.extent import Extent
from serpens.jobs import Job, Jobs
from serpens.models import boosted_trees
from serpens.sizing import SNAKEMAKE_MB, Sizes, kind_of

# From the records of a run on two cores: the most seconds of a processor and megabytes of the jobs of a kind, a thread
# each, no GPU.
BUILT_IN = {
    "collect breast_cancer": (0.2, 176),
    "clean breast_cancer": (0.4, 176),
    "split breast_cancer": (0.2, 178),
    "train breast_cancer mlp": (2.0, 368),
    "train breast_cancer trivial": (0.4, 179),
    "train breast_cancer linear": (1.1, 238),
    "train breast_cancer boosted_trees": (2.1, 263),
    "evaluate breast_cancer": (3.1, 515),
    "report breast_cancer": (1.6, 232),
    "collect mauna_loa_co2": (0.2, 176),
    "clean mauna_loa_co2": (0.4, 176),
    "split mauna_loa_co2": (0.2, 177),
    "train mauna_loa_co2 mlp": (2.1, 372),
    "train mauna_loa_co2 trivial": (0.7, 178),
    "train mauna_loa_co2 persistence": (0.4, 178),
    "train mauna_loa_co2 linear": (0.9, 240),
    "train mauna_loa_co2 boosted_trees": (3.2, 337),
    "evaluate mauna_loa_co2": (8.2, 536),
    "report mauna_loa_co2": (0.8, 269),
    "collect qubit": (0.5, 176),
    "clean qubit": (0.4, 177),
    "split qubit": (0.2, 178),
    "train qubit mlp": (7.2, 413),
    "train qubit trivial": (0.2, 178),
    "train qubit linear": (1.7, 253),
    "train qubit boosted_trees": (2.3, 281),
    "evaluate qubit": (3.6, 572),
    "report qubit": (1.2, 245),
    "collect digits": (0.3, 176),
    "clean digits": (0.4, 178),
    "split digits": (0.6, 178),
    "train digits cnn": (18.3, 398),
    "train digits trivial": (0.6, 179),
    "train digits linear": (2.8, 240),
    "train digits boosted_trees": (5.9, 308),
    "evaluate digits": (12.4, 590),
    "report digits": (1.5, 244),
    "index": (0.2, 180),
}
LARGE = Extent(
    rows=200_000,
    columns=31,
    size=52_012_446,
    features=30,
    learned=140_000,
    validated=30_000,
    tested=40_000,
    input_shape=(30,),
    outputs=1,
)
MILLION = LARGE._replace(rows=1_000_000, size=260_058_110, learned=700_000, validated=150_000, tested=200_000)
# ten numbers and six categories of forty levels, three classes
MIXED = Extent(
    rows=60_000,
    columns=17,
    size=7_900_691,
    features=16,
    learned=42_000,
    validated=9_000,
    tested=12_000,
    input_shape=(251,),
    outputs=3,
)
FEW = Extent(
    rows=2500,
    columns=5,
    size=100_000,
    features=4,
    learned=1750,
    validated=375,
    tested=500,
    input_shape=(4,),
    outputs=1,
)
IMAGES = Extent(
    rows=4000,
    columns=785,
    size=25_120_000,
    features=784,
    learned=2800,
    validated=600,
    tested=800,
    input_shape=(1, 28, 28),
    outputs=2,
)
TABLES = {
    "large": (
        LARGE,
        {
            "collect": (1.1, 223),
            "clean": (2.8, 426),
            "wash": (2.0, 423),
            "split": (1.0, 385),
            "wide": (29.2, 626),
            "boosted_trees": (3.0, 303),
            "linear": (1.2, 292),
            "mlp": (5.4, 411),
            "trivial": (0.3, 202),
            "evaluate": (18.7, 788),
            "report": (4.0, 480),
        },
    ),
    "mixed": (
        MIXED,
        {
            "collect": (0.4, 203),
            "clean": (1.0, 258),
            "split": (0.6, 246),
            "mlp": (2.5, 401),
            "boosted_trees": (8.1, 414),
            "linear": (3.1, 344),
            "trivial": (0.3, 203),
            "evaluate": (23.8, 734),
            "report": (1.6, 312),
        },
    ),
    # rows that are not held; cleaning has two threads, which share the work
    "million": (MILLION, {"collect": (4.2, 247), "clean": (5.6, 806), "split": (2.7, 494)}),
    # fifty million parameters, with checkpoints
    "few": (FEW, {"heavy": (24.8, 3002)}),
    "images": (
        IMAGES,
        {
            "collect": (0.6, 255),
            "clean": (2.7, 437),
            "split": (0.8, 322),
            "boosted_trees": (11.3, 377),
            "cnn": (8.3, 587),
            "trivial": (0.3, 203),
            "linear": (1.2, 243),
            "evaluate": (5.1, 708),
            "report": (3.4, 441),
        },
    ),
}
MODELS = {
    "large": [
        "mlp",
        {"name": "wide", "family": "mlp", "width": 1024, "training": {"batch_size": 4096, "max_epochs": 3}},
    ],
    "million": ["mlp"],
    "mixed": ["mlp"],
    "images": [{"name": "cnn", "family": "cnn", "training": {"max_epochs": 4}}],
    "few": [{"name": "heavy", "family": "mlp", "width": 4096, "n_blocks": 4, "training": {"max_epochs": 2}}],
}


def test_the_studies_that_come_along_get_what_they_need_and_not_much_more(monkeypatch):
    monkeypatch.chdir(ROOT)
    jobs = Jobs(configfile.load([], {}))
    sizes = Sizes(jobs, gpus=0)
    kinds = {str(kind_of(job)): kind_of(job) for name in jobs.project.studies for job in jobs.of_study(name)}
    assert {*kinds, "index"} == set(BUILT_IN)
    for name, (seconds, peak) in BUILT_IN.items():
        ask = sizes.ask(kinds.get(name, Job("index")))
        assert 1.2 * peak <= ask.mem_mb - SNAKEMAKE_MB <= 3 * peak, name
        assert seconds <= 1.5 * ask.seconds, name
        assert (ask.runtime, ask.threads) == (10, 1), name


@pytest.mark.parametrize("name", TABLES)
def test_larger_tables_and_networks_cost_what_they_took(name, monkeypatch):
    keys = {"question": "Why?", "data": {"url": "http://a.org/t.csv", "sha256": "0" * 64}, "target": "y", "repeats": 1}
    keys["resources"] = {"shards": 4}
    if name == "images":
        keys["image"] = {"columns": "p*", "shape": [1, 28, 28]}
    study = Study.model_validate(keys | {"models": MODELS[name], "training": {"max_epochs": 5}})
    extent, took = TABLES[name]
    sizes = Sizes(Jobs(Project(studies={"one": study})), gpus=0)
    monkeypatch.setattr(sizes, "extent", lambda _: extent)
    for what, (seconds, peak) in took.items():
        ask = sizes.ask(Job(what, "one") if what in costs.OF_STUDY else Job("train", "one", what, 0, 0))
        assert 1.4 * peak <= ask.mem_mb - SNAKEMAKE_MB <= 3 * peak, what
        assert seconds <= 1.5 * ask.seconds, what
        # a core may be slower, and an optimiser of the linear model may take ten times the passes
        assert ask.seconds <= (20 if what == "linear" else 6) * (seconds + 2), what


def test_a_table_that_is_held_as_a_whole_costs_what_it_took():
    study = Study.model_validate({"question": "?", "target": "y", "data": {"simulator": "qubit", "rows": 3_000_000}})
    extent = FEW._replace(rows=3_000_000)
    assert 1492 <= costs.collect(study, extent).memory_mb <= 2 * 1492
    assert 15 <= costs.collect(study, extent).seconds <= 60


def test_bounds_are_those_of_the_jobs():
    assert ordering.RANGE_CELLS == pieces.HELD_CELLS == costs.HELD_CELLS
    assert io.GROUP_CELLS == costs.GROUP_CELLS
    assert training.PREDICT_ROWS == costs.PREDICT_ROWS
    assert boosted_trees.MAX_STACKED_ROWS == costs.MAX_STACKED_ROWS
    assert (intervals.N_RESAMPLES, intervals.MOST_RESAMPLED) == (costs.RESAMPLES, costs.MOST_RESAMPLED)
