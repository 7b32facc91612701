"""Pages: templates filled in, and the one over all studies."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from serpens import durations, wording
from serpens.artefacts import Evaluation
from serpens.metrics import METRICS

VERDICTS = {True: ("yes", "Yes"), False: ("no", "No"), None: ("open", "Undecided")}


def index(evaluations: Sequence[Evaluation], questions: Mapping[str, str]) -> str:
    """Return the page over all studies."""
    studies = [
        {
            "name": evaluation.study,
            "question": questions[evaluation.study],
            "verdict": VERDICTS[evaluation.verdict.deep_learning_helps],
            "evaluation": evaluation,
            "best": evaluation.models[evaluation.verdict.best_model],
        }
        for evaluation in evaluations
    ]
    return render("index.html", studies=studies)


def render(template: str, **values: Any) -> str:
    """Return a page; whatever is not markup of ours is escaped."""
    environment = Environment(
        loader=PackageLoader("serpens"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "interval": wording.interval,
        "seconds": durations.in_words,
        "energy": wording.energy,
        "time": wording.time,
        "answer_changed": wording.answer_changed,
        "causes": wording.causes,
        "rows_changed": wording.rows,
        "change": wording.change,
        "tone": wording.tone,
        "count": lambda n: f"{n:,}",
        "share": wording.share,
        "collected_again": wording.collected_again,
        "uses": wording.uses,
        "worst": wording.worst,
        "label": lambda name: METRICS[name].label,
    }
    return environment.get_template(template).render(values)
