"""Summary of a search: `summary.md` and `trials.csv`. Only the final comparison uses test images."""

from collections.abc import Iterator, Sequence
from statistics import mean, stdev

import pandas as pd

from slbench.markdown import code_block, escape, markdown_table
from slbench.stats.settings import DEFAULT_STATISTICS
from slbench.text import printable
from slbench.tuning.from_optuna import MIN_TRIALS
from slbench.tuning.record import Comparison, MethodRecord, SearchRecord, TrialRecord, setting_words

MAX_TRIALS = 10  # in the table of the summary; all are in trials.csv
FIGURES = {
    "landscape": "validation accuracy by setting, one point per trial",
    "history": "trials by number, and the best so far",
    "importance": "importance of each parameter",
    "curves": "validation accuracy of each trial's first seed by epoch",
}


def trials_frame(record: SearchRecord) -> pd.DataFrame:
    """Return one line per trial: setting, validation accuracies and cost. No test accuracies."""
    return pd.DataFrame([line(result, trial) for result in record.rows for trial in result.trials])


def line(result: MethodRecord, trial: TrialRecord) -> dict[str, object]:
    setting = {path.replace(".", "_"): value for path, value in trial.setting.items()}
    return {
        "method": result.method,
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
    """Return the search as Markdown.

    Args:
        figures: file stems of the figures.
        files: study files of the winners.
    """
    parts = [f"# {escape(f'{record.name}: {record.backbone} on {record.dataset}')}", *preamble(record)]
    for result in record.rows:
        parts += method_parts(record, result)
    if len(record.rows) > 1:
        parts += between_methods(record)
    parts += verdict_note(record)
    parts += [f"![{name}: {FIGURES[name.partition('-')[0]]}]({name}.png)" for name in figures]
    if files:
        parts.append(f"To train a winner: {', '.join(f'`slbench run-grid {file}`' for file in files)}.")
    return "\n\n".join(parts) + "\n"


def preamble(record: SearchRecord) -> Iterator[str]:
    """Yield command, objective, noise, versions and notes."""
    yield code_block(printable(record.command), "sh")
    seeds = "one seed" if record.seeds == 1 else f"the mean over {record.seeds} seeds, trained one after the other"
    yield escape(
        f"Objective: top-1 on the {record.validation_images:,} validation images after the last of {record.epochs} "
        f"epochs, {seeds}. Sampler {record.sampler} (seed {record.sampler_seed}), pruner {record.pruner}. "
        "The search uses no test images."
    )
    yield noise_words(record)
    if record.made_with:
        yield escape(f"Made with {'; '.join(record.made_with)}.")
    yield from (escape(f"Note: {note}.") for note in record.notes)


def noise_words(record: SearchRecord) -> str:
    """Return a paragraph on the noise of accuracies."""
    rate = typical_rate(record)
    of_images = 100 * (rate * (1 - rate) / record.validation_images) ** 0.5
    spreads = [stdev(trial.by_seed) for result in record.rows for trial in result.complete if len(trial.by_seed) > 1]
    text = (
        f"Noise: an accuracy of {100 * rate:.0f} % on {record.validation_images:,} images has a standard error of "
        f"{of_images:.1f} points. All trials share the images and the seeds, so their differences are less noisy. "
    )
    if spreads:
        text += (
            f"Over seeds a trial's accuracies have a standard deviation of {mean(spreads):.2f} points "
            f"(mean of {len(spreads)} trials). "
        )
    return text + "The best of many trials is biased upwards: the comparison below uses fresh seeds and images."


def typical_rate(record: SearchRecord) -> float:
    values = [trial.value for result in record.rows for trial in result.complete if trial.value is not None]
    return mean(values) / 100 if values else 0.8


def method_parts(record: SearchRecord, result: MethodRecord) -> Iterator[str]:
    """Yield the section of one method."""
    counts = {state: sum(trial.state == state for trial in result.trials) for state in ("complete", "pruned", "failed")}
    images = sum(trial.images for trial in result.trials)
    full = len(result.trials) * record.seeds * record.epochs * record.images_per_epoch
    yield f"## {escape(result.title)}"
    yield escape(f"Searched: {'; '.join(result.space)}.")
    yield (
        f"{len(result.trials)} trials: {', '.join(f'{number} {state}' for state, number in counts.items() if number)}; "
        f"{images:,} training images, {100 * images / full if full else 0:.0f} % of the cost without pruning."
    )
    winner, default = result.trial(result.winner), result.baseline
    if winner is not None and default is not None:
        yield escape(winner_words(winner, default))
    yield table(result)
    if result.importance:
        shares = ", ".join(f"{path.partition('.')[2]} {100 * share:.0f} %" for path, share in result.importance.items())
        yield escape(f"Importance (among the {len(result.complete)} complete trials): {shares}.")
    elif len(result.complete) < MIN_TRIALS and len(result.parameters) > 1:
        yield f"Importance of the parameters: needs {MIN_TRIALS} complete trials (got {len(result.complete)})."
    if result.comparison is not None:
        yield from comparison_parts(record, result.comparison)


def winner_words(winner: TrialRecord, default: TrialRecord) -> str:
    if winner.is_baseline:
        text = setting_words(default.setting)
        return f"Chosen: the default setting ({text}), {winner.value:.2f} % on the validation images."
    assert winner.value is not None, "a winner is complete"
    of_default = f"of the default setting ({setting_words(default.setting)})"
    difference = (
        ""
        if default.value is None
        else f", {winner.value - default.value:+.2f} points against {default.value:.2f} % {of_default}"
    )
    chosen = f"Chosen: trial {winner.number} ({setting_words(winner.setting)})"
    return f"{chosen}, {winner.value:.2f} % on the validation images{difference}."


def table(result: MethodRecord) -> str:
    """Return a table of the best trials and the default setting."""
    ranked = sorted(result.complete, key=lambda trial: (-(trial.value or 0), trial.number))
    listed = [trial for rank, trial in enumerate(ranked) if rank < MAX_TRIALS or trial.is_baseline]
    if not listed:
        return "No trial is complete yet."
    lines = []
    for trial in listed:
        spread = f" ± {stdev(trial.by_seed):.2f}" if len(trial.by_seed) > 1 else ""
        lines.append(
            {
                "trial": f"{trial.number}{' (default setting)' if trial.is_baseline else ''}",
                **{
                    path.partition(".")[2]: f"{value:g}" if isinstance(value, float) else str(value)
                    for path, value in trial.setting.items()
                },
                "validation top-1 (%)": f"{trial.value:.2f}{spread} ({len(trial.by_seed)})",
            }
        )
    text = markdown_table(list(lines[0]), [list(line.values()) for line in lines])
    head = f"The best {min(MAX_TRIALS, len(ranked))} of {len(ranked)} complete trials"
    return f"{head}, mean ± sample standard deviation (seeds):\n\n{text}"


def comparison_parts(record: SearchRecord, comparison: Comparison) -> Iterator[str]:
    """Yield the comparison of winner and default setting on the test images."""
    if not comparison.seeds:
        yield escape(f"Comparison: {comparison.words}.")
        return
    yield (
        f"Comparison on the {record.test_images:,} test images, protocol {comparison.protocol} (trained on the "
        f"validation images too), seeds {', '.join(map(str, comparison.seeds))}, which the search did not use; "
        "test top-1 of the last epoch in %:"
    )
    tuned = {} if comparison.difference is None else {"tuned": comparison.tuned}
    rows = {**tuned, "default setting": comparison.own}
    heads = ["setting", *(f"seed {seed}" for seed in comparison.seeds), "mean"]
    yield markdown_table(
        heads, [[name, *(f"{value:.2f}" for value in (*values, mean(values)))] for name, values in rows.items()]
    )
    if comparison.difference is None:
        yield escape(f"Comparison: {comparison.words}.")
    else:
        yield f"The tuned setting is **{comparison.verdict}**: {escape(comparison.words.rstrip('.'))}."


def between_methods(record: SearchRecord) -> Iterator[str]:
    """Yield a table of the winners of all methods, and the comparisons between them."""
    yield "## Between methods, each tuned with the same number of trials"
    lines = []
    for result in record.rows:
        winner = result.trial(result.winner)
        tested = result.comparison.tuned if result.comparison is not None and result.comparison.seeds else ()
        lines.append(
            {
                "model": result.title,
                "setting": "–" if winner is None else setting_words(winner.setting),
                "validation top-1 (%)": "–" if winner is None or winner.value is None else f"{winner.value:.2f}",
                "test top-1 (%), fresh seeds": f"{mean(tested):.2f} ({len(tested)})" if tested else "–",
            }
        )
    yield markdown_table(list(lines[0]), [list(line.values()) for line in lines])
    if record.between:
        yield "Differences in test top-1 between the tuned methods, paired by seed:"
        yield "\n".join(f"- {line}." for line in between_lines(record))


def between_lines(record: SearchRecord) -> list[str]:
    """Return each comparison of two tuned methods as text."""
    titles = {result.method: result.title for result in record.rows}
    return [
        f"{escape(f'{titles[each.method]} against {titles[each.reference]}')}: **{each.verdict}**, {escape(each.words)}"
        for each in record.between
    ]


def verdict_note(record: SearchRecord) -> Iterator[str]:
    """Yield how the verdicts of the comparisons are to be read."""
    intervals = [row.comparison for row in record.rows if row.comparison is not None and row.comparison.low is not None]
    count = len(intervals) + sum(each.low is not None for each in record.between)
    if not record.fresh_seeds or not count:
        return
    joint = f", so that all {count} of this search hold at {100 * DEFAULT_STATISTICS.level:g} %" if count > 1 else ""
    yield (
        f"Intervals are Student's over the fresh seeds, for these test images, at {100 * record.level:.4g} %{joint}. "
        f"Equivalent: the interval lies within ±{DEFAULT_STATISTICS.margin:g} points."
    )
