"""The three contenders: the same studies, the same package and the same edits, each run as its own manual advises."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from tests.workflow.workspace import ROOT, Workspace

HERE = Path(__file__).resolve().parent
# What scripts of each stage import, module by module, as a careful author of dvc.yaml would list it.
ALWAYS = ("stages", "io")
PREPARING = ("features", "series", "fitting")
NETWORK = ("training", "losses", "optimizers", "models/dense")
MODULES = {
    "collect": ("sources",),
    "clean": ("cleaning", "columns", "calendar"),
    "split": ("splits", "features", "series"),
    "train": PREPARING,
    "evaluate": ("evaluation", "metrics", "statistics", *PREPARING),
    "report": ("report", "pages", "plotting", "tables", "wording", "metrics"),
    "index": ("pages", "wording", "metrics"),
}
NETWORKS = ("mlp", "custom")
STARTED = re.compile(r"^Running stage '([^']+)'|^Stage '([^']+)' is cached - skipping run", re.MULTILINE)


class Serpens(Workspace):
    """Serpens as it is in this repository."""

    name = "Serpens"

    def first(self) -> None:
        """Make everything."""
        self.run()

    def ran(self, *, cut_off: bool) -> set[str]:
        """Return what runs after an edit, by the plan where it shows all (tests/workflow hold the two equal)."""
        return self.made() if cut_off else self.planned()


class Plain(Workspace):
    """The same rules in plain Snakemake: no digests, default triggers, settings as sorted JSON in one parameter."""

    name = "Snakemake"

    @classmethod
    def create(cls, folder: Path) -> "Plain":
        """Return a workspace with the plain rules in the place of ours."""
        space = super().create(folder)
        give_rivals_scripts(folder)
        shutil.copy(HERE / "Snakefile", folder / "Snakefile")
        return space

    def ran(self, *, cut_off: bool) -> set[str]:
        """Return what runs after an edit, by the plan: with no checkpoint in it, the plan is what runs."""
        return self.planned()

    def first(self) -> None:
        """Make everything."""
        self.run()


class Dvc(Workspace):
    """The same jobs as stages of DVC, with every module that a script imports, the data and the named settings."""

    name = "DVC"
    program = Path("dvc")

    @classmethod
    def create(cls, folder: Path) -> "Dvc":
        """Return a workspace that is a project of DVC."""
        space = super().create(folder)
        give_rivals_scripts(folder)
        space.dvc("init", "--no-scm", "--quiet")
        space.dvc("config", "core.analytics", "false")
        space.dvc("config", "core.check_update", "false")
        return space

    def dvc(self, *arguments: str) -> str:
        """Run DVC and return what it says."""
        done = subprocess.run(
            [str(self.program), *arguments], cwd=self.folder, capture_output=True, text=True, env=self.environment()
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def environment(self) -> dict[str, str]:
        """Return the environment that DVC and its stages run in."""
        # stages run in the environment of Serpens, DVC in its own
        return super().environment() | {"SERPENS_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}

    def configure(self) -> None:
        """Write the configuration, dvc.yaml and params.yaml."""
        super().configure()
        stages, params = dvc_stages(self), dvc_params(self)
        self.write("params.yaml", yaml.safe_dump(params, sort_keys=True))
        self.write("dvc.yaml", yaml.safe_dump({"stages": stages}, sort_keys=True))

    def first(self) -> None:
        """Make everything."""
        self.dvc("repro")

    def ran(self, *, cut_off: bool) -> set[str]:
        """Return the stages that DVC ran, or whose outputs it brought back from its cache."""
        said = self.dvc("repro")
        names = {started or cached for started, cached in STARTED.findall(said)}
        return {name.replace("__", "/") for name in names}


def give_rivals_scripts(folder: Path) -> None:
    """Put scripts that know neither Snakemake's objects nor our records in the place of ours."""
    shutil.rmtree(folder / "workflow/scripts")
    shutil.rmtree(folder / "workflow/rules")
    shutil.copytree(HERE / "scripts", folder / "workflow/scripts")
    shutil.copy(ROOT / "benchmarks/alone.py", folder / "workflow/alone.py")


def dvc_params(space: Workspace) -> dict:
    """Return the settings as DVC compares them: by name, so models are a mapping."""
    studies = {}
    for name, study in space.studies.items():
        listed = [*study["models"], *study["baselines"]]
        models = [{"name": m, "family": m} if isinstance(m, str) else m for m in listed]
        studies[name] = study | {"models": {model["name"]: model for model in models}}
    return {"studies": studies, "questions": {name: study["question"] for name, study in space.studies.items()}}


def dvc_stages(space: Workspace) -> dict[str, dict]:
    """Return the stages of all studies."""
    stages = {}
    for study in space.studies:
        stages |= _stages_of(space, study)
    names = list(space.studies)
    inputs = [f"results/{name}/{file}" for name in names for file in ("evaluation.json", "scores.csv")]
    stages["index"] = _stage("index", [], inputs, ["results/index.html", "results/scores.csv"], ["questions"])
    stages["index"]["deps"].append("workflow/serpens/templates")
    return stages


def _stages_of(space: Workspace, study: str) -> dict[str, dict]:
    config, at, param = space.studies[study], f"results/{study}", f"studies.{study}"
    data, families = f"{at}/data", space.families(study)
    source = config["data"].get("file") or config["data"]["simulator"].partition(":")[0]
    named = {model["name"]: model for model in config["models"] if isinstance(model, dict)}
    own = {name: model["path"].partition(":")[0] for name, model in named.items() if "path" in model}
    cleaned = [f"{data}/{name}" for name in ("clean.parquet", "cleaning.json", "digest.json")]
    chosen = [f"{param}.{key}" for key in ("target", "task", "drop") if key in config]
    stages = {
        f"{study}__collect": _stage(
            "collect", [study], [source], [f"{data}/raw.parquet", f"{data}/source.json"], [f"{param}.data"]
        ),
        f"{study}__clean": _stage("clean", [study], [f"{data}/raw.parquet"], cleaned, chosen),
    }
    splits = [f"{data}/split-{number}" for number in range(space.n_splits(study))]
    for number, split in enumerate(splits):
        inputs = [f"{data}/clean.parquet", f"{data}/digest.json"]
        stages[f"{study}__split__split-{number}"] = _stage(
            "split", [study, number], inputs, [split], [f"{param}.split"]
        )
    trained = []
    for name in sorted(space.trainings(study)):
        _, _, model, run = name.split("/")
        split, repeat = re.findall("[0-9]+", run)
        folder, record = f"{at}/models/{model}/{run}", f"{at}/records/train/{model}/{run}.json"
        stages[name.replace("/", "__")] = _stage(
            "train",
            [study, model, split, repeat],
            [f"{data}/split-{split}", *_code_of([families[model]]), *filter(None, [own.get(model)])],
            [folder, record],
            [f"{param}.models.{model}", *([f"{param}.training"] if "training" in config else [])],
        )
        trained += [folder, record]
    models = [path for path in trained if "/models/" in path]
    judged = [f"{at}/{name}" for name in ("evaluation.json", "scores.csv", "predictions")]
    stages[f"{study}__evaluate"] = _stage(
        "evaluate", [study], [*splits, *models, *_code_of(families.values()), *own.values()], judged, []
    )
    made = [f"{at}/{name}" for name in ("report.html", "study.json", "figures", "tables")]
    inputs = [*judged[::2], *cleaned, f"{data}/source.json", splits[0], *trained, "workflow/serpens/templates"]
    stages[f"{study}__report"] = _stage("report", [study], inputs, made, [param])
    return stages


def _stage(rule: str, words: list, inputs: list[str], outputs: list[str], params: list[str]) -> dict:
    modules = [f"workflow/serpens/{name}.py" for name in (*ALWAYS, *MODULES[rule])]
    lock = ["requirements/core.lock"] if rule in ("train", "evaluate") else []
    command = " ".join(["$SERPENS_PYTHON", f"workflow/scripts/{rule}.py", *map(str, words)])
    stage = {"cmd": command, "deps": [f"workflow/scripts/{rule}.py", *modules, *lock, *inputs], "outs": outputs}
    return stage | ({"params": params} if params else {})


def _code_of(families) -> list[str]:
    """Return the modules of families, and what networks need beside."""
    families = sorted(set(families))
    modules = [f"models/{family}" for family in families]
    modules += ["models/skops_state"] if "boosted_trees" in families else []
    modules += NETWORK if set(families) & set(NETWORKS) else ()
    return [f"workflow/serpens/{name}.py" for name in modules]
