"""Figures of a report: a tidy table in, a matplotlib Figure out. One style, one palette, no state."""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from serpens.tables import MAX_PANELS

# Okabe & Ito (2008): told apart by colour-blind readers, and on light and dark ground.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
INK, FAINT = "#1c2127", "#c9ced6"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, so that the reader's fonts draw any script
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a column name is a dollar sign
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.6,
}
WIDTH = 7.6  # inches


def draw(stem: str, table: pd.DataFrame, **details: Any) -> Figure:
    """Draw one of the report's figures.

    Parameters
    ----------
    stem
        Name of the figure, which is the name of a function here.
    details
        What the function takes beside its table.
    """
    with mpl.rc_context(STYLE):
        return FIGURES[stem](table, **details)


def to_svg(figure: Figure, *, stem: str) -> str:
    """Return a figure as SVG text whose bytes depend on the figure alone."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": stem}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def inline(svg: str, *, stem: str, label: str) -> str:
    """Return SVG to stand inside a page: ids of its own, and colours that follow the page's light or dark mode."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{stem}-", body)
    body = body.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    body = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{label}" xmlns:xlink="http://www.w3.org/1999/xlink">', body, count=1)  # fmt: skip  # noqa: E501
    # text without a colour of its own would be black on a dark page
    return body.replace('style="font:', 'style="fill: currentColor; font:')


def rows(table: pd.DataFrame) -> Figure:
    """Draw where every row went: a waterfall from what was read to what was kept, and the parts of each split."""
    steps, parts = table[table["split"].isna()], table[table["split"].notna()]
    splits = list(dict.fromkeys(parts["split"]))
    labels = [_short(step, 44) for step in steps["step"]]
    labels += [f"split {split + 1:.0f} of {len(splits)}" if len(splits) > 1 else "split" for split in splits]
    figure = Figure(figsize=(WIDTH, 0.75 + 0.3 * len(labels)), layout="constrained")
    axes = figure.subplots()
    whole = max(1, int(table["end"].max()))
    colors = {"read": FAINT, "removed": RED, "inserted": GREEN, "kept": BLUE}
    for place, step in enumerate(steps.to_dict("records")):
        color = colors[step["kind"]]
        # a line where a bar would be too thin to be seen
        axes.barh(place, step["rows"], left=step["start"], color=color, edgecolor=color, linewidth=0.8, height=0.62)
        sign = {"removed": "\N{MINUS SIGN}", "inserted": "+"}.get(step["kind"], "")
        axes.annotate(f"{sign}{step['rows']:,}", (max(step["start"] + step["rows"], 0), place), (4, 0), textcoords="offset points", va="center", fontsize=8)  # fmt: skip  # noqa: E501
    shades = {"train": BLUE, "validation": SKY, "calibration": PURPLE, "test": ORANGE, "in no part": FAINT}
    for place, split in enumerate(splits, start=len(steps)):
        for part in parts[parts["split"] == split].to_dict("records"):
            axes.barh(place, part["rows"], left=part["start"], color=shades[part["step"]], height=0.62)
    handles = [Patch(color=shades[part], label=part) for part in dict.fromkeys(parts["step"])]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlim(0, whole * 1.12)
    axes.invert_yaxis()
    axes.set_xlabel("rows")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    if splits:
        axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 1.0 + 0.42 / figure.get_figheight()),
            ncols=5,
            fontsize=8,
        )
    return figure


def distributions(table: pd.DataFrame) -> Figure:
    """Draw small multiples of the columns' values."""
    names = list(dict.fromkeys(table["column"]))[:MAX_PANELS]
    n_across = min(4, max(1, len(names)))
    figure, panels = _grid(len(names), n_across, height=1.25)
    for axes, name in zip(panels, names, strict=False):
        own = table[table["column"] == name]
        color = ORANGE if own["role"].iloc[0] == "target" else BLUE
        if own["level"].notna().any():
            labels = [_short(level, 14) for level in own["level"]]
            places = np.arange(len(own))
            axes.barh(places, own["count"], color=color, height=0.75)
            axes.set_yticks(places, labels, fontsize=7)
            axes.invert_yaxis()
        else:
            axes.bar(own["low"], own["count"], width=own["high"] - own["low"], align="edge", color=color)
            axes.set_yticks([])
        axes.set_title(_short(name, 24), fontsize=8)
        axes.tick_params(labelsize=7, length=2)
        axes.grid(visible=False)
        axes.locator_params(axis="x", nbins=3)
    return figure


def models(table: pd.DataFrame, *, metric: str, best: str, greater_is_better: bool) -> Figure:
    """Draw a forest plot: the deciding score of each model with its interval."""
    means = table[table["of"] == "mean of repeats"].sort_values("value", ascending=greater_is_better)
    figure = Figure(figsize=(WIDTH, 0.5 + 0.34 * len(means)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(means.to_dict("records")):
        fill, line = (FAINT, INK) if row["baseline"] else (BLUE, BLUE)
        axes.plot([row["low"], row["high"]], [place, place], color=line, linewidth=2, alpha=0.8)
        axes.plot(row["value"], place, "o", color=fill, markeredgecolor=line, markersize=7)
    labels = [f"{name}{'' if name != best else ' (best on validation)'}" for name in means["model"]]
    axes.set_yticks(range(len(means)), [_short(label, 40) for label in labels])
    axes.set_ylim(-0.6, len(means) - 0.4)
    axes.set_xlabel(f"{metric}, {'higher' if greater_is_better else 'lower'} is better; 95 % interval")
    axes.grid(axis="y", visible=False)
    return figure


def predictions(table: pd.DataFrame, *, task: str, n_classes: int, target: str) -> Figure:
    """Draw ROC and precision-recall, a confusion matrix, predicted against true, or forecasts over time."""
    if n_classes == 2:
        figure, panels = _grid(2, 2, height=3.2)
        named = {"ROC": ("false positive rate", "true positive rate"), "precision-recall": ("recall", "precision")}
        for axes, (curve, labels) in zip(panels, named.items(), strict=True):
            for color, (model, own) in zip(
                CYCLE, table[table["curve"] == curve].groupby("model", sort=False), strict=False
            ):
                axes.plot(own["x"], own["y"], color=color, label=_short(model, 30), drawstyle="steps-post")
            axes.set(xlabel=labels[0], ylabel=labels[1], title=curve, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panels[0].plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        panels[0].legend(loc="lower right")
        return figure
    if n_classes > 2:
        return _confusion(table, target)
    if task == "forecasting":
        return _forecasts(table, target)
    figure, panels = _grid(2, 2, height=3.4)
    low, high = table["truth"].min(), table["truth"].max()
    for axes, (model, own) in zip(panels, table.groupby("model", sort=False), strict=False):
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1)
        axes.plot(own["truth"], own["prediction"], ".", color=BLUE, markersize=2.5, alpha=0.5)
        axes.set(xlabel=f"true {_short(target, 30)}", ylabel="predicted", title=_short(model, 30))
    return figure


def errors(table: pd.DataFrame, *, task: str, n_classes: int, target: str) -> Figure:
    """Draw reliability, recall of each class, residuals, or error by horizon."""
    if n_classes == 2:
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        for color, (model, own) in zip(CYCLE, table.groupby("model", sort=False), strict=False):
            axes.plot(own["predicted"], own["observed"], "-", color=color, linewidth=1, label=_short(model, 30))
            axes.scatter(own["predicted"], own["observed"], s=8 + 90 * own["count"] / own["count"].max(), color=color)
        axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        axes.legend(loc="upper left")
        return figure
    if n_classes > 2:
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        for k, (model, own) in enumerate(table.groupby("model", sort=False)):
            axes.plot(range(len(own)), own["recall"], "o", color=CYCLE[k], label=_short(model, 30), markersize=5)
            axes.set_xticks(range(len(own)), [_short(name, 12) for name in own["class"]])
        axes.set(ylabel="share of the class that is found", xlabel=_short(target, 40))
        axes.legend(loc="lower left", ncols=2)
        return figure
    if task == "forecasting":
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        for color, (model, own) in zip(CYCLE, table.groupby("model", sort=False), strict=False):
            axes.plot(own["step"], own["rmse"], color=color, label=_short(model, 30))
        axes.set(xlabel="steps ahead", ylabel="RMSE", xlim=(1, table["step"].max()))
        axes.set_ylim(bottom=0)
        axes.legend()
        return figure
    figure, panels = _grid(2, 2, height=3.0)
    for color, (model, own) in zip(CYCLE, table.groupby("model", sort=False), strict=False):
        panels[0].plot(own["prediction"], own["residual"], ".", color=color, markersize=2.5, alpha=0.5, label=_short(model, 30))  # fmt: skip  # noqa: E501
        panels[1].hist(own["residual"], bins=41, color=color, alpha=0.55, label=_short(model, 30))
    panels[0].axhline(0, color=FAINT, linewidth=1)
    panels[0].set(xlabel="predicted", ylabel="residual: predicted \N{MINUS SIGN} true")
    panels[1].set(xlabel="residual", ylabel="test rows")
    panels[1].legend()
    return figure


def learning(table: pd.DataFrame) -> Figure:
    """Draw training and validation loss of every network, one line a training."""
    names = list(dict.fromkeys(table["model"]))
    figure, panels = _grid(max(1, len(names)), min(2, max(1, len(names))), height=2.8)
    for axes, name in zip(panels, names, strict=False):
        for _, own in table[table["model"] == name].groupby(["split", "repeat"]):
            axes.plot(own["epoch"], own["train_loss"], color=ORANGE, linewidth=0.7, alpha=0.7)
            axes.plot(own["epoch"], own["validation_loss"], color=BLUE, linewidth=0.7, alpha=0.7)
            best = own.loc[own["validation_loss"].idxmin()]
            axes.plot(best["epoch"], best["validation_loss"], "o", color=BLUE, markersize=3)
        axes.plot([], [], color=ORANGE, label="training")
        axes.plot([], [], color=BLUE, label="validation; dot: epoch kept")
        axes.set(title=_short(name, 40), xlabel="epoch", ylabel="loss", yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend()
    return figure


def cost(table: pd.DataFrame) -> Figure:
    """Draw the seconds that one training of each model takes."""
    ordered = table.sort_values("seconds")
    figure = Figure(figsize=(WIDTH, 0.5 + 0.32 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(ordered))
    axes.barh(places, ordered["seconds"], color=[FAINT if b else BLUE for b in ordered["baseline"]], height=0.6)
    axes.hlines(places, ordered["fastest"], ordered["slowest"], color=INK, linewidth=1)
    axes.set_yticks(places, [_short(model, 40) for model in ordered["model"]])
    axes.set_xlabel("seconds for one training: median, and range over trainings")
    axes.grid(axis="y", visible=False)
    return figure


FIGURES: dict[str, Callable[..., Figure]] = {
    "rows": rows,
    "distributions": distributions,
    "models": models,
    "predictions": predictions,
    "errors": errors,
    "learning": learning,
    "cost": cost,
}


def _grid(n: int, n_across: int, *, height: float) -> tuple[Figure, list[Axes]]:
    n_down = max(1, -(-n // n_across))
    figure = Figure(figsize=(WIDTH, height * n_down), layout="constrained")
    panels = list(np.asarray(figure.subplots(n_down, n_across, squeeze=False)).ravel())
    for unused in panels[n:]:
        unused.axis("off")
    return figure, panels[:n]


def _confusion(table: pd.DataFrame, target: str) -> Figure:
    names = list(dict.fromkeys(table["truth"]))
    matrix = table["count"].to_numpy().reshape(len(names), len(names))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(WIDTH, min(7.0, 1.2 + 0.42 * len(names))), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap=mpl.colors.LinearSegmentedColormap.from_list("share", ["#ffffff00", BLUE]), vmin=0, vmax=1, aspect="auto")  # fmt: skip  # noqa: E501
    for (i, j), count in np.ndenumerate(matrix):
        if count and len(names) <= 20:
            axes.text(j, i, str(count), ha="center", va="center", color="white" if share[i, j] > 0.5 else INK)
    labels = [_short(name, 14) for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_yticks(range(len(names)), labels)
    axes.set(xlabel=f"predicted {_short(target, 30)}", ylabel="true")
    axes.grid(visible=False)
    return figure


def _forecasts(table: pd.DataFrame, target: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    truth = table.drop_duplicates("time").sort_values("time")
    for _, own in truth.groupby("origin"):
        axes.plot(own["time"], own["truth"], ".", color=INK, markersize=3)
    names = list(dict.fromkeys(table["model"]))
    for color, name in zip(CYCLE, names, strict=False):
        for k, (_, own) in enumerate(table[table["model"] == name].groupby("origin")):
            axes.plot(own["time"], own["prediction"], color=color, label=_short(name, 30) if k == 0 else None)
    axes.plot([], [], ".", color=INK, label="truth")
    axes.set_ylabel(_short(target, 40))
    axes.legend(loc="upper left")
    return figure


def _short(name: object, length: int) -> str:
    text = re.sub(r"\s+", " ", str(name))
    return text if len(text) <= length else f"{text[: length - 1]}…"


def shown_panels(names: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return which columns the distributions show, and which they leave out."""
    unique = list(dict.fromkeys(names))
    return unique[:MAX_PANELS], unique[MAX_PANELS:]
