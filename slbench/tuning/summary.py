"""A search in words and tables: `summary.md` and `trials.csv`. Of the test images only the comparison at the end."""

from collections.abc import Iterator, Sequence
from statistics import mean, stdev

import pandas as pd

from slbench.text import markdown_table
from slbench.tuning.record import Comparison, MethodRecord, SearchRecord, TrialRecord, setting_words

SHOWN = 10  # trials in the summary's table; all are in trials.csv
FIGURES = {
    "landscape": "validation accuracy over the settings, every trial a point",
    "history": "every trial in its turn, and the best so far",
    "importance": "how much each parameter moves the accuracy",
    "curves": "validation accuracy of each trial's first seed by epoch",
}


def trials_frame(record: SearchRecord) -> pd.DataFrame:
    """A row a trial: its setting, its validation accuracies, what it took. No number of the test images."""
    return pd.DataFrame([line(row, trial) for row in record.rows for trial in row.trials])


def line(row: MethodRecord, trial: TrialRecord) -> dict[str, object]:
    setting = {path.replace(".", "_"): value for path, value in trial.setting.items()}
    return {
        "method": row.method,
        "trial": trial.number,
        "state": trial.state,
        "is_baseline": trial.is_baseline,
        **setting,
        "val_top1_mean": trial.value,
        "val_top1_std": stdev(trial.by_seed) if len(trial.by_seed) > 1 else None,
        "seeds_ended": len(trial.by_seed),
        "last_val_top1": trial.last_value,
        "val_top1_by_seed": " ".join(f"{value:g}" for value in trial.by_seed),
        "epochs": trial.epochs,
        "images": trial.images,
        "run_ids": " ".join(trial.run_ids),
        "note": trial.note,
    }


def summary(record: SearchRecord, figures: Sequence[str], files: Sequence[str]) -> str:
    """The whole search as Markdown.

    Args:
        figures: names of those that were drawn, without suffix.
        files: study files of the winners.
    """
    parts = [f"# {record.name}: {record.backbone} on {record.dataset}", *preamble(record)]
    for row in record.rows:
        parts += row_parts(record, row)
    if len(record.rows) > 1:
        parts += between_rows(record)
    parts += [f"![{name}: {FIGURES[name.partition('-')[0]]}]({name}.png)" for name in figures]
    if files:
        parts.append(f"To train a winner: {', '.join(f'`slbench run-grid {file}`' for file in files)}.")
    return "\n\n".join(parts) + "\n"


def preamble(record: SearchRecord) -> Iterator[str]:
    """How the search went about it, with what."""
    yield f"```sh\n{record.command}\n```"
    seeds = "one seed" if record.seeds == 1 else f"the mean over {record.seeds} seeds, trained one after the other"
    yield (
        f"Objective: top-1 on the {record.validation_images:,} validation images after the last of {record.epochs} "
        f"epochs, {seeds}. Sampler {record.sampler} (seed {record.sampler_seed}), pruner {record.pruner}. "
        "Nothing in the search has seen a test image."
    )
    yield noise_words(record)
    if record.made_with:
        yield f"Made with {'; '.join(record.made_with)}."
    yield from (f"Note: {note}." for note in record.notes)


def noise_words(record: SearchRecord) -> str:
    """How large a difference chance alone makes."""
    rate = typical_rate(record)
    of_images = 100 * (rate * (1 - rate) / record.validation_images) ** 0.5
    spreads = [stdev(trial.by_seed) for row in record.rows for trial in row.complete if len(trial.by_seed) > 1]
    words = (
        f"Noise: an accuracy of {100 * rate:.0f} % on {record.validation_images:,} images has a standard error of "
        f"{of_images:.1f} points. All trials share the images and the seeds, so their differences are less noisy; "
    )
    if spreads:
        words += (
            f"over seeds a trial's accuracies have a standard deviation of {mean(spreads):.2f} points "
            f"(mean of {len(spreads)} trials). "
        )
    return (
        words + "The best of many trials is flattered by chance: the comparison below is with fresh seeds and images."
    )


def typical_rate(record: SearchRecord) -> float:
    values = [trial.value for row in record.rows for trial in row.complete if trial.value is not None]
    return mean(values) / 100 if values else 0.8


def row_parts(record: SearchRecord, row: MethodRecord) -> Iterator[str]:
    """One row's search."""
    counts = {state: sum(trial.state == state for trial in row.trials) for state in ("complete", "pruned", "failed")}
    images = sum(trial.images for trial in row.trials)
    full = len(row.trials) * record.seeds * record.epochs * record.images_per_epoch
    yield f"## {row.title}"
    yield "Searched: " + "; ".join(row.space) + "."
    yield (
        f"{len(row.trials)} trials: {', '.join(f'{number} {state}' for state, number in counts.items() if number)}; "
        f"{images:,} training images, {100 * images / full if full else 0:.0f} % of what they take unpruned."
    )
    won, own = row.trial(row.winner), row.baseline
    if won is not None and own is not None:
        yield winner_words(won, own)
    yield table(row)
    if row.importance:
        shares = ", ".join(f"{path.partition('.')[2]} {100 * share:.0f} %" for path, share in row.importance.items())
        yield f"Importance (share of what moves the accuracy among the {len(row.complete)} complete trials): {shares}."
    if row.comparison is not None:
        yield from comparison_parts(record, row.comparison)


def winner_words(won: TrialRecord, own: TrialRecord) -> str:
    if won.is_baseline:
        return (
            f"Chosen: the row's own setting ({setting_words(own.setting)}), {won.value:.2f} % on the validation images."
        )
    assert won.value is not None, "a winner is complete"
    own_words = f"of the row's own setting ({setting_words(own.setting)})"
    beside = "" if own.value is None else f", {won.value - own.value:+.2f} points beside {own.value:.2f} % {own_words}"
    chosen = f"Chosen: trial {won.number} ({setting_words(won.setting)})"
    return f"{chosen}, {won.value:.2f} % on the validation images{beside}."


def table(row: MethodRecord) -> str:
    """The best trials, and the row's own setting among them wherever it stands."""
    ranked = sorted(row.complete, key=lambda trial: (-(trial.value or 0), trial.number))
    shown = [trial for rank, trial in enumerate(ranked) if rank < SHOWN or trial.is_baseline]
    if not shown:
        return "No trial is complete yet."
    lines = []
    for trial in shown:
        spread = f" ± {stdev(trial.by_seed):.2f}" if len(trial.by_seed) > 1 else ""
        lines.append(
            {
                "trial": f"{trial.number}{' (own setting)' if trial.is_baseline else ''}",
                **{
                    path.partition(".")[2]: f"{value:g}" if isinstance(value, float) else str(value)
                    for path, value in trial.setting.items()
                },
                "validation top-1 (%)": f"{trial.value:.2f}{spread} ({len(trial.by_seed)})",
            }
        )
    text = markdown_table(list(lines[0]), [list(line.values()) for line in lines])
    head = f"The best {min(SHOWN, len(ranked))} of {len(ranked)} complete trials"
    return f"{head}, mean ± sample standard deviation (seeds):\n\n{text}"


def comparison_parts(record: SearchRecord, comparison: Comparison) -> Iterator[str]:
    """The winner against the row's own setting, with images that chose neither."""
    if not comparison.seeds:
        yield f"Comparison: {comparison.words}."
        return
    yield (
        f"Comparison on the {record.test_images:,} test images, protocol {comparison.protocol} (trained on the "
        f"validation images too), seeds {', '.join(map(str, comparison.seeds))}, which the search did not use; "
        "test top-1 of the last epoch in %:"
    )
    rows = {"tuned": comparison.tuned, "own setting": comparison.own}
    heads = ["setting", *(f"seed {seed}" for seed in comparison.seeds), "mean"]
    yield markdown_table(
        heads, [[name, *(f"{value:.2f}" for value in (*values, mean(values)))] for name, values in rows.items()]
    )
    yield f"The tuned setting is **{comparison.verdict}**: {comparison.words}"


def between_rows(record: SearchRecord) -> Iterator[str]:
    """Tuned against tuned: the winners of the rows, each found with the same number of trials."""
    yield "## Between the rows, each tuned with as many trials"
    lines = []
    for row in record.rows:
        won = row.trial(row.winner)
        tested = row.comparison.tuned if row.comparison is not None and row.comparison.seeds else ()
        lines.append(
            {
                "row": row.title,
                "setting": "–" if won is None else setting_words(won.setting),
                "validation top-1 (%)": "–" if won is None or won.value is None else f"{won.value:.2f}",
                "test top-1 (%), fresh seeds": f"{mean(tested):.2f} ({len(tested)})" if tested else "–",
            }
        )
    yield markdown_table(list(lines[0]), [list(line.values()) for line in lines])
