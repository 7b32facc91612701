"""The catalogue of edits: how each is made, and which jobs then have to run again.

Each can be made again and again, and with others, for the edits that a test draws at random. Those of a formula move
numbers, so that what follows has something to follow.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.workflow.workspace import CODE, Workspace, copy, touch

Jobs = Callable[[Workspace], set[str]]
PACKAGE = "workflow/serpens"


@dataclass(frozen=True)
class Edit:
    """An edit.

    Attributes
    ----------
    make
        Makes it in a workspace.
    jobs
        Exactly what runs again.
    direct
        The part of ``jobs`` without which an output is missing or wrong. The others follow, and find inputs of the
        same bytes: only who does not look at the bytes has to run them.
    may
        What may run as well.
    cut_off
        Whether cleaning runs again: what comes after is known only when it has run, and a plan shows no more.
    """

    make: Callable[[Workspace], None]
    jobs: Jobs
    direct: Jobs
    may: Jobs
    cut_off: bool


EDITS: dict[str, Edit] = {}


def nothing(_: Workspace) -> set[str]:
    return set()


def edit(jobs: Jobs, *, direct: Jobs | None = None, may: Jobs = nothing, cut_off: bool = False):
    """Put a function into the catalogue, under its name in words."""

    def register(make: Callable[[Workspace], None]):
        EDITS[make.__name__.replace("_", " ")] = Edit(make, jobs, direct or jobs, may, cut_off)
        return make

    return register


# --- what means nothing -----------------------------------------------------------------------------------------------


@edit(nothing)
def a_raw_file_is_touched(space):
    touch(space.folder / "cancer.csv")


@edit(nothing)
def scripts_are_touched(space):
    for path in (space.folder / "workflow/scripts").glob("*.py"):
        touch(path)


@edit(nothing)
def modules_rules_and_the_users_files_are_touched(space):
    for name in ("Snakefile", "mine.yaml", "net.py", "sine.py"):
        touch(space.folder / name)
    for path in [*_python(space), *(space.folder / "workflow/rules").glob("*.smk")]:
        touch(path)


@edit(nothing)
def the_code_is_cloned_again(space):
    for name in CODE:
        old, new = space.folder / name, space.folder / "cloned"
        copy(old, new)
        shutil.rmtree(old) if old.is_dir() else old.unlink()
        new.rename(old)


@edit(nothing)
def comments_are_written_everywhere(space):
    rules = [space.folder / "Snakefile", *(space.folder / "workflow/rules").glob("*.smk")]
    for path in [*_python(space), *rules]:
        _comment(space, path)


@edit(nothing)
def docstrings_are_reworded_everywhere(space):
    for path in _python(space):
        _reword_docstrings(path)


@edit(nothing)
def the_code_is_formatted_otherwise(space):
    options = ["--isolated", "--config", "line-length=72", "--config", "format.quote-style='single'", "--quiet"]
    subprocess.run([sys.executable, "-m", "ruff", "format", *options, "workflow"], cwd=space.folder, check=True)


@edit(nothing)
def the_wording_of_the_configuration_page_is_changed(space):
    space.replace(f"{PACKAGE}/modelconfig.py", "Kind of ", "Kind of a ")


@edit(nothing)
def the_configuration_is_written_in_another_order(space):
    for study in space.studies.values():
        study["models"] = [dict(reversed(model.items())) for model in study["models"]]
    space.studies = {name: dict(reversed(study.items())) for name, study in space.studies.items()}
    # the order of studies is the order of the index: it stays
    space.configure()


@edit(nothing)
def an_unused_function_is_added_to_a_family(space):
    path = space.folder / PACKAGE / "models/mlp.py"
    path.write_text(f"{path.read_text()}\n\ndef unused_{space.fresh()}():\n    return 1\n")


@edit(nothing)
def a_comment_in_the_users_network(space):
    _comment(space, space.folder / "net.py")


@edit(nothing)
def a_comment_in_the_users_simulator(space):
    _comment(space, space.folder / "sine.py")


# --- data -------------------------------------------------------------------------------------------------------------


def _account_of_cancer(_: Workspace) -> set[str]:
    return {"cancer/collect", "cancer/clean", "cancer/report"}


@edit(_account_of_cancer, cut_off=True)
def values_of_a_dropped_column(space):
    number = space.fresh()
    _change_rows(space, lambda rows: [[*row[:-2], f"{row[-2]} {number}", row[-1]] for row in rows])


@edit(_account_of_cancer, cut_off=True)
def the_order_of_rows(space):
    _change_rows(space, lambda rows: [*rows[1:], rows[0]])


def _whole_cancer(space: Workspace) -> set[str]:
    return space.whole("cancer")


@edit(_whole_cancer, cut_off=True)
def a_value_with_a_newer_time(space):
    _change_a_value(space)


@edit(_whole_cancer, cut_off=True)
def a_value_with_an_older_time(space):
    path = _change_a_value(space)
    os.utime(path, (1_000_000_000, 1_000_000_000))


@edit(_whole_cancer, cut_off=True)
def a_value_with_the_same_time_and_size(space):
    before = (space.folder / "cancer.csv").stat()
    path = _change_a_value(space)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@edit(lambda space: space.whole("sine"), cut_off=True)
def a_formula_of_the_users_simulator(space):
    space.replace("sine.py", "np.sin(", "1.01 * np.sin(")


# --- code -------------------------------------------------------------------------------------------------------------


@edit(lambda space: space.of("clean"), may=lambda space: space.of("report"), cut_off=True)
def code_of_cleaning_that_cleans_the_same(space):
    space.replace(f"{PACKAGE}/cleaning.py", "MAX_CLASSES = ", "MAX_CLASSES = 1 + ")


@edit(lambda space: space.trained(space.trainings(families=["mlp"])))
def a_formula_of_mlp(space):
    space.replace(f"{PACKAGE}/models/mlp.py", "return out", "out = 1.01 * out\n        return out")


@edit(lambda space: space.trained(space.trainings(families=["linear"])))
def a_formula_of_linear(space):
    space.replace(f"{PACKAGE}/models/linear.py", "@ coefficients", "@ coefficients * 1.01")


@edit(lambda space: space.trained(space.trainings(families=["custom"])))
def a_formula_of_the_users_network(space):
    space.replace("net.py", "self.layers(x)", "1.01 * self.layers(x)")


@edit(lambda space: space.trained(space.trainings(families=["mlp", "custom"])))
def a_formula_of_the_training_loop(space):
    space.replace(f"{PACKAGE}/training.py", "optimizer.step(", "optimizer.step(1.01 * ")


@edit(lambda space: space.judged())
def a_formula_of_a_metric(space):
    space.replace(f"{PACKAGE}/metrics.py", "weights @ self.rows", "1.01 * weights @ self.rows")


# The index reads no code of the report's own module; the design counts it to what the report's code makes.
@edit(lambda space: space.of("report"), may=lambda _: {"index"})
def a_formula_of_the_report(space):
    space.replace(f"{PACKAGE}/report.py", "seconds[verdict.best_model]", "1.01 * seconds[verdict.best_model]")


@edit(lambda space: space.of("report") | {"index"})
def the_code_of_all_pages(space):
    space.replace(
        f"{PACKAGE}/pages.py", "environment.filters |=", "environment.filters |= {}\n    environment.filters |="
    )


@edit(lambda space: space.of("report") | {"index"})
def a_template_of_all_pages(space):
    path = space.folder / PACKAGE / "templates/style.css"
    path.write_text(f"{path.read_text()}\nfooter {{ --edit: {space.fresh()} }}\n")


# --- settings ---------------------------------------------------------------------------------------------------------


@edit(lambda space: space.trained(space.trainings("cancer", model="narrow")))
def a_hyperparameter_of_one_model(space):
    space.studies["cancer"]["models"][0]["dropout"] = space.fresh() / 1000
    space.configure()


@edit(lambda space: space.trained(space.trainings("cancer", model="narrow")))
def two_hyperparameters_of_a_model_swap(space):
    chosen = space.studies["cancer"]["models"][0]["training"]
    chosen["learning_rate"], chosen["weight_decay"] = chosen["weight_decay"], chosen["learning_rate"]
    space.configure()


@edit(lambda space: space.trained(space.trainings("cancer", families=["mlp"])))
def two_models_swap_their_widths(space):
    narrow, wide = space.studies["cancer"]["models"]
    narrow["width"], wide["width"] = wide["width"], narrow["width"]
    space.configure()


def _last_repeat_of_sine(space: Workspace) -> set[str]:
    last = f"-repeat-{space.studies['sine']['repeats'] - 1}"
    return space.trained({name for name in space.trainings("sine", model="mlp") if name.endswith(last)})


@edit(_last_repeat_of_sine)
def one_repeat_more(space):
    space.studies["sine"]["repeats"] += 1
    space.configure()


@edit(lambda space: space.trained(space.trainings("digits", model=space.studies["digits"]["models"][-1]["name"])))
def one_model_more(space):
    space.studies["digits"]["models"].append({"name": f"line{space.fresh()}", "family": "linear"})
    space.configure()


@edit(lambda space: space.whole(list(space.studies)[-1]))
def one_study_more(space):
    name = f"more{space.fresh()}"
    shutil.copy(space.folder / "cancer.csv", space.folder / f"{name}.csv")
    space.studies[name] = {
        "question": "Does a line tell?",
        "data": {"file": f"{name}.csv"},
        "target": "diagnosis",
        "split": {"validation": 0.2, "calibration": 0.1, "test": 0.2},
        "models": [{"name": "line", "family": "linear"}],
        "baselines": ["trivial"],
        "repeats": 1,
    }
    space.configure()


@edit(lambda _: {"digits/report", "index"})
def the_wording_of_a_question(space):
    space.studies["digits"]["question"] = f"Can my network read digits, asked {space.fresh()} times?"
    space.configure()


# --- libraries --------------------------------------------------------------------------------------------------------


@edit(lambda space: space.trained(space.trainings()), direct=lambda space: space.trainings() | space.of("evaluate"))
def another_version_of_safetensors(space):
    _install(space, "safetensors", f"99.{space.fresh()}")


@edit(
    lambda space: space.trained(space.trainings(families=["linear", "boosted_trees"])),
    direct=lambda space: space.trainings(families=["linear", "boosted_trees"]),
)
def another_version_of_scikit_learn(space):
    _install(space, "scikit-learn", f"99.{space.fresh()}")


@edit(
    lambda space: space.trained(space.trainings(families=["mlp", "custom"])),
    direct=lambda space: space.trainings(families=["mlp", "custom"]),
)
def another_version_of_torch(space):
    _install(space, "torch", f"2.13.{90 + space.fresh()}")


# --- outputs that are gone, or are not what their job wrote -----------------------------------------------------------


def _training_of_narrow(space: Workspace) -> set[str]:
    return space.trainings("cancer", model="narrow", split=0)


@edit(lambda space: space.trained(_training_of_narrow(space)), direct=_training_of_narrow)
def weights_are_deleted(space):
    (space.folder / "results/cancer/models/narrow/split-0-repeat-0/weights.safetensors").unlink()


@edit(lambda space: space.judged("digits"), direct=lambda _: {"digits/evaluate"})
def an_evaluation_is_deleted(space):
    (space.folder / "results/digits/evaluation.json").unlink()


@edit(lambda space: space.judged("cancer"), direct=lambda _: {"cancer/evaluate"})
def all_predictions_are_deleted(space):
    shutil.rmtree(space.folder / "results/cancer/predictions")


@edit(lambda space: space.judged("sine"), direct=lambda _: {"sine/evaluate"})
def predictions_of_one_model_are_deleted(space):
    (space.folder / "results/sine/predictions/mlp/split-0-repeat-0.parquet").unlink(missing_ok=True)


def _second_split_of_cancer(space: Workspace) -> set[str]:
    return {"cancer/split/split-1"} | space.trained(space.trainings("cancer", split=1))


@edit(_second_split_of_cancer, direct=lambda _: {"cancer/split/split-1"})
def a_part_of_a_split_is_deleted(space):
    (space.folder / "results/cancer/data/split-1/validation.parquet").unlink()


@edit(lambda _: {"digits/clean"}, may=lambda _: {"digits/report"}, cut_off=True)
def the_cleaned_table_is_deleted(space):
    (space.folder / "results/digits/data/clean.parquet").unlink()


@edit(lambda _: {"sine/report"})
def a_report_is_deleted(space):
    (space.folder / "results/sine/report.html").unlink()


@edit(lambda _: {"index"})
def the_index_is_deleted(space):
    (space.folder / "results/index.html").unlink()


@edit(lambda _: {"cancer/report"})
def a_report_is_edited_by_hand(space):
    path = space.folder / "results/cancer/report.html"
    path.write_text(path.read_text().replace("Serpens", "Serpents"))


def _training_of_wide(space: Workspace) -> set[str]:
    return space.trainings("cancer", model="wide", split=1)


@edit(lambda space: space.trained(_training_of_wide(space)), direct=_training_of_wide)
def a_byte_of_weights_is_flipped(space):
    path = space.folder / "results/cancer/models/wide/split-1-repeat-0/weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


# --- how they are made ------------------------------------------------------------------------------------------------


def _python(space: Workspace) -> list[Path]:
    return sorted((space.folder / "workflow").rglob("*.py"))


def _comment(space: Workspace, path: Path) -> None:
    """Put a comment first, so that every line moves, and one last."""
    said = f"# said {space.fresh()}"
    path.write_text(f"{said}\n{path.read_text()}\n{said}\n")


def _reword_docstrings(path: Path) -> None:
    """Put a word before each docstring's own; no other text is touched."""
    lines = path.read_text().splitlines(keepends=True)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            place = node.body[0]
            line = lines[place.lineno - 1]
            quotes = line[place.col_offset :][:3]
            if quotes in ('"""', "'''"):
                start = place.col_offset + 3
                lines[place.lineno - 1] = f"{line[:start]}Reworded. {line[start:]}"
    path.write_text("".join(lines))


def _change_rows(space: Workspace, change: Callable[[list[list[str]]], list[list[str]]]) -> Path:
    path = space.folder / "cancer.csv"
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join(row) for row in [header, *change(rows)]) + "\n")
    return path


def _change_a_value(space: Workspace) -> Path:
    """Give the first value of a row that starts with two digits and two decimals another of the same length."""
    number = space.fresh()

    def change(rows):
        place = next(at for at, row in enumerate(rows) if re.fullmatch(r"1[0-9]\.[0-9]{2}", row[0]))
        value = f"{10 + (float(rows[place][0]) - 10 + 0.37 * number) % 9:.2f}"
        return [*rows[:place], [value, *rows[place][1:]], *rows[place + 1 :]]

    return _change_rows(space, change)


def _install(space: Workspace, distribution: str, version: str) -> None:
    """Let another version of a distribution be found, and stand in the lock, as after an upgrade."""
    name = distribution.replace("-", "_")
    for old in (space.folder / "installed").glob(f"{name}-*.dist-info"):
        shutil.rmtree(old)
    new = space.folder / f"installed/{name}-{version}.dist-info"
    new.mkdir()
    (new / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lock = space.folder / "requirements/core.lock"
    lock.write_text(
        re.sub(rf"^{distribution}==.*$", f"{distribution}=={version}", lock.read_text(), flags=re.MULTILINE)
    )
