"""The common ground of all stages: the checked configuration, and what each job takes from it."""

from serpens import planning, settings
from serpens.layout import FIGURES, Run, StudyFolder
from serpens.splits import PARTS


wildcard_constraints:
    study="[A-Za-z0-9_-]+",
    model="[A-Za-z0-9_-]+",
    split="[0-9]+",
    repeat="[0-9]+",


RUN = "{model}/split-{split}-repeat-{repeat}"
SPLITS = {name: planning.n_splits(study) for name, study in PROJECT.studies.items()}
RUNS = {
    name: planning.runs(study, SPLITS[name]) for name, study in PROJECT.studies.items()
}


def at(path):
    """Return a path below the results folder."""
    return f"{PROJECT.results}/{path}"


def of_study(path):
    """Return a path below the folder of a study."""
    return at(f"{{study}}/{path}")


def per_split(path):
    """Return an input function: the path for every split of the study."""
    return lambda w: expand(at(f"{w.study}/{path}"), split=range(SPLITS[w.study]))


def per_run(path):
    """Return an input function: the path for every training of the study."""
    return lambda w: [
        at(f"{w.study}/{path}".replace(RUN, run.stem)) for run in RUNS[w.study]
    ]


def sources(w):
    """Return the files that a study is collected from."""
    return planning.source_files(PROJECT.studies[w.study])


def depends_on(part, *names):
    """Return a params function: the settings that a rule uses, as JSON that compares by name and value."""

    def params(w):
        more = {"n_splits": SPLITS, "name": {w.study: w.study}, "runs": RUNS}
        run = (
            [Run(w.model, int(w.split), int(w.repeat))] if "repeat" in w.keys() else []
        )
        return settings.as_json(
            part(
                PROJECT.studies[w.study], *run, *(more[name][w.study] for name in names)
            )
        )

    return params


def gpus(w):
    """Return the GPUs that a training asks for: none for a model that is no network."""
    study = PROJECT.studies[w.study]
    wanted = 1 if study.resources.gpu is None else study.resources.gpu
    return wanted if planning.is_network(study, w.model) else 0


def targets(_):
    """Return what is made by default: each study that is to run and, when all do, their index."""
    reports = expand(at("{study}/report.html"), study=PROJECT.selected)
    return (
        reports
        if len(PROJECT.selected) < len(PROJECT.studies)
        else [*reports, at("index.html")]
    )
