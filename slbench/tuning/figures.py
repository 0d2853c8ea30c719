"""Figures of a search from its record; all accuracies are on the validation images."""

import textwrap
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.plotting.axes import accuracy_range, log_ticks, make_logarithmic
from slbench.plotting.style import MAX_IN_TITLE, PALETTE, SCREEN, FigureStyle, dark_map, new_figure, plain, save, style
from slbench.tuning.record import MethodRecord, SearchRecord, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPLETE, PRUNED, DEFAULT = PALETTE[0], "#999999", PALETTE[1]
NAMES = {
    "method.initial_temperature": "initial temperature (multiples of $\\sqrt{d_k}$)",
    "method.shift_pixels": "shift (px)",
    "method.shift_ratio": "shift (share of the patch)",
    "method.shift": "directions of the shift",
    "recipe.lr": "learning rate",
}
ACCURACY = "validation top-1 (%)"
UPRIGHT = 2.6  # inches: height of the axes in a figure of the style "screen"
OTHERS = "other complete trials"
RGBA = tuple[float, float, float, float]


def draw(record: SearchRecord, folder: Path, look: FigureStyle = SCREEN) -> list[str]:
    """Write every figure with data as PNG, SVG and PDF; return their file stems."""
    drawings: dict[str, Callable[[SearchRecord, MethodRecord, FigureStyle], Figure | None]] = {
        "landscape": landscape,
        "history": history,
        "importance": importance,
        "curves": curves,
    }
    names = []
    for result in record.rows:
        for name, drawing in drawings.items():
            with style(look):
                figure = drawing(record, result, look)
            if figure is not None:
                file = name if len(record.rows) == 1 else f"{name}-{result.method}"
                save(figure, folder / file, formats=("png", "svg", "pdf"))
                names.append(file)
    return names


def landscape(record: SearchRecord, result: MethodRecord, look: FigureStyle) -> "Figure | None":
    """Draw the objective over the first two parameters, or the only one; one point per trial."""
    complete = [trial for trial in result.complete if trial.value is not None]
    if not complete or not result.parameters:
        return None
    if len(result.parameters) == 1:
        return one_parameter(record, result, complete, look)
    figure, axes = new_figure(look=look)
    across, up = result.parameters[:2]
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    if pruned:
        axes.scatter(
            [number(result, trial, across) for trial in pruned],
            [number(result, trial, up) for trial in pruned],
            marker="x", color=PRUNED, s=30 * look.size(1) ** 2, label="pruned",
        )  # fmt: skip
    points = axes.scatter(
        [number(result, trial, across) for trial in complete],
        [number(result, trial, up) for trial in complete],
        c=[trial.value or 0.0 for trial in complete], cmap="cividis", s=55 * look.size(1) ** 2, edgecolors="black",
        linewidths=look.size(0.6), label="complete",
    )  # fmt: skip
    mark_settings(axes, result, across, up, look)
    scale(axes, result, across, up, look)
    text = f"{ACCURACY}, mean of {seeds(record)}"
    figure.colorbar(points, label=textwrap.fill(text, look.letters(look.height(UPRIGHT))))
    below(figure, axes, look, markers=0.6)
    title(axes, record, result, look)
    return figure


def mark_settings(axes: "Axes", result: MethodRecord, across: str, up: str, look: FigureStyle) -> None:
    """Mark the default and the chosen setting."""
    winner, default = result.trial(result.winner), result.baseline
    for trial, marker, label in ((default, "s", "default setting"), (winner, "o", "chosen")):
        if trial is not None:
            axes.scatter(
                [number(result, trial, across)], [number(result, trial, up)], marker=marker,
                s=190 * look.size(1) ** 2, facecolors="none", edgecolors=DEFAULT,
                linewidths=look.size(1.6), linestyle="--" if marker == "s" else "-", label=label,
            )  # fmt: skip


def one_parameter(
    record: SearchRecord, result: MethodRecord, complete: list[TrialRecord], look: FigureStyle
) -> "Figure":
    """Draw the objective over the only parameter; small points are seeds."""
    figure, axes = new_figure(look=look)
    (path,) = result.parameters
    ordered = sorted(complete, key=lambda trial: number(result, trial, path))
    positions = [number(result, trial, path) for trial in ordered]
    for position, trial in zip(positions, ordered, strict=True):
        axes.scatter([position] * len(trial.by_seed), trial.by_seed, s=8 * look.size(1) ** 2, color=PRUNED)
    axes.plot(
        positions, [trial.value or 0.0 for trial in ordered], "o-", color=COMPLETE, label=f"mean of {seeds(record)}"
    )
    if result.baseline is not None:
        axes.axvline(number(result, result.baseline, path), color=DEFAULT, linestyle="--", label="default setting")
    scale(axes, result, path, None, look)
    axes.set_ylabel(ACCURACY)
    below(figure, axes, look)
    title(axes, record, result, look)
    return figure


def history(record: SearchRecord, result: MethodRecord, look: FigureStyle) -> "Figure | None":
    """Draw every trial by number, and the best so far."""
    complete = [trial for trial in result.complete if trial.value is not None]
    if not complete:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(look=look)
    pruned = [trial for trial in result.trials if trial.state == "pruned" and trial.last_value is not None]
    if pruned:
        axes.scatter(
            [trial.number for trial in pruned], [trial.last_value or 0.0 for trial in pruned],
            marker="x", color=PRUNED, label="pruned (last value seen)",
        )  # fmt: skip
    values = [trial.value or 0.0 for trial in complete]
    axes.scatter(
        [trial.number for trial in complete], values, color=COMPLETE, label=f"complete, mean of {seeds(record)}"
    )
    axes.step(
        [trial.number for trial in complete],
        list(accumulate(values, max)),
        where="post",
        color=DEFAULT,
        label="best so far",
    )
    low = max(0.0, min(values) - 1.5 * max(max(values) - min(values), 1.0))  # early-pruned trials would compress it
    axes.set_ylim(accuracy_range([*values, *(max(low, trial.last_value or 0.0) for trial in pruned)]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(ACCURACY)
    below(figure, axes, look)
    title(axes, record, result, look)
    return figure


def importance(record: SearchRecord, result: MethodRecord, look: FigureStyle) -> "Figure | None":
    """Draw the importance of each parameter."""
    if not result.importance:
        return None
    figure, axes = new_figure(height=1.2 + 0.5 * len(result.importance), look=look)
    shares = dict(sorted(result.importance.items(), key=lambda entry: entry[1]))
    names = [name_of(path, look.letters(look.column / 3)) for path in shares]
    axes.barh(names, [100 * share for share in shares.values()], color=COMPLETE)
    text = f"importance (%), from {len(result.complete)} complete trials"
    axes.set_xlabel(textwrap.fill(text, look.letters(look.column / 2)))
    title(axes, record, result, look)
    return figure


def curves(record: SearchRecord, result: MethodRecord, look: FigureStyle) -> "Figure | None":
    """Draw the validation accuracy of each trial's first seed by epoch, colored by the first numeric parameter."""
    with_curve = [trial for trial in result.trials if trial.curve]
    if not with_curve:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(look=look)
    colored = colored_by(result, with_curve)
    colors = {} if colored is None else color_key(axes, result, colored, with_curve, look)
    labels = set[str]()
    for trial in sorted(with_curve, key=lambda trial: (trial.is_baseline, trial.number == result.winner)):
        name, style_options = line_style(trial, result, look)
        if name == OTHERS and colors:
            style_options = {"color": colors[trial.number], "linewidth": look.size(1.0)}
        epochs = range(1, len(trial.curve) + 1)
        axes.plot(epochs, trial.curve, label=None if name in labels else name, **style_options)  # type: ignore[arg-type]
        if trial.state == "pruned":
            axes.plot(len(trial.curve), trial.curve[-1], "x", color=PRUNED, markersize=look.size(5))
        labels.add(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch of the first seed")
    axes.set_ylabel(ACCURACY)
    below(figure, axes, look)
    title(axes, record, result, look)
    return figure


def below(figure: "Figure", axes: "Axes", look: FigureStyle, *, markers: float = 1.0) -> None:
    """Draw the legend below the axes.

    Args:
        markers: size of its markers as a share of that in the figure.
    """
    columns = look.legend_columns(axes.get_legend_handles_labels()[1], figure.get_figwidth())
    figure.legend(loc="outside lower center", ncols=columns, fontsize=look.size(8), markerscale=markers)


def colored_by(result: MethodRecord, trials: list[TrialRecord]) -> str | None:
    """Return the first parameter whose values in these trials are different numbers; None without one."""
    for path in result.parameters:
        if choices(result, path) is None and len({number(result, trial, path) for trial in trials}) > 1:
            return path
    return None


def color_key(
    axes: "Axes", result: MethodRecord, path: str, trials: list[TrialRecord], look: FigureStyle
) -> dict[int, RGBA]:
    """Draw a color bar of a parameter's values; return the color of each trial by its number."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import FuncFormatter

    values = {trial.number: number(result, trial, path) for trial in trials}
    low, high = min(values.values()), max(values.values())
    norm = LogNorm(low, high) if path in result.log else Normalize(low, high)
    ticks = log_ticks(low, high) if path in result.log else None
    colors = dark_map("cividis")
    label = name_of(path, look.letters(look.height(UPRIGHT)))
    bar = axes.figure.colorbar(ScalarMappable(norm, colors), ax=axes, label=label, ticks=ticks)
    bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")
    bar.minorticks_off()
    return {trial: colors(float(norm(value))) for trial, value in values.items()}


def line_style(trial: TrialRecord, result: MethodRecord, look: FigureStyle) -> tuple[str, dict[str, object]]:
    """Return label and line style of a trial's curve."""
    if trial.is_baseline:
        return "default setting", {"color": DEFAULT, "linewidth": look.size(2), "linestyle": "--"}
    if trial.number == result.winner:
        return "chosen", {"color": PALETTE[2], "linewidth": look.size(2)}
    if trial.state == "pruned":
        return "pruned at the cross", {"color": PRUNED, "linewidth": look.size(0.8)}
    return OTHERS, {"color": COMPLETE, "linewidth": look.size(0.8), "alpha": 0.6}


def scale(axes: "Axes", result: MethodRecord, across: str, up: str | None, look: FigureStyle) -> None:
    """Set axis labels, logarithmic scales and tick labels of choices; call it after drawing."""
    for path, axis in ((across, axes.xaxis), (up, axes.yaxis)):
        if path is None:
            continue
        axis.set_label_text(name_of(path, look.letters(look.height(UPRIGHT))))
        if path in result.log:
            make_logarithmic(axis)
        names = choices(result, path)
        if names is not None:
            axis.set_ticks(range(len(names)), labels=names)


def choices(result: MethodRecord, path: str) -> list[str] | None:
    """Return the names of a categorical parameter's values; None for numbers."""
    values = [trial.setting[path] for trial in result.trials]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    return list(dict.fromkeys(map(str, values)))


def number(result: MethodRecord, trial: TrialRecord, path: str) -> float:
    """Return the position of a trial on a parameter's axis."""
    names, value = choices(result, path), trial.setting[path]
    return float(value) if names is None else float(names.index(str(value)))


def seeds(record: SearchRecord) -> str:
    return "1 seed" if record.seeds == 1 else f"{record.seeds} seeds"


def title(axes: "Axes", record: SearchRecord, result: MethodRecord, look: FigureStyle) -> None:
    text = plain(f"{result.title} on {record.dataset}: search '{record.name}'", most=MAX_IN_TITLE)
    axes.figure.suptitle(textwrap.fill(text, look.letters(look.column)), fontsize=look.size(9))


def name_of(path: str, letters: int) -> str:
    """Return the name of a parameter in lines of so many letters."""
    return textwrap.fill(NAMES.get(path, path), letters)
