"""What a wrong configuration is told: each message whole, with its line."""

from pathlib import Path

import pytest
import yaml

from serpens.configfile import load_project
from serpens.errors import ConfigurationError, listed
from serpens.sources.registry import FILE_TYPES
from serpens.sources.secrets import ADVICE

TYPES = (
    ".csv, .tsv, .txt, .dat, .parquet, .feather, .arrow, .jsonl, .ndjson, .xlsx, .h5ad, .h5, .hdf5, .nc, .fasta, .fa, "
    ".fastq, .fq, .smi, .npy, .npz, / (a folder), text also packed, such as .csv.gz, or of an archive: .zip, .tar, "
    ".tar.gz, .tgz, .tar.xz, .tar.bz2"
)
GOOD = {"question": "Why?", "data": "my.csv", "target": "y"}
STUDY_KEYS = (
    "question, data, read, target, task, positive_class, test_on, id, split, columns, features, drop, "
    "clean, select, personal, time, horizon, "
    "history, season, image, models, baselines, metric, meaningful_difference, weight, "
    "subgroups, repeats, seed, training, "
    "resources"
)
COLUMNS = "its columns: y, age, date, site, p1, p2"
INSIDE = "give a path below it, or an absolute one"
METRICS = "accuracy, balanced_accuracy, roc_auc, average_precision, log_loss, brier_score"
VALUE_METRICS = "rmse, mae, median_absolute_error, r2"
NAME = "letters, digits, - and _ only, the first a letter or digit (it becomes a path)"
FAMILIES = "trivial, linear, boosted_trees, mlp, cnn, custom"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text("y,age,date,site,p1,p2\n1,2,2020,a,0,0\n", encoding="utf-8")
    Path("my_net.py").write_text("class Net: ...\n", encoding="utf-8")
    Path("my_sim.py").write_text("def simulate(rows, seed, *, gain=1.0): ...\n", encoding="utf-8")
    return tmp_path


def write(text):
    Path("config.yaml").write_text(text, encoding="utf-8")


def study_text(*lines, **instead):
    """A file with one study ``s``; the lines that follow its three keys start at line 6."""
    keys = GOOD | instead
    text = ["studies:", "  s:", *(f"    {key}: {value}" for key, value in keys.items() if value is not None)]
    return "\n".join([*text, *(f"    {line}" for line in lines)]) + "\n"


def faults(overrides=None):
    with pytest.raises(ConfigurationError) as caught:
        load_project("config.yaml", overrides)
    return str(caught.value).splitlines()


WRONG = {
    "repeat: 3": f"repeat: unknown key; did you mean 'repeats'? allowed: {STUDY_KEYS}",
    "repeats: 0": "repeats: must be at least 1, found 0",
    "repeats: 101": "repeats: must be at most 100, found 101",
    "repeats: three": "repeats: must be a whole number, found 'three'",
    "repeats: '3'": "repeats: must be a whole number, found '3', which is text; write 3",
    "repeats: yes": "repeats: must be a whole number, found true",
    "repeats: 2.5": "repeats: must be a whole number, found 2.5",
    "repeats:": "repeats: must be a whole number, found nothing",
    "training: {learning_rate: 1e-3}": (
        "training.learning_rate: must be a number, found '1e-3', which is text; write 0.001 or 1.0e-3"
    ),
    "training: {learning_rate: -1.0}": "training.learning_rate: must be greater than 0, found -1.0",
    "training: {learning_rate: .inf}": "training.learning_rate: must be a finite number, found inf",
    "training: {learning_rate: true}": "training.learning_rate: must be a number, found true",
    "training: {learning_rat: 0.1}": (
        "training.learning_rat: unknown key; did you mean 'learning_rate'? allowed: max_epochs, batch_size, "
        "learning_rate, patience, optimizer, schedule, weight_decay, momentum, class_weights, precision, compile, "
        "deterministic"
    ),
    "training: {optimizer: adamww}": (
        "training.optimizer: unknown value 'adamww'; did you mean 'adamw'? allowed: sgd, adam, adamw, adadelta"
    ),
    "training: {compile: 'yes'}": "training.compile: must be true or false, found 'yes'",
    "training: {precision: bf16}": (
        "training.precision: unknown value 'bf16'; did you mean 'bfloat16'? allowed: auto, float32, tf32, bfloat16"
    ),
    "training: 5": "training: must be a mapping, found 5",
    "task: clasification": (
        "task: unknown value 'clasification'; did you mean 'classification'? "
        "allowed: classification, regression, forecasting"
    ),
    "metric: auc": (
        "metric: unknown value 'auc'; did you mean 'roc_auc'? allowed: accuracy, balanced_accuracy, "
        "roc_auc, average_precision, log_loss, "
        "brier_score, rmse, mae, median_absolute_error, r2"
    ),
    "models: [mpl]": f"models[0]: unknown family 'mpl'; did you mean 'mlp'? allowed: {FAMILIES}",
    "models: [no]": f"models[0]: must be a family or a mapping, found false; families: {FAMILIES}",
    "models: mlp": "models: must be a list, found 'mlp'; write [mlp]",
    "models: []": "models: must be at least 1 long, found an empty list",
    "models: [{name: wide}]": f"models[0]: model 'wide' needs a family; allowed: {FAMILIES}",
    "models: [{width: 3}]": f"models[0]: a model needs a family; allowed: {FAMILIES}",
    "models: [{name: mlp, widht: 3}]": (
        "models[0].widht: unknown key; did you mean 'width'? "
        "allowed: name, family, training, width, n_blocks, activation, dropout"
    ),
    "models: [{name: ../x, family: mlp}]": (f"models[0].name: must be {NAME}, found '../x'"),
    "models: [mlp, mlp]": ("models: two models are called 'mlp'; name them, such as {name: mlp_2, family: mlp}"),
    "models: [linear]": ("models: two models are called 'linear'; name them, such as {name: linear_2, family: linear}"),
    "models: [cnn]": "models: cnn is for images: say with image how columns make one",
    "models: [{name: l, family: linear, training: {patience: 3}}]": (
        "models[0].training: is for networks, and linear is none"
    ),
    "models: [{family: custom}]": "models[0].path: is required",
    "models: [{family: custom, path: my_net.Net}]": (
        "models[0].path: must be a Python file and a name in it, such as my_net.py:Net, found 'my_net.Net'"
    ),
    "models: [{family: custom, path: 'my_net.py:Nett'}]": (
        "models[0].path: my_net.py defines no 'Nett'; did you mean 'Net'? it defines: Net"
    ),
    "models: [{family: custom, path: '../my_net.py:Net'}]": (
        f"models[0].path: leaves the working directory, found '../my_net.py'; {INSIDE}"
    ),
    "test_on: new_rows": (
        "test_on: must be new rows, {new: <column>}, {after: <column>}, {column: <column>} or {file: "
        "<path>}, "
        "found 'new_rows'"
    ),
    "test_on: {new: site, after: site}": (
        "test_on.new: new and after both name 'site'; a later time is a new one: drop new"
    ),
    "test_on: {new: site, column: site}": ("test_on.column: column says already which rows are tested; drop new"),
    "test_on: {new: y}": "test_on: names the target 'y'; the split may not look at the answer",
    "test_on: {new: sites}": (f"test_on.new: 'sites' is no column of my.csv; did you mean 'site'? {COLUMNS}"),
    "split: {folds: 1}": "split.folds: must be at least 2, found 1",
    "split: {folds: 5, test: 0.3}": "split.test: with 5 folds the test fraction is 1/5; drop test",
    "split: {validation: 0.5, test: 0.4}": (
        "split.validation: validation + calibration + test must leave rows to train on, found 1 of 1"
    ),
    "columns: {age: numbr}": (
        "columns.age.type: unknown value 'numbr'; did you mean 'number'? allowed: number, category, time, text, image"
    ),
    "columns: {age: {min: 3, max: 2}}": "columns.age.max: must not be below min, found 2 < 3",
    "columns: {age: {type: category, min: 3}}": ("columns.age.min: is for numbers, and the column's type is category"),
    "columns: {age: {format: '%Y', type: number}}": (
        "columns.age.format: is for times, and the column's type is number"
    ),
    "columns: {age: {type: category, outliers: clip}}": (
        "columns.age.outliers: is for numbers, and the column's type is category"
    ),
    "columns: {age: {type: category, impute: mean}}": "columns.age.impute: mean is not for a category; allowed: mode",
    "select: {by: variance}": "select.keep: selection needs a limit: give keep or fdr",
    "select: {by: variance, fdr: 0.05}": (
        "select.fdr: a variance has no test and so no fdr: give keep, or by: univariate"
    ),
    "select: {by: univariate, keep: 3, fdr: 0.05}": "select.fdr: selection has one limit: give keep or fdr, not both",
    "personal: {mail: drop}": f"personal.mail: 'mail' is no column of my.csv; {COLUMNS}",
    "personal: {age: hide}": "personal.age: unknown value 'hide'; allowed: drop, hash, keep",
    "personal: {y: drop}": "personal: would drop the target column 'y'; it must be keep",
    "personal: {y: hash}": "personal: would hash the target column 'y', whose values are needed; it must be keep",
    "columns: {agee: number}": (f"columns.agee: 'agee' is no column of my.csv; did you mean 'age'? {COLUMNS}"),
    "positive_class: no": (
        "positive_class: must be text, found false; YAML reads yes, no, on and off as true and false; "
        "put the word in quotes, as it stands in the data"
    ),
    "id: 12": "id: must be text, found 12; put it in quotes: '12'",
    "id: ''": "id: must be text that is not empty, found ''",
    "id: y": "id: is the target 'y' too; a column has one of these roles",
    "weight: wait": f"weight: 'wait' is no column of my.csv; {COLUMNS}",
    "subgroups: [sit]": f"subgroups[0]: 'sit' is no column of my.csv; did you mean 'site'? {COLUMNS}",
    "subgroups: [y]": "subgroups: names the target 'y'; subgroups are of what is known before",
    "features: [y, age]": "features: names the target 'y', which is never a feature",
    "features: [gene_*]": f"features[0]: 'gene_*' fits no column of my.csv; {COLUMNS}",
    "drop: ['*']": "drop: '*' would drop the target 'y'",
    "drop: [age, dates]": (f"drop[1]: 'dates' fits no column of my.csv; did you mean 'date'? {COLUMNS}"),
    "season: 12": "season: is for forecasting, and without horizon this study is none",
    "image: {columns: 'p*', shape: [1, 3]}": "image.shape: must be at least 3 long, found a list of 2",
    "image: {columns: 'p*', shape: [1, 3, 3]}": (
        f"image.columns: 'p*' fits 2 columns of my.csv, but 1 x 3 x 3 pixels need 9; {COLUMNS}"
    ),
    "resources: {gpu: all}": "resources.gpu: must be a whole number, found 'all'",
    "resources: {gpu: 3, nodes: 2}": "resources.gpu: must be dealt out evenly to 2 nodes, found 3",
    "resources: {processes: 3, nodes: 2}": "resources.processes: must be dealt out evenly to 2 nodes, found 3",
    "resources: {gpu: 2, processes: 2}": ("resources.processes: is for CPUs; on GPUs there is one process for each"),
    "read: {delimiter: ab}": 'read.delimiter: must be one character, such as ";" or "\\t", found \'ab\'',
    "read: {encoding: utf9}": (
        "read.encoding: must be an encoding, such as utf-8, latin-1, cp1252 or utf-16-le, found 'utf9'"
    ),
    "read: {header: false}": "read.header: is false, so names must name the columns",
    "read: {names: [a]}": (
        "read.names: needs header beside it: true if the first line names the columns too, false if it is data"
    ),
    "read: {header: true, names: [a, ' a']}": "read.names: must differ, found 'a' more than once",
    "read: {header: true, names: [a, ' ']}": "read.names: must not be blank, and name 2 of 2 is",
    "read: {delimiter: ',', quote: ','}": (
        "read.quote: must differ from the other marks, and ',' stands for two of them"
    ),
    "audit: {}": f"audit: unknown key; allowed: {STUDY_KEYS}",
}


@pytest.mark.parametrize(("line", "message"), WRONG.items())
def test_one_wrong_line(line, message):
    write(study_text(line))
    assert faults() == [f"config.yaml:6: studies.s.{message}"]


TWO_WRONG_TOGETHER = {
    ("id: age", "subgroups: [age]"): (
        "7: studies.s.subgroups: names the id 'age', which tells every row from all others"
    ),
    ("subgroups: [site]", "personal: {site: drop}"): (
        "7: studies.s.personal: would drop the subgroup column 'site'; it must be hash or keep"
    ),
    ("task: regression", "metric: accuracy"): (
        "7: studies.s.metric: accuracy does not fit regression; allowed: rmse, mae, median_absolute_error, r2"
    ),
    ("task: classification", "metric: rmse"): (
        "7: studies.s.metric: rmse does not fit classification; allowed: accuracy, "
        "balanced_accuracy, roc_auc, "
        "average_precision, log_loss, brier_score"
    ),
    ("task: regression", "positive_class: 1"): (
        "7: studies.s.positive_class: is for classification, and the task is regression"
    ),
    ("task: classification", "horizon: 3"): (
        "7: studies.s.horizon: is for forecasting, and the task is classification"
    ),
    ("personal: {age: hash}", "columns: {age: number}"): (
        "6: studies.s.personal: hashes 'age', and digests are a category; the column's type is number"
    ),
    ("personal: {age: drop}", "id: age"): (
        "6: studies.s.personal: would drop the id column 'age'; it must be hash or keep"
    ),
    ("task: forecasting", "time: date"): "6: studies.s.task: forecasting needs horizon",
    ("task: forecasting", "horizon: 3"): "6: studies.s.task: forecasting needs time",
    ("horizon: 3", "time: dat"): (f"7: studies.s.time: 'dat' is no column of my.csv; did you mean 'date'? {COLUMNS}"),
    ("split: {folds: 4}", "test_on: {after: date}"): (
        "6: studies.s.split: folds cannot test later values of date: these rows are one part; give fractions"
    ),
    ("task: regression", "models: [{name: trivial, strategy: season}]", "baselines: [linear]"): (
        "7: studies.s.models: trivial: strategy season is for forecasting, and the task is regression"
    ),
    ("id: age", "id: site"): "7: studies.s.id: is given twice, first in line 6; keep one",
}


@pytest.mark.parametrize(("lines", "message"), TWO_WRONG_TOGETHER.items())
def test_lines_that_contradict_each_other(lines, message):
    write(study_text(*lines))
    assert faults() == [f"config.yaml:{message}"]


def test_forecasting_is_tested_on_later_times_only():
    write(study_text("time: date", "horizon: 3", "test_on: {new: site}"))
    assert faults() == ["config.yaml:8: studies.s.test_on: forecasting is tested on later times: must be {after: date}"]


def test_season_strategy_needs_a_season():
    write(study_text("time: date", "horizon: 3", "baselines: [{name: trivial, strategy: season}]"))
    assert faults() == ["config.yaml:8: studies.s.baselines: trivial: strategy season needs the study's season"]


HERE = "<the working directory>"
WRONG_DATA = {
    "{}": "data.file: data need a source: give one of file, url, storage, openml, huggingface, simulator",
    "{file: my.csv, simulator: qubit}": "data.simulator: data have one source: give file or simulator, not both",
    "{url: 'http://example.org/a.csv'}": (
        "data.sha256: is required with url, because what stands at an address may change: give what sha256sum says of "
        "the file that you mean"
    ),
    "{url: 'ftp://example.org/a.csv'}": (
        "data.url: must be an address that begins with https:// or http://, found 'ftp://example.org/a.csv'; a file "
        "here is named by file, another kind of storage by storage"
    ),
    "{url: 'file:///a.csv'}": (
        "data.url: must be an address that begins with https:// or http://, found 'file:///a.csv'; a file "
        "here is named by file, another kind of storage by storage"
    ),
    "{url: 'https://me:hush@example.org/a.csv'}": (
        f"data.url: must hold nothing secret, found a user or a password in https://example.org/a.csv; {ADVICE}"
    ),
    "{url: 'https://example.org/a.csv?X-Amz-Signature=hush&v=1'}": (
        "data.url: must hold nothing secret, found the key 'X-Amz-Signature' in "
        f"https://example.org/a.csv?X-Amz-Signature=…&v=…; {ADVICE}"
    ),
    "{storage: 's3://me:hush@bucket/a.csv'}": (
        f"data.storage: must hold nothing secret, found a user or a password in s3://bucket/a.csv; {ADVICE}"
    ),
    "{storage: 's3://bucket/a.csv', secret_key: hush}": (
        f"data: must hold nothing secret, found the key 'secret_key'; {ADVICE}"
    ),
    f"{{url: ['http://a.org/a.csv', 'http://a.org/b.csv'], sha256: '{'0' * 64}'}}": (
        "data.sha256: must be one for each url, in their order; found 1 for 2"
    ),
    f"{{url: 'http://a.org/12', sha256: '{'0' * 64}'}}": (
        f"data.url: must end as a table does ({listed(FILE_TYPES)}), or name must say what it is called; found "
        "http://a.org/12"
    ),
    "{huggingface: {repository: a/b, revision: main, file: t.csv}}": (
        "data.huggingface.revision: must be a commit, 40 hexadecimal digits in lower case, since a branch or a tag may "
        "be another tomorrow, found 'main'"
    ),
    "parts/*.csv": f"data.file: no file fits 'parts/*.csv', seen from {HERE}",
    "parts/": f"data.file: there is no folder 'parts/', seen from {HERE}",
    "{file: [my.csv, my.csv]}": "data.file: a file must be named once, or its rows count twice; named again: my.csv",
    "{file: my.csv, join: [{file: other.csv, on: y}]}": (f"data.join[0].file: there is no file 'other.csv' in {HERE}"),
    "{file: my.csv, join: [{file: my.csv, on: sample}]}": (
        "data.file: the key 'sample' of join is no column of my.csv; its columns: y, age, date, site, p1, p2"
    ),
    "{fil: my.csv}": (
        "data.fil: unknown key; did you mean 'file'? "
        "allowed: file, url, mirrors, name, storage, openml, huggingface, simulator, rows, seed, arguments, sha256, "
        "transpose, join, license, citation"
    ),
    "../my.csv": (f"data.file: leaves the working directory, found '../my.csv'; {INSIDE}"),
    "a/../../my.csv": (f"data.file: leaves the working directory, found 'a/../../my.csv'; {INSIDE}"),
    "my.xls": f"data.file: must end in one of {TYPES}, found 'my.xls'",
    "{file: my.csv, rows: 5}": "data.rows: is for a simulator; what file names is read whole",
    "{file: my.csv, sha256: abc}": "data.sha256: must be 64 hexadecimal digits in lower case, found 'abc'",
    "{simulator: qubit}": "data.rows: is required with a simulator: how many rows to simulate",
    "{simulator: qbit, rows: 5}": (
        "data.simulator: unknown simulator 'qbit'; did you mean 'qubit'? allowed: qubit, or a "
        "function of your own "
        "such as my_sim.py:simulate"
    ),
    "{simulator: 'my_sim.py:simulat', rows: 5}": (
        "data.simulator: my_sim.py defines no 'simulat'; did you mean 'simulate'? it defines: simulate"
    ),
    "{simulator: 'my_sim.py:simulate', rows: 5, gian: 2}": (
        "data.gian: the simulator takes no 'gian'; did you mean 'gain'? it takes: rows, seed, gain"
    ),
    "{simulator: 'my_sim.py:simulate', rows: 5, gain: {a: 1}}": (
        "data.gain: must be a number, text, true, false, or a list of these"
    ),
}


@pytest.mark.parametrize(("data", "message"), WRONG_DATA.items())
def test_wrong_data(data, message, folder):
    write(study_text(data=data))
    assert faults() == [f"config.yaml:4: studies.s.{message.replace(HERE, str(folder))}"]


def test_missing_file_names_the_nearest_and_where_it_looked(folder):
    write(study_text(data="mi.csv"))
    assert faults() == [
        f"config.yaml:4: studies.s.data.file: there is no file 'mi.csv' in {folder}; did you mean 'my.csv'?"
    ]
    write(study_text(data="resources/my.csv"))
    assert faults() == [
        "config.yaml:4: studies.s.data.file: there is no file 'resources/my.csv': "
        f"there is no folder {folder / 'resources'}"
    ]


def test_absolute_paths_may_be_given(folder):
    write(study_text(data=folder / "my.csv"))
    assert load_project("config.yaml").studies["s"].data.file == (str(folder / "my.csv"),)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def simulate(rows:\n", "my_sim.py is not valid Python, line 1: '(' was never closed"),
        ("def simulate(rows): ...\n", "simulate must take the argument 'seed'"),
    ],
)
def test_a_simulator_that_cannot_be_called(code, message):
    Path("my_sim.py").write_text(code, encoding="utf-8")
    write(study_text(data="{simulator: 'my_sim.py:simulate', rows: 5}"))
    assert faults() == [f"config.yaml:4: studies.s.data.simulator: {message}"]


def test_required_keys():
    write(study_text(target=None, question=None))
    assert faults() == [
        "config.yaml:2: studies.s.question: is required",
        "config.yaml:2: studies.s.target: is required",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.yaml:1: must hold a mapping with the key studies"),
        ("- a\n", "config.yaml:1: must hold a mapping with the key studies"),
        ("run: all\n", "config.yaml:1: studies: is required"),
        ("studies: {}\n", "config.yaml:1: studies: must be at least 1 long, found an empty mapping"),
        ("studies: [a]\n", "config.yaml:1: studies: must be a mapping, found a list of 1"),
        ("studies:\n  s: 3\n", "config.yaml:2: studies.s: must be a mapping, found 3"),
        (
            "studies:\n  s: {\n",
            "config.yaml:3: is not valid YAML: expected the node content, but found '<stream end>'",
        ),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "config.yaml:3: << is not known here; use defaults for shared keys"),
        ("a: !!python/name:os.system x\n", None),
    ],
)
def test_no_configuration_at_all(text, message):
    write(text)
    found = faults()
    assert found == [message] if message else "tag:yaml.org,2002:python/name:os.system is not known here" in found[0]


def test_no_file_at_all():
    assert faults() == ["config.yaml: cannot be read: No such file or directory"]


def test_names_of_studies_become_paths():
    write(study_text().replace("  s:", "  s/t:"))
    assert faults() == [
        "config.yaml:2: studies.s/t: must be letters, digits, - and _ only, the first a letter or digit "
        "(it becomes a path), found 's/t'"
    ]
    write(study_text().replace("  s:", "  all:"))
    assert faults() == ["config.yaml:1: studies: no study may be called all: run: all means every study"]
    write(study_text().replace("  s:", "  logs:"))
    assert faults() == [
        "config.yaml:1: studies: no study may be called logs: the folder of the index's log is called so"
    ]


def test_names_that_some_file_systems_take_for_one():
    write(study_text() + study_text().replace("studies:\n", "").replace("  s:", "  S:"))
    assert faults() == [
        "config.yaml:1: studies: S and s differ only in case; some file systems take them for one folder: name one "
        "differently"
    ]
    write(study_text() + "    models: [mlp, {name: MLP, family: mlp}]\n")
    assert faults() == [
        "config.yaml:6: studies.s.models: MLP and mlp differ only in case; some file systems take them for one folder: "
        "name one differently"
    ]


def test_results_become_a_path_with_wildcards():
    write(study_text() + "results: out{x}\n")
    assert faults() == [
        "config.yaml:6: results: must have no braces, which Snakemake reads as wildcards; found 'out{x}'"
    ]


def test_the_nearest_word_may_differ_in_case():
    write(study_text() + "    Metric: rmse\n")
    assert "did you mean 'metric'?" in faults()[0]


def test_unknown_study_to_run():
    write(study_text().replace("  s:", "  sponge:") + "run: spong\n")
    assert faults() == ["config.yaml:6: run: no study is called 'spong'; did you mean 'sponge'? allowed: all, sponge"]


def test_faults_of_the_command_line_say_so():
    write(study_text())
    assert faults({"run": "t", "reslts": "x", "studies": {"s": {"repeats": 0}}}) == [
        "command line: reslts: unknown key; did you mean 'results'? allowed: studies, defaults, run, results, scratch",
        "command line: run: no study is called 't'; allowed: all, s",
        "command line: studies.s.repeats: must be at least 1, found 0",
    ]


def test_a_list_of_the_command_line_has_no_lines_of_the_file():
    write(study_text("models: [mlp]"))
    assert faults({"studies": {"s": {"models": ["mpl"]}}}) == [
        f"command line: studies.s.models[0]: unknown family 'mpl'; did you mean 'mlp'? allowed: {FAMILIES}"
    ]


def test_command_line_lies_over_the_file():
    write(study_text("repeats: 2", "training: {patience: 4}"))
    project = load_project("config.yaml", {"studies": {"s": {"training": {"max_epochs": 9}}}, "results": "out"})
    assert (project.results, project.studies["s"].repeats) == ("out", 2)
    assert (project.studies["s"].training.patience, project.studies["s"].training.max_epochs) == (4, 9)


def test_what_only_repeats_the_file_keeps_its_line():
    write(study_text("repeats: 0"))
    assert faults({"studies": {"s": {"repeats": 0}}}) == [
        "config.yaml:6: studies.s.repeats: must be at least 1, found 0"
    ]


def test_defaults_lie_under_every_study():
    defaults = "defaults:\n  repeats: 7\n  training: {patience: 4}\n"
    write(defaults + study_text("training: {max_epochs: 9}"))
    study = load_project("config.yaml").studies["s"]
    assert (study.repeats, study.training.patience, study.training.max_epochs) == (7, 4, 9)
    write("defaults:\n" + study_text())
    assert load_project("config.yaml").studies["s"].repeats == 3


def test_a_fault_in_the_defaults_is_told_once():
    two = study_text() + "\n".join(study_text().replace("  s:", "  t:").splitlines()[1:]) + "\n"
    write(f"defaults:\n  training:\n    patience: 0\n{two}")
    assert faults() == ["config.yaml:3: defaults.training.patience: must be at least 1, found 0"]


def test_dates_and_padded_numbers_stay_text():
    Path("my.csv").write_text("2020-01-01,007,1\n1,2,3\n", encoding="utf-8")
    write(study_text("id: 007", "positive_class: 010", "drop: ['1']", target="2020-01-01"))
    study = load_project("config.yaml").studies["s"]
    assert (study.target, study.id, study.positive_class) == ("2020-01-01", "007", "010")


def test_only_studies_that_are_made_need_their_files():
    other = "\n".join(study_text(data="absent.csv").replace("  s:", "  t:").splitlines()[1:])
    write(study_text() + other + "\nrun: s\n")
    assert list(load_project("config.yaml").selected) == ["s"]


def test_all_faults_at_once():
    """Also those of later kinds: what keys say together, and what is not in the file."""
    write(study_text("repeats: 0", "models: [mlp, mlp]", "id: ident", "trainin: {}", "training: {batch_size: 1.5}"))
    assert faults() == [
        "config.yaml:6: studies.s.repeats: must be at least 1, found 0",
        "config.yaml:7: studies.s.models: two models are called 'mlp'; name them, such as {name: mlp_2, family: mlp}",
        f"config.yaml:8: studies.s.id: 'ident' is no column of my.csv; {COLUMNS}",
        f"config.yaml:9: studies.s.trainin: unknown key; did you mean 'training'? allowed: {STUDY_KEYS}",
        "config.yaml:10: studies.s.training.batch_size: must be a whole number, found 1.5",
    ]


def test_a_fault_does_not_bring_others_along():
    write(study_text("task: forecasting", "time: date", "horizon: soon", "season: 3"))
    assert faults() == ["config.yaml:8: studies.s.horizon: must be a whole number, found 'soon'"]


ODD = [None, True, -1, 2.5, "", "x", [], {}, [None], ["a"], {"a": 1}, {1: 2}, float("nan"), 10**30]


@pytest.mark.parametrize("key", [*STUDY_KEYS.split(", "), "data.file", "image.shape", "models.0.width", "x.y"])
def test_whatever_stands_at_a_key_is_good_or_told_in_our_words(key):
    for odd in ODD:
        study = GOOD | {"image": {"columns": "p*", "shape": [1, 1, 2]}, "models": [{"name": "mlp"}], "x": {}}
        section, *path = study, *key.split(".")
        while len(path) > 1:
            step = path.pop(0)
            if step == "data":
                section["data"] = {"file": "my.csv"}
            section = section[int(step) if step.isdigit() else step]
        section[path[0]] = odd
        write(yaml.safe_dump({"studies": {"s": study}}))
        assert all(line.startswith("config.yaml:") and "nput should" not in line for line in faults()), odd


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clean: {outliers: clip}", "clean: {}: drop clean"),
        ("select: {by: variance, keep: 3}", "select: {}: drop select"),
        ("columns: {age: {impute: mean}}", "columns: age: {}: drop impute"),
    ],
)
def test_a_forecast_and_an_image_take_their_numbers_as_they_are(line, message):
    write(study_text("time: date", "horizon: 2", line))
    why = "a forecast takes its series as they are, and fills gaps with the last value before"
    assert faults() == [f"config.yaml:8: studies.s.{message.format(why)}"]
    write(study_text("image: {columns: p*, shape: [1, 1, 2]}", line))
    why = "an image takes its pixels as they are, all of them"
    assert faults() == [f"config.yaml:7: studies.s.{message.format(why)}"]


def test_a_forecast_has_no_subgroups():
    write(study_text("time: date", "horizon: 2", "subgroups: [site]"))
    assert faults() == [
        "config.yaml:8: studies.s.subgroups: are of rows, and a forecast has one series: drop subgroups"
    ]
