"""Which format a file has by its name, what it needs, and what planning learns of it before any job."""

import os
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from serpens import codedigest, contents, glance, planning, settings, stages
from serpens.config import Study
from serpens.errors import ConfigurationError, DataError
from serpens.formats import registry
from serpens.glance import Values

STUDY = {"question": "Why?", "target": "y", "models": ["mlp"]}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(file, read=(), *, sha256=None, **keys):
    return Study.model_validate(STUDY | {"data": {"file": file, "sha256": sha256}, "read": dict(read)} | keys)


def collect(*arguments, **keys):
    with stages.collect(settings.collect(study(*arguments, **keys))) as found:
        table = pa.Table.from_batches(found.stream.batches(), found.stream.schema)
        return table, found.source()


def faults(*arguments, **keys):
    return list(planning.faults(study(*arguments, **keys)))


def test_every_format_has_a_module_with_the_same_functions_and_its_own_suffixes():
    assert len(set(registry.SUFFIXES)) == len(registry.SUFFIXES)
    for each in registry.FORMATS:
        module = registry.import_module(each.module)
        assert all(callable(getattr(module, name)) for name in ("open_table", "header", "count")), each.name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.csv.gz", "delimited text"),
        ("a.h5ad", "AnnData"),
        ("a.h5", "HDF5"),
        ("a.fa.gz", "FASTA"),
        ("a.b/", "a folder of images"),
    ],
)
def test_the_name_says_the_format(path, name):
    assert registry.of(path).name == name


def test_a_name_that_says_nothing():
    with pytest.raises(DataError) as caught:
        registry.of("t.xls")
    assert str(caught.value) == (
        f"t.xls: the name must end in one of {registry.ENDINGS}, which says what the file holds; it does not"
    )


def test_what_is_not_installed_stops_before_any_job_and_in_one(monkeypatch):
    Path("t.h5ad").write_bytes(b"")
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "h5py" else True)
    message = (
        "t.h5ad: reading AnnData needs h5py, not installed here: run  "
        ".venv/bin/python -m pip install -r requirements/formats.lock"
    )
    assert faults("t.h5ad") == [(("data", "file"), message)]
    with pytest.raises(DataError) as caught:
        collect("t.h5ad")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("file", "read", "key", "message"),
    [
        ("t.csv", {"sheet": 2}, "sheet", "is for Excel (.xlsx), and t.csv is delimited text"),
        (
            "t.parquet",
            {"delimiter": ";"},
            "delimiter",
            "is for delimited text (.csv, .tsv, .txt, .dat), and t.parquet is Parquet",
        ),
        (
            "t.parquet",
            {"skip_rows": 1},
            "skip_rows",
            "is for delimited text (.csv, .tsv, .txt, .dat) and Excel (.xlsx), and t.parquet is Parquet",
        ),
        ("t.csv", {"size": [2, 2]}, "size", "is for images: say with images which column holds their paths"),
        ("d/", {"images": "x"}, "images", "is for a table that names images, and d/ is a folder of images"),
    ],
)
def test_a_key_that_does_not_fit_the_format(file, read, key, message):
    images((1, 1))
    assert (("read", key), message) in faults(file, read)


def test_a_key_may_be_for_the_cohort_alone():
    found = faults("t.parquet", {"sheet": 1}, test_on={"file": "u.xlsx"}, split={"test": 0.2})
    assert [key for key, _ in found] == [("data", "file"), ("test_on", "file")]  # which are not there


def cells(names=("g1", "g2")):
    with h5py.File("t.h5ad", "w") as file:
        for place, index in (("obs", ["a", "b", "c"]), ("var", list(names))):
            group = file.create_group(place)
            group.attrs.update({"_index": "_index", "column-order": ["y"] if place == "obs" else []})
            group.create_dataset("_index", data=index, dtype=h5py.string_dtype())
        file["obs/y"], file["X"] = np.arange(3), np.array([[1, 0.5], [2, 0.5], [3, 0.25]])


def test_columns_that_are_not_there_stop_before_any_job():
    cells()
    assert faults("t.h5ad") == []
    assert faults("t.h5ad", drop=["x*"]) == [
        (("drop", 0), "'x*' fits no column of t.h5ad; its columns: obs_names, y, g1, g2")
    ]
    message = "t.h5ad: read.layer must be one of the matrices; there are X, found 'counts'"
    assert faults("t.h5ad", {"layer": "counts"}) == [(("data", "file"), message)]


def test_a_glance_tells_the_size_of_a_table_with_columns():
    cells()
    look = glance.look("t.h5ad", {})
    assert (look.rows, look.size) == (3, 3 * (8 + 8 + 8) + 3 * (4 + 1))  # a letter and where it stands
    assert look.values["g1"] == Values(numbers=True, whole=True, distinct=3, gaps=False)
    assert look.values["obs_names"] == Values(numbers=False, whole=False, distinct=3, gaps=False)
    assert glance.count_rows("t.h5ad", 2, {}) == 2
    assert planning.n_splits(study("t.h5ad")) == planning.N_FOLDS


def test_a_table_of_another_format_may_be_empty():
    Path("t.smi").write_text("")
    assert glance.look("t.smi", {}) == glance.Look(
        0, 0, dict.fromkeys(("smiles", "name"), Values(False, False, 0, False))
    )


def test_what_is_remembered_of_a_file_depends_on_how_it_is_read(monkeypatch):
    monkeypatch.setattr(contents, "RACY_NS", 0)
    with h5py.File("t.h5", "w") as file:
        file["a"], file["b"] = [1, 2], [1, 2, 3]
    for name, rows in (("a", 2), ("b", 3), ("a", 2)):
        assert glance.header("t.h5", {"dataset": name}) == [name]
        assert glance.look("t.h5", {"dataset": name}).rows == rows


def images(*sizes):
    for place, size in enumerate(sizes):
        Path("d/k").mkdir(parents=True, exist_ok=True)
        Image.new("L", size).save(f"d/k/{place}.png")
        os.utime(f"d/k/{place}.png", ns=(place, size[0]))


def test_an_image_that_changes_is_looked_at_again():
    images((1, 1), (1, 1))
    assert glance.header("d/", {}) == ["file", "class", "pixel_0"]
    images((2, 1), (2, 1))
    assert glance.header("d/", {}) == ["file", "class", "pixel_0", "pixel_1"]
    images((2, 1), (2, 1), (2, 1))
    assert glance.look("d/", {}).rows == 3
    assert planning.source_files(study("d/", target="class")) == ["d/k/0.png", "d/k/1.png", "d/k/2.png"]


def test_images_that_are_not_there_stop_before_any_job():
    Path("t.csv").write_text("file,y\na.png,1\n")
    assert faults("t.csv", {"images": "file"}) == [
        (("data", "file"), "t.csv, row 1: there must be an image a.png; there is none")
    ]
    with pytest.raises(ConfigurationError, match="there is no folder"):
        glance.header("absent/x/", {})


def test_a_folder_of_images_is_collected():
    images((1, 1), (1, 1))
    table, source = collect("d/")
    assert table.to_pydict() == {"file": ["k/0.png", "k/1.png"], "class": ["k", "k"], "pixel_0": [0, 0]}
    assert source.bytes == sum(Path(f"d/k/{n}.png").stat().st_size for n in (0, 1))
    assert collect("d/", sha256=source.sha256)[1].sha256 == source.sha256
    Path("d/k/1.png").rename("d/k/2.png")
    assert collect("d/")[1].sha256 != source.sha256


def test_a_wrong_sha256_is_told_before_the_file_is_read():
    Path("t.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match=r"^t.parquet: sha256 must be 0{64}; it is "):
        collect("t.parquet", sha256="0" * 64)


def collected_code(file, read=(), cohort=None):
    outside = {"test_on": {"file": cohort}} if cohort else {}
    return codedigest.Reader().code("collect", settings.collect(study(file, read, **outside)))


def formats_of(code):
    named = {name.split(".")[2] for name in code.definitions if name.startswith("serpens.formats.")}
    return named - {"tables", "lines", "kinds", "records"}


def test_collecting_depends_on_the_formats_that_it_reads_and_on_no_other():
    assert formats_of(collected_code("t.parquet")) == {"parquet"}
    assert formats_of(collected_code("t.jsonl", cohort="u.smi")) == {"jsonlines", "smiles"}
    assert formats_of(collected_code("t.feather", {"images": "file"})) == {"feather", "images"}
    images((1, 1))
    assert formats_of(collected_code("d/")) == {"images"}
    assert formats_of(collected_code("t.zip", {"member": "t.parquet"})) == {"parquet"}
    # what the only table of an archive is, nobody knows yet
    assert {"parquet", "delimited", "h5ad"} < formats_of(collected_code("t.zip"))
    assert "h5py" in collected_code("t.h5ad").libraries
    assert "h5py" not in collected_code("t.parquet").libraries
    assert "serpens.formats.h5ad._turned" in collected_code("t.h5ad").definitions


def test_a_cohort_may_have_another_format():
    pq.write_table(pa.table({"x": ["1"], "y": ["a"]}), "u.parquet")
    Path("t.csv").write_text("x,y\n1,a\n")
    assert collect("t.csv", test_on={"file": "u.parquet"})[0]["y"].to_pylist() == ["a", "a"]
