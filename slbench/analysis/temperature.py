"""`slbench analyze temperature`: learned temperatures of finished runs by layer."""

import math
from pathlib import Path

import pandas as pd

from slbench.analysis.captions import AnalysisOutput, write_page
from slbench.analysis.learned_temperatures import by_layer, collect_temperatures, line_titles, with_run_columns
from slbench.analysis.run_selection import FinishedRun, RunSelection
from slbench.analysis.temperature_figures import draw_frame
from slbench.errors import InputError
from slbench.plotting.style import SCREEN, FigureStyle
from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.text import distinct


def from_weights(run: FinishedRun) -> pd.DataFrame | None:
    """Return temperatures before training and after the last epoch from the weights of a run; None without weights.

    Raises:
        InputError: if the weights cannot be read, differ from the record or are of another network.
    """
    from slbench.analysis.load import read_weights
    from slbench.backbones import meta_network
    from slbench.train.temperatures import initial_scales, learned_layers, read_scales, rows_of

    path = RunPaths(run.folder).weights
    if not path.exists():
        return None
    spec = run.record.spec
    layers = learned_layers(meta_network(spec.backbone, spec.method, shape=spec.dataset.shape))
    try:
        scales = read_scales(layers, read_weights(run.record, path))
    except KeyError as error:
        raise InputError(f"{path}: lacks the learned temperature {error}") from error
    rows = rows_of(layers, initial_scales(layers), epoch=0)
    return pd.DataFrame(rows + rows_of(layers, scales, epoch=spec.recipe.epochs))


def temperatures_of(selection: RunSelection) -> tuple[pd.DataFrame, list[RunRecord], list[str]]:
    """Return the tidy learned temperatures of runs, the runs included, and notes.

    Values are from temperatures.csv or, without it, from the weights (before and after training).

    Raises:
        InputError: if no run has a known learned temperature.
    """
    runs = {run.record.run_id: run for run in selection.runs}
    records = [run.record for run in selection.runs]
    frame, without, notes = collect_temperatures(records, {run_id: run.folder for run_id, run in runs.items()})
    frames = [] if frame is None else [frame]
    titles = line_titles(records)
    for record in without:
        run = runs[record.run_id]
        temperatures = from_weights(run)
        if temperatures is None:
            notes.append(f"left out: {run.title}: no temperatures.csv and no weights of the last epoch")
            continue
        frames.append(with_run_columns(record, temperatures, titles[record.run_id]))
        notes.append(f"{run.title}: no temperatures.csv: initial and last epoch only, from the weights")
    fixed = [run for run in selection.runs if not run.record.spec.method.learn_temperature]
    if not frames:
        raise InputError(
            notes[0]
            if notes
            else f"{fixed[0].title}: method: learns no temperature; allowed: lsa, both, "
            "temperature-only, both-no-pool, or learn_temperature = true"
        )
    if fixed:
        notes.append(f"Left out (no learned temperature): {', '.join(distinct(run.model for run in fixed))}")
    order = {run_id: position for position, run_id in enumerate(runs)}
    frames.sort(key=lambda part: order[part["run"].iloc[0]])
    frame = pd.concat(frames, ignore_index=True)
    drawn = set(frame["run"])
    return frame, [record for record in records if record.run_id in drawn], notes


def analyse(selection: RunSelection, out: Path, *, look: FigureStyle = SCREEN) -> AnalysisOutput:
    """Write the temperatures of runs, a table by layer and the figures per backbone."""
    frame, records, notes = temperatures_of(selection)
    layers = by_layer(frame)
    figures = draw_frame(frame, records, out, look=look)
    tables = [(str(line), layer_table(layers[layers["line"] == line])) for line in dict.fromkeys(layers["line"])]
    return write_page(
        out,
        "temperature",
        "Learned temperatures",
        tables=tables,
        frames={"temperature": frame, "temperature-layers": layers},
        figures=figures,
        notes=[definitions(layers), *selection.notes, *notes],
    )


def layer_table(layers: pd.DataFrame) -> pd.DataFrame:
    """Return the layers of one experiment as text."""
    many_seeds = layers["seeds"].max() > 1
    columns = {
        "layer": layers["layer"],
        "sqrt(d_k)": format_numbers(layers["sqrt_dk"]),
        "initial": format_numbers(layers["initial"]),
        "final, mean over heads": format_numbers(layers["mean"]),
        **({"std over seeds": format_numbers(layers["std"])} if many_seeds else {}),
        "lowest head": format_numbers(layers["min"]),
        "highest head": format_numbers(layers["max"]),
        "final / sqrt(d_k)": format_numbers(layers["multiple"]),
        "scales not above 0": layers["not_positive"].map(lambda count: str(count) if count else ""),
    }
    return pd.DataFrame(columns)


def format_numbers(values: "pd.Series[float]") -> "pd.Series[str]":
    return values.map(lambda value: "" if math.isnan(value) else f"{value:.3f}")


def definitions(layers: pd.DataFrame) -> str:
    """Return a sentence that defines the numbers of the tables."""
    count = int(layers["not_positive"].sum())
    flagged = (
        f"; {count} learned scales are <= 0 (negative or infinite temperature, inverted scores), excluded from mean, "
        "lowest and highest"
        if count
        else "; all learned scales are positive"
    )
    return (
        "Temperature: 1 / (learned scale), the divisor of the scores; sqrt(d_k) is standard attention; "
        f"final: after the last epoch, of the evaluated weights{flagged}"
    )
