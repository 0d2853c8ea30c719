"""Simulated studies: coverage, family-wise error and power of verdicts, and the training runs that a verdict costs.

Studies are judged by `slbench.stats.judge.judged`, which is behind `slbench.contrasts` and every report, and by
`slbench.stats.sequential.interim_analyses`, which is behind seed rules. Run by `make bench-verdict`;
--studies takes fewer. Writes a Markdown table.
"""

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slbench.machine import host
from slbench.stats.contrast import METHODS_2X2, Contrast
from slbench.stats.contrasts import Answer, combined
from slbench.stats.correlation import correlation
from slbench.stats.intervals import t_interval
from slbench.stats.judge import Result, judged
from slbench.stats.sequential import InterimAnalysis, SequentialDesign, interim_analyses
from slbench.stats.settings import Statistics
from slbench.stats.simultaneous import sidak_level
from slbench.study import SeedRule
from slbench.text import markdown_table

RUNS = Path(__file__).with_name("verdict_runs.csv")  # measured accuracies
OUT = Path(__file__).with_name("verdict.md")
GAINS = [Contrast(method=method, reference="none") for method in ("spt", "lsa", "both")]
EFFECTS = [Contrast(effect="spt"), Contrast(effect="lsa")]
LAWS = ("normal", "skewed", "t(3)", "10 % bad runs")
MARGIN = Statistics().margin
MAX_SEEDS = 60
Array = NDArray[np.float64]
Task = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class World:
    """Law of the accuracies of a study: backbones, seeds, noise."""

    law: str = "normal"
    backbones: int = 1
    seeds: int = 3
    unequal: float = 0.0  # standard deviation of the logarithm of a backbone's spread
    missing: float = 0.0  # share of runs that are missing
    gains: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of spt, lsa, both, in points
    measured: bool = False  # covariance of the measured runs; else LSA pairs correlate by .95, the others by .3

    def accuracies(self, draw: np.random.Generator) -> Array:
        """Return accuracies by backbone, method and seed; NaN where a run is missing."""
        shape = (self.backbones, 4, self.seeds)
        if self.measured:
            noise = np.linalg.cholesky(measured_covariance()) @ draw.standard_normal(shape)
        else:
            share = 0.3 / 0.95
            common = draw.standard_normal((self.backbones, 1, self.seeds))
            pairs = share**0.5 * common + (1 - share) ** 0.5 * drawn(self.law, draw, (self.backbones, 2, self.seeds))
            noise = 0.5 * (0.95**0.5 * pairs[:, [0, 1, 0, 1]] + 0.05**0.5 * drawn(self.law, draw, shape))
        noise = noise * np.exp(draw.normal(0, self.unequal, (self.backbones, 1, 1)))
        values: Array = 80 + np.array([0.0, *self.gains])[None, :, None] + noise
        values[draw.random(shape) < self.missing] = np.nan
        return values


def drawn(law: str, draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return noise with mean 0 and variance 1."""
    if law == "normal":
        return np.asarray(draw.standard_normal(shape))
    if law == "skewed":
        return np.asarray(draw.exponential(size=shape) - 1)
    if law == "t(3)":
        return np.asarray(draw.standard_t(3, size=shape) / 3**0.5)
    return np.asarray((draw.standard_normal(shape) - 6 * (draw.random(shape) < 0.1) + 0.6) / (1 + 0.09 * 36) ** 0.5)


@cache
def measured_runs() -> pd.DataFrame:
    """Return the measured accuracies by seed, a column per method in the order of METHODS_2X2."""
    frame = pd.read_csv(RUNS, comment="#")
    return frame.pivot(index="seed", columns="method", values="final_test_top1")[list(METHODS_2X2)]


def measured_covariance() -> Array:
    return np.cov(measured_runs().to_numpy().T)


def answers(values: Array, questions: Sequence[Contrast]) -> list[Answer]:
    """Return the contrasts of each backbone over the seeds that have all their methods."""
    found = list[Answer]()
    for question in questions:
        for backbone, of_backbone in enumerate(values):
            by_method = dict(zip(METHODS_2X2, of_backbone, strict=True))
            own = {
                method: {seed: float(value) for seed, value in enumerate(by_method[method]) if value == value}
                for method in question.methods
            }
            differences = combined(question, own)
            if differences:
                found.append(
                    Answer(contrast=question, backbone=str(backbone), dataset="d", setting="", values=differences)
                )
    return found


def truth_of(contrast: Contrast, world: World) -> float:
    none, spt, lsa, both = 0.0, *world.gains
    if contrast.effect is not None:
        return ((spt - none) + (both - lsa)) / 2 if contrast.effect == "spt" else ((lsa - none) + (both - spt)) / 2
    return {"spt": spt, "lsa": lsa, "both": both}[contrast.method or ""]


def simulate(world: World, studies: int, statistics: Statistics) -> Iterator[list[Result]]:
    """Yield the judged gains of each study."""
    draw = np.random.default_rng([studies, world.backbones, world.seeds])
    for _ in range(studies):
        found = answers(world.accuracies(draw), GAINS)
        yield judged(found, family="primary", statistics=statistics)


def covered(world: World, studies: int) -> list[str]:
    """Return a line of the table of coverage and family-wise error."""
    plain, joint, wrong, total = 0, 0, 0, 0
    by_contrast = dict.fromkeys(GAINS, 0)
    for results in simulate(world, studies, Statistics()):
        seen = [result for result in results if result.has_interval]
        total += len(seen)
        plain += sum(result.low_plain <= 0 <= result.high_plain for result in seen)
        joint += sum(result.low <= 0 <= result.high for result in seen)
        wrong += any(result.verdict.startswith(("better", "worse")) for result in results)
        for result in seen:
            by_contrast[result.answer.contrast] += result.low_plain <= 0 <= result.high_plain
    per = [count / (total / len(GAINS)) for count in by_contrast.values()]
    return [
        world.law,
        str(3 * world.backbones),
        str(world.seeds),
        f"{world.unequal:g}" if world.backbones > 1 else "-",
        f"{100 * world.missing:.0f} %",
        f"{plain / total:.3f} ({min(per):.3f} to {max(per):.3f})",
        f"{joint / total:.4f} ({sidak_level(0.95, 3 * world.backbones):.4f})",
        share(wrong, studies),
        f"{studies:,}",
    ]


def power(world: World, studies: int) -> list[str]:
    """Return a line of the table of power: shares of contrasts decided, moderated and own."""
    shares = []
    for variance in ("moderated", "own"):
        results = [
            each
            for study in simulate(world, studies, Statistics.model_validate({"variance": variance}))
            for each in study
        ]
        gained = [each for each in results if each.answer.contrast.method == "spt"]
        shares.append(mean(each.verdict.startswith("better") for each in gained))
    ratio = shares[0] / shares[1] if shares[1] else math.inf
    return [
        f"{3 * world.backbones}", str(world.seeds), f"{world.unequal:g}", f"{world.gains[0]:g}", f"{shares[0]:.2f}",
        f"{shares[1]:.2f}", f"{ratio:.1f}", f"{studies:,}",
    ]  # fmt: skip


def share(count: int, of: int) -> str:
    """Return a share with its 95 % Wilson interval."""
    z, p = 1.96, count / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return f"{p:.3f} ({max(centre - half, 0):.3f} to {centre + half:.3f})"


# Cost of a verdict


def right(verdict: str, gain: float) -> bool:
    """Return whether a verdict on the main effect of SPT is right."""
    return verdict == "equivalent" if gain == 0 else verdict.startswith("better")


def own_t_and_tost(found: Sequence[Answer]) -> list[str]:
    """Return the verdicts of the usual way: paired t tests, and two one-sided tests of equivalence."""
    level = sidak_level(0.95, len(found))
    verdicts = []
    for answer in found:
        values = list(answer.values.values())
        test, equivalence = t_interval(values, level=level), t_interval(values, level=1 - 2 * (1 - level))
        if test.low > 0 or test.high < 0:
            verdicts.append("better" if test.low > 0 else "worse")
        else:
            verdicts.append("equivalent" if equivalence.low > -MARGIN and equivalence.high < MARGIN else "undecided")
    return verdicts


def by_judge(variance: str, found: Sequence[Answer]) -> list[str]:
    """Return the verdicts of a report."""
    statistics = Statistics.model_validate({"variance": variance})
    return [result.verdict for result in judged(found, family="primary", statistics=statistics)]


FIXED: dict[str, Callable[[Sequence[Answer]], list[str]]] = {
    "paired t and TOST": own_t_and_tost,
    "own variance": partial(by_judge, "own"),
    "moderated variance": partial(by_judge, "moderated"),
}


def fixed_cost(name: str, backbones: int, gain: float, studies: int) -> tuple[str, float | None, float]:
    """Return design, runs of the smallest design that is right in 80 of 100 studies, and the share it reaches."""
    rate = 0.0
    for seeds in (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 40, 50, MAX_SEEDS):
        world = World(backbones=backbones, seeds=seeds, gains=(gain, 0.0, gain), measured=True)
        draw = np.random.default_rng([seeds, backbones])
        hits = list[bool]()
        for _ in range(studies):
            found = answers(world.accuracies(draw), EFFECTS)
            verdicts = FIXED[name](found)
            hits += [
                right(verdict, gain)
                for answer, verdict in zip(found, verdicts, strict=True)
                if answer.contrast.effect == "spt"
            ]
        rate = mean(hits)
        if rate >= 0.8:
            return name, 4.0 * backbones * seeds, rate
    return name, None, rate


def sequential_cost(first: int, backbones: int, gain: float, studies: int) -> tuple[str, float | None, float]:
    """Return design, mean runs of the shortest seed rule that is right in 80 of 100 studies, and its share."""
    name, rate = f"sequential, min = {first}", 0.0
    for last in (first + 1, first + 2, 6, 8, 10, 12, 15, 20, 25, 30, 40, MAX_SEEDS):
        if last <= first:
            continue
        rule = SeedRule(min=first, max=last, until="decided")
        design = SequentialDesign(rule, len(EFFECTS) * backbones, Statistics())
        world = World(backbones=backbones, seeds=last, gains=(gain, 0.0, gain), measured=True)
        draw, hits, runs = np.random.default_rng([first, last, backbones]), list[bool](), list[int]()
        for _ in range(studies):
            values = world.accuracies(draw)
            found = [analyses(question, values, design) for question in EFFECTS]
            hits += [right(each.verdict, gain) for each in found[0]]
            runs.append(
                4 * sum(max(pair) for pair in zip(*([each.seeds for each in one] for one in found), strict=True))
            )
        rate = mean(hits)
        if rate >= 0.8:
            return name, mean(runs), rate
    return name, None, rate


def analyses(question: Contrast, values: Array, design: SequentialDesign) -> list[InterimAnalysis]:
    cells = [
        {
            method: dict(enumerate(map(float, of_method)))
            for method, of_method in zip(METHODS_2X2, of_backbone, strict=True)
        }
        for of_backbone in values
    ]
    return interim_analyses(question, cells, design)


def call(task: Task) -> Any:
    function, arguments = task
    return function(*arguments)


def coverage_tasks(studies: int) -> list[Task]:
    tasks: list[Task] = []
    for law in LAWS:
        for backbones in (1, 5, 20):
            for seeds in (2, 3, 5, 10):
                for unequal in (0.0,) if backbones == 1 else (0.0, 0.4):
                    tasks.append((covered, (World(law, backbones, seeds, unequal), studies)))
        tasks.append((covered, (World(law, 5, 5, 0.4, missing=0.1), studies)))
        tasks += [(covered, (World(law, backbones, 30, 0.0), max(studies // 10, 50))) for backbones in (1, 5)]
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2_000, help="simulated studies of a line")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    began, studies = time.monotonic(), options.studies
    with ProcessPoolExecutor() as pool:
        coverage = list(pool.map(call, coverage_tasks(studies)))
        worlds = [
            World("normal", 10, n, u, gains=(g, 0.0, 0.0)) for n in (3, 5) for u in (0.0, 0.4) for g in (0.5, 1.0)
        ]
        alone = [World("normal", 1, 3, gains=(1.5, 0.0, 0.0))]
        powers = list(pool.map(call, [(power, (world, studies // 2)) for world in (*worlds, *alone)]))
        costs = {}
        for backbones in (1, 5):
            for gain in (0.0, 1.0, 2.0, 0.5):
                each = max(studies // 4 // backbones, 60)
                tasks: list[Task] = [(fixed_cost, (name, backbones, gain, each)) for name in FIXED]
                tasks += [(sequential_cost, (first, backbones, gain, each)) for first in (3, 5)]
                costs[backbones, gain] = list(pool.map(call, tasks))
    text = document(coverage, powers, costs, studies=studies, seconds=time.monotonic() - began)
    options.out.write_text(text, encoding="utf-8")
    print(text)


def document(
    coverage: list[list[str]],
    powers: list[list[str]],
    costs: dict[tuple[int, float], list[tuple[str, float | None, float]]],
    *,
    studies: int,
    seconds: float,
) -> str:
    """Return the tables as Markdown."""
    made = (
        f"`make bench-verdict`, {studies:,} simulated studies per line (fewer where said), random seeds fixed; "
        f"{host().cpu}, Python {platform.python_version()}, numpy {version('numpy')}, scipy {version('scipy')}; "
        f"{seconds / 60:.0f} minutes."
    )
    parts = [
        "# Verdicts in simulated studies",
        made,
        "## Coverage and family-wise error",
        "Gains of spt, lsa and both over none, without any true effect. Noise of a method over seeds has a standard "
        "deviation of 0.5 points; none and lsa, spt and both correlate by .95, the others by .3. Unequal: standard "
        "deviation of the logarithm of a backbone's spread. Plain: share of 95 % intervals of single contrasts that "
        "cover (lowest and highest of the three contrasts). Joint: the same of simultaneous intervals (nominal). "
        "Error: share of studies that say better or worse anywhere (95 % interval).",
        markdown_table(
            ["noise", "contrasts", "seeds", "unequal", "missing", "plain", "joint", "error", "studies"], coverage
        ),
        "## Power",
        "Share of the true gains of spt that a study calls better, with moderated and with own variances, at equal "
        "family-wise error.",
        markdown_table(["contrasts", "seeds", "unequal", "gain", "moderated", "own", "ratio", "studies"], powers),
        "## Cost of a verdict",
        spreads_text(),
        "Training runs of a study of the 2x2 until the verdict on the main effect of SPT is right in 80 of 100 "
        f"studies: better for gains of 1 and 2 points, equivalent for 0 (margin {MARGIN} points; a gain of 0.5 lies at "
        "the margin: better). Questions: main effects of SPT and LSA on every backbone, family-wise error 5 %; LSA has "
        "no effect. Fixed designs: the smallest of them; seed rules: mean runs of the shortest. Ratios are to paired t "
        "tests with two one-sided tests of equivalence: with the number of seeds that suits this very gain, as if it "
        "were known in advance, and with the one number that is right for gains of 0, 1 and 2.",
        markdown_table(
            ["backbones", "gain", "design", "runs", "ratio, gain known", "ratio, gain unknown", "right"],
            list(cost_lines(costs)),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def cost_lines(costs: dict[tuple[int, float], list[tuple[str, float | None, float]]]) -> Iterator[list[str]]:
    for (backbones, gain), designs in costs.items():
        usual = designs[0][1]
        planned = [costs[backbones, each][0][1] for each in (0.0, 1.0, 2.0)]
        for name, runs, rate in designs:
            needed = f"over {4 * backbones * MAX_SEEDS}" if runs is None else f"{runs:.0f}"
            most = None if None in planned else max(each for each in planned if each is not None)
            yield [str(backbones), f"{gain:g}", name, needed, ratio(runs, usual), ratio(runs, most), f"{rate:.2f}"]


def ratio(runs: float | None, of: float | None) -> str:
    return "-" if runs is None or of is None else f"{runs / of:.2f}"


def spreads_text() -> str:
    """Return the measured spreads and correlations."""
    runs = measured_runs()
    values = {method: dict(enumerate(runs[method])) for method in METHODS_2X2}
    contrasts = [*GAINS, *EFFECTS, Contrast(effect="interaction")]
    spreads = list[str]()
    for each in contrasts:
        differences = combined(each, {method: values[method] for method in each.methods})
        spreads.append(f"{each.name} {np.std(list(differences.values()), ddof=1):.2f}")
    pairs = []
    for method in METHODS_2X2[1:]:
        found = correlation(list(zip(runs["none"], runs[method], strict=True)))
        assert found is not None
        pairs.append(f"none and {method} {found.value:.2f} ({found.low:.2f} to {found.high:.2f})")
    head = RUNS.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    return (
        f"Spreads are those of real runs: {head}, n = {len(runs)} seeds (`benchmarks/verdict_runs.csv`). Standard "
        f"deviation over seeds in points: {', '.join(spreads)}. Correlation over seeds, 95 % interval: "
        f"{', '.join(pairs)}."
    )


if __name__ == "__main__":
    main()
