"""Coverage, family error, power and cost of verdicts, by simulation; the results are in benchmarks/verdict.md.

Run by `make bench-verdict`, some 5 minutes on two cores; `--quick` simulates a tenth of the studies and writes
nothing.
"""

import argparse
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import scipy

from benchmarks import priors
from benchmarks.measured import correlation_rows, measured, spread_rows
from benchmarks.simulated import CONTRASTS, LAWS, METHODS, Array, differences, half_width, means, spread_of
from benchmarks.verdict_cost import (
    AIM,
    GAINS,
    aim_rows,
    cost_table,
    known_spread_seeds,
    margin_table,
    one_design_table,
    seeds_for_all,
    simulate,
)
from slbench.machine import host
from slbench.markdown import markdown_table
from slbench.stats import simultaneous
from slbench.stats.correlation import Z95
from slbench.stats.moderation import PLAIN_WEIGHT, PRIOR_WEIGHT
from slbench.stats.simultaneous import min_p_level, sidak_level

RESULT = Path(__file__).with_name("verdict.md")
SEED, STUDIES, MIN_P_DRAWS = 0, 2000, 1000
MAX_ERROR, REPEATS = 0.06, 5  # of a family; times as many studies for a line above it
CELLS = {3: 1, 15: 5, 60: 20}  # by comparisons of the family
COUNTS = (2, 3, 5, 10, 30)
CONDITIONS = {"equal spreads": {}, "unequal spreads": {"unequal": 0.4}, "missing runs": {"missing": 0.1}}
EXPERIMENT = "## Starting SPT"
Row = Sequence[str]


def wilson(count: float, total: float) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927)."""
    share, z2 = count / total, Z95**2 / total
    centre, half = share + z2 / 2, Z95 * (share * (1 - share) / total + z2 / total / 4) ** 0.5
    return (centre - half) / (1 + z2), (centre + half) / (1 + z2)


def proportion(hits: Array) -> str:
    """Return a proportion with its interval; NaN are left out."""
    known = hits[np.isfinite(hits)]
    low, high = wilson(known.sum(), known.size)
    return f"{known.mean():.3f} ({low:.3f} to {high:.3f})"


def covered(values: Array, level: Array | float, limit: float = PRIOR_WEIGHT) -> Array:
    """Return which intervals contain the true 0, as 0 and 1; NaN without an interval."""
    half = half_width(spread_of(values, moderated=True, limit=limit), np.isfinite(values).sum(axis=-1), level)
    return np.where(np.isfinite(half), np.abs(means(values)) <= half, np.nan)


def error_row(studies: int, line: tuple[int, str, int, str], *, seed: int = SEED) -> Row:
    """Return family error and coverage of one setting."""
    comparisons, law, seeds, condition = line
    source = np.random.default_rng([seed, comparisons, LAWS.index(law), seeds])
    values = differences(source, (studies, CELLS[comparisons], seeds), law, **CONDITIONS[condition])
    wrong = (covered(values, sidak_level(0.95, comparisons)) == 0).any(axis=(1, 2))
    plain = covered(values, 0.95, PLAIN_WEIGHT)
    each = [proportion(plain[:, place]) for place in range(len(CONTRASTS))]
    return (condition, str(comparisons), law, str(seeds), proportion(wrong.astype(float)), *each)


def min_p_row(studies: int, line: tuple[int, str, int]) -> Row:
    """Return the family error with levels from the joint distribution."""
    comparisons, law, seeds = line
    source = np.random.default_rng([SEED, 1, comparisons, LAWS.index(law), seeds])
    values = differences(source, (studies, CELLS[comparisons], seeds), law)
    simultaneous.DRAWS = MIN_P_DRAWS
    levels = [min_p_level(family.reshape(comparisons, seeds).tolist(), level=0.95) for family in values]
    wrong = (covered(values, np.array(levels)[:, None, None]) == 0).any(axis=(1, 2))
    return (str(comparisons), law, str(seeds), proportion(wrong.astype(float)), f"{np.mean(levels):.5f}",
            f"{sidak_level(0.95, comparisons):.5f}")  # fmt: skip


def power_rows(studies: int) -> Iterator[Row]:
    """Yield the power of moderated and own variances for 30 comparisons of 5 backbones on 2 data sets, 3 seeds."""
    values = differences(np.random.default_rng([SEED, 2]), (studies, 10, 3))
    scale = values.std(axis=(0, 2, 3), keepdims=True)
    level = sidak_level(0.95, 30)
    halves = [half_width(spread_of(values, moderated=moderated), 3, level) for moderated in (False, True)]
    for gain in (0.0, 1.0, 2.0, 3.0, 4.0, 6.0):
        estimate = means(values + gain * scale)
        found = [estimate > half if gain else (np.abs(estimate) > half).any(axis=(1, 2)) for half in halves]
        own, moderated = (each.mean() for each in found)
        name = f"{gain:g}" if gain else "0 (family error)"
        yield (
            name,
            *(proportion(each.astype(float).ravel()) for each in found),
            f"{moderated / own:.2f}" if gain else "",
        )


def table(head: str, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    return markdown_table(head.split(" | "), rows) + "\n"


def versions() -> str:
    """Return device and versions."""
    return f"{host().cpu}; Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"


def report(studies: int, processes: int) -> str:
    """Return the whole result as Markdown."""
    accuracies = measured()
    with ProcessPoolExecutor(processes) as pool:
        lines = [
            (count, law, seeds, name)
            for name, count, law, seeds in product(CONDITIONS, CELLS, LAWS, COUNTS)
            if CELLS[count] > 1 or name != "unequal spreads"
        ]
        errors = list(pool.map(partial(error_row, studies), lines, chunksize=4))
        above = [line for line, row in zip(lines, errors, strict=True) if float(row[4].split()[0]) > MAX_ERROR]
        again = list(pool.map(partial(error_row, REPEATS * studies, seed=SEED + 1), above))
        joint = list(pool.map(partial(min_p_row, studies), product((3, 15), LAWS, (12, 30))))
    covariance = np.cov(np.stack([accuracies[method] for method in METHODS]))
    simultaneous.DRAWS = MIN_P_DRAWS
    simulation = simulate(covariance, studies=studies // 2, seed=SEED)
    return TEXT.format(
        versions=versions(), seed=SEED, studies=studies, cost_studies=studies // 2, draws=MIN_P_DRAWS,
        n=accuracies["none"].size,
        errors=table("condition | comparisons | noise | seeds | family error | coverage of spt | lsa | both", errors),
        max_error=f"{MAX_ERROR:g}", repeats=REPEATS * studies,
        again=table("condition | comparisons | noise | seeds | family error", (row[:5] for row in again)),
        joint=table("comparisons | noise | seeds | family error | mean level of an interval | Šidák's level", joint),
        power=table("gain in sd | own variance | moderated | ratio", power_rows(studies)),
        limits=table(f"cells | seeds | limit | {by_spread('coverage')} | {by_spread('family error')}",
                     priors.limit_rows(studies, SEED)),
        robust=table("spreads | cells | seeds | variances | coverage | of the outlying cell | family error | width",
                     priors.robust_rows(studies // 4, SEED)),
        robust_studies=studies // 4,
        spreads=table("method | seeds | mean | sd | gain over none | sd of the gain", spread_rows(accuracies)),
        correlations=table("methods | correlation", correlation_rows(accuracies)),
        cost=table("design | gain | seeds (95 % interval) | runs | right | family error | runs / t tests",
                   cost_table(simulation)),
        one_design=table(f"design | seeds | {by_gain('right')} | {by_gain('runs')} | mean runs / t tests",
                         one_design_table(simulation)),
        aim=f"{AIM:g}",
        known=known_spread_seeds(covariance),
        known_share=f"{known_spread_seeds(covariance) / seeds_for_all(simulation.designs()[0]):.2f}",
        aims=table("gain | runs of the seed rule / of the t tests | right | aim met", aim_rows(simulation)),
        margin=table("design | seeds | better | equivalent | undecided | family error | runs",
                     margin_table(simulation)),
    ).rstrip() + "\n"  # fmt: skip


def by_spread(what: str) -> str:
    """Return the heads of one column for equal and one for unequal spreads."""
    return f"{what}, equal spreads | {what}, unequal"


def by_gain(what: str) -> str:
    """Return the heads of one column for each gain."""
    return " | ".join(f"{what} at {gain:g}" for gain in GAINS)


TEXT = """# Verdicts in simulation

Written by `make bench-verdict` ({versions}; random seed {seed}; {studies} simulated studies a line,
{cost_studies} for the cost). Intervals are 95 %: Wilson's for proportions, normal where ± stands. The arithmetic of
`slbench.contrasts` and of the seed rule is done on arrays, with levels from `slbench.stats`; tests compare both.
docs/judging.md explains the terms.

## Family error and coverage

No true effect. Comparisons of spt, lsa and both with none, in 1, 5 or 20 cells (3, 15, 60 comparisons); over seeds,
none and lsa, and spt and both, correlate by .95, all others by .3; of 10 % bad runs, each lies six standard deviations
below the others. Unequal spreads: the logarithms of the cells' spreads have standard deviation .4. Missing runs: one in
ten. Family error: studies in which any simultaneous interval leaves out 0; one minus it is their joint coverage.
Coverage: of the plain 95 % interval, for each contrast by itself. Variances are moderated. Levels are Šidák's, also for
30 seeds. Among so many lines a few are off by more than their interval says.

{errors}
Lines with a family error above {max_error}, with {repeats} other studies:

{again}
From 11 seeds on slbench takes the level from the joint distribution of the smallest p value ({draws} draws here, 20,000
in slbench), unless runs are missing:

{joint}
## Power

5 backbones on 2 data sets, 3 seeds, 30 comparisons at Šidák's level: share of comparisons that say better, for a gain
in standard deviations of the difference. In a single cell nothing is borrowed: its intervals are those of own
variances.

{power}
## Weight of the prior

The prior of moderated variances weighs at most three times a cell's own degrees of freedom in simultaneous intervals,
and thirty times in plain ones. Coverage of plain intervals and family error under these and other limits; spreads,
levels and noise (normal) are those of the first table:

{limits}
Plain intervals with 20 cells of 2 seeds cover .99 under a limit of three, simultaneous ones of unequal spreads err too
often under one of ten or more; so there are two.

`variance = "robust"` (Phipson et al. 2016, with the same limits) changes the prior from ten cells on. In the last
condition one cell has four times the spread of the others, whose coverage stands first. Width: of plain intervals of
the other cells, as a share of those of moderated variances; {robust_studies} studies a line.

{robust}
The robust prior makes intervals up to a quarter narrower where spreads differ, at coverage of .937 to .966, and covers
an outlying cell better, though not as its own variance does. With equal spreads it changes little. Both are for many
cells; the default stays as it was.

## Measured spreads

Test accuracies of the last epoch of {n} seeds of the quick study, in `verdict_runs.csv`. Intervals of standard
deviations are chi-squared, of correlations Fisher's.

{spreads}
{correlations}
## Cost of a verdict

The 2x2 on five backbones (15 comparisons) with normal noise and the covariance of the runs above, at a family error of
.05 and a margin of .5 points. Right: better for a gain of 1 or 2 points, equivalent for none; seeds are the fewest (of
the seed rule: the smallest maximum) with which a comparison is judged rightly with probability .8. The t tests are
paired, with own variances and two one-sided tests for equivalence, at Šidák's level. Designs with * are not in slbench:
equivalence is judged by two one-sided tests there, whose interval is narrower than the one that is shown.

With the number of seeds that is best for each gain, as if it were known beforehand:

{cost}
With one number of seeds that suffices for gains of 0, 1 and 2 points, since a study does not know its gain; in brackets
the runs as a share of those of the t tests:

{one_design}
The aim is {aim} of the runs of the t tests or less. With the seeds of the second table:

{aims}
If the standard deviations were known, "equivalent" of no gain would take {known} seeds by two one-sided tests,
{known_share} of the t tests' runs: with this margin and these spreads no design with a fixed number of seeds
comes near half, and the seed rule pays for its analyses. What it saves is where there is a gain.

A gain at the margin (.5 points), with the seeds of the second table; "equivalent" and "worse" are wrong:

{margin}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the studies; write nothing")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    started = time.perf_counter()
    text = report(STUDIES // 10 if args.quick else STUDIES, args.processes)
    print(text)
    print(f"{time.perf_counter() - started:.0f} seconds")
    if not args.quick:
        kept = RESULT.read_text(encoding="utf-8").partition(EXPERIMENT)[2]  # made by hand
        RESULT.write_text(f"{text}\n{EXPERIMENT}{kept}", encoding="utf-8")


if __name__ == "__main__":
    main()
