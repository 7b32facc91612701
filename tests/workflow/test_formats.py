"""Studies of cells in an AnnData file and of images in folders, from their files to their reports."""

import json

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import sparse

STUDIES = """
studies:
  cells:
    question: Which kind is a cell, by its genes?
    data: cells.h5ad
    target: kind
    id: obs_names
    drop: [obs_names]
    split: {validation: .2, calibration: .1, test: .2}
    repeats: 1
    models: [{name: mlp, family: mlp, width: 8, n_blocks: 1}]
    baselines: [trivial, linear]
    training: {max_epochs: 30, batch_size: 32, learning_rate: 0.01}
  stripes:
    question: Does a stripe stand or lie?
    data: stripes/
    target: class
    id: file
    image: {columns: pixel_*, shape: [1, 6, 6]}
    split: {validation: .2, calibration: .1, test: .2}
    repeats: 1
    models: [{name: cnn, family: cnn, channels: [4]}]
    baselines: [trivial]
    training: {max_epochs: 30, batch_size: 32, learning_rate: 0.01}
"""
N_CELLS, N_GENES, N_IMAGES = 200, 40, 160


def cells(path):
    """Write cells of two kinds: T cells have much of gene 0, B cells of gene 1; X is scaled over all cells."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, N_CELLS)
    counts = rng.poisson(0.5, (N_CELLS, N_GENES)).astype(np.float32)
    counts[:, 0] += 6 * kind
    counts[:, 1] += 6 * (1 - kind)
    raw = sparse.csr_array(counts)
    with h5py.File(path, "w") as file:
        for place, names in (
            ("obs", [f"c{n}" for n in range(N_CELLS)]),
            ("raw/var", [f"g{n}" for n in range(N_GENES)]),
        ):
            group = file.create_group(place)
            group.attrs.update({"_index": "_index", "column-order": ["kind"] if place == "obs" else []})
            group.create_dataset("_index", data=names, dtype=h5py.string_dtype())
        file["obs/kind/codes"], file["obs/kind/categories"] = kind.astype(np.int8), [b"B", b"T"]
        file.copy("raw/var", "var")
        file["X"] = (counts - counts.mean(axis=0)) / counts.std(axis=0)
        group = file.create_group("raw/X")
        group.attrs.update({"encoding-type": "csr_matrix", "shape": raw.shape})
        group["data"], group["indices"], group["indptr"] = raw.data, raw.indices, raw.indptr
    return counts


def stripe(folder, number):
    """Write an image with a stripe that stands in one class and lies in the other."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 60, (6, 6)).astype(np.uint8)
    pixels[rng.integers(6)] = 255
    kind = "lies" if number % 2 else "stands"
    (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if kind == "lies" else pixels.T.copy()).save(folder / kind / f"{number}.png")


@pytest.fixture(scope="module")
def ran(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("formats"))
    project.counts = cells(project.folder / "cells.h5ad")
    for number in range(N_IMAGES):
        stripe(project.folder / "stripes", number)
    project.write("mine.yaml", STUDIES)
    project.run()
    return project


def evaluation(project, study):
    return json.loads((project.folder / f"results/{study}/evaluation.json").read_text())


def test_cells_are_told_by_what_was_measured_of_their_genes(ran):
    raw = pq.read_table(ran.folder / "results/cells/data/raw.parquet")
    np.testing.assert_array_equal(raw["g0"].to_numpy(), ran.counts[:, 0])
    models = evaluation(ran, "cells")["models"]
    for name in ("linear", "mlp"):
        assert models[name]["metrics"]["roc_auc"]["value"] > 0.95


def test_images_are_told_by_a_network(ran):
    found = evaluation(ran, "stripes")
    assert found["models"]["cnn"]["metrics"]["accuracy"]["value"] > 0.9
    source = json.loads((ran.folder / "results/stripes/data/source.json").read_text())
    assert (source["origin"], source["rows"], source["columns"]) == ("stripes/", N_IMAGES, 2 + 36)
    collected = json.loads((ran.folder / "results/stripes/records/collect.json").read_text())
    assert len(collected["inputs"]) == N_IMAGES


def test_only_what_changed_is_collected_again(ran):
    assert ran.jobs() == []
    stripe(ran.folder / "stripes", N_IMAGES)
    again = ran.jobs()
    assert again[:2] == ["collect", "clean"]
    (ran.folder / "stripes/stands" / f"{N_IMAGES}.png").unlink()
    assert ran.jobs() == []
    wrong = ran.write("wrong.yaml", STUDIES.replace("data: cells.h5ad", "data: cells.h5ad\n    read: {layer: counts}"))
    done = ran.snakemake("-n", config=wrong.name)
    message = (
        "wrong.yaml:5: studies.cells.data.file: cells.h5ad: read.layer must be one of the matrices; there are raw, X"
    )
    assert message in done.stdout + done.stderr
