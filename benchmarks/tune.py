"""Cost of a search in training images: the default against random search without pruning.

A search has converged once its recommended setting has 90 % of the true gain of the best point of an exhaustive grid
over the paper's setting, until its last trial. One that never does is counted, at the cost of all its trials without
pruning. Accuracies are simulated, with learning curves and noise, in several worlds; with --curves FILE they are those
of a trained grid (search.json of a search with --sampler grid). Nothing here is timed.
"""

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from benchmarks.world import World
from slbench.rng import derive
from slbench.study import StudyRun
from slbench.tuning.search import MethodSearch, SearchConfig, TrialOutcome
from slbench.tuning.search_file import NOTHING, SearchFile, space_of
from slbench.tuning.space import SHIFT, TEMPERATURE, TEMPERATURES, Value, default_shift
from slbench.tuning.strategy import DEFAULT_PRUNER, DEFAULT_SAMPLER, PRUNERS, SAMPLERS, PrunerName, SamplerName
from slbench.tuning.target import TuningTarget

EPOCHS, SEEDS, TRIALS, SLOTS = 10, 3, 40, 2
SHARE = 0.9  # share of the exhaustive grid's gain
REPEATS = 16
Setting = Mapping[str, Value]
Arm = tuple[SamplerName, PrunerName]
DEFAULT: Arm = (DEFAULT_SAMPLER, DEFAULT_PRUNER)
PLAIN: Arm = ("random", "none")


@dataclass(frozen=True)
class Landscape:
    """Simulated world: true accuracy of a setting, and the curves of its runs.

    The accuracy falls with the square of the distance from an optimum, in octaves of temperature and shares of a
    patch, and levels off far from it. Curves saturate; higher initial temperatures learn a little slower, so that
    curves cross.
    """

    name: str
    patch_size: int
    temperature: float  # of the optimum
    shift: float  # of the optimum, in patches
    gain: float  # of the optimum over the paper's setting, in points
    noise: float  # standard deviation of a run around the expectation of its seed and setting, in points
    epochs: int = EPOCHS

    @property
    def target(self) -> TuningTarget:
        return TuningTarget(
            "vit",
            "fashion-mnist-12k",
            "both",
            changes={"recipe.epochs": self.epochs, "backbone.patch_size": self.patch_size},
        )

    @property
    def search_file(self) -> SearchFile:
        return NOTHING

    @property
    def margin(self) -> float:
        """Standard error of a validation accuracy with this noise; two runs share half of it."""
        return 2 * self.noise

    def settings(self) -> list[dict[str, Value]]:
        """Points of the exhaustive grid."""
        shifts = range(1, self.patch_size + 1)
        return [{TEMPERATURE: t, SHIFT: s} for t in TEMPERATURES for s in shifts]

    def true(self, setting: Setting) -> float:
        """Return the expected accuracy of a setting in %."""
        scale = self.gain / self._badness({TEMPERATURE: 1.0, SHIFT: self.patch_size // 2})
        return 80 - 6 * math.tanh(scale * self._badness(setting) / 6)

    def _badness(self, setting: Setting) -> float:
        octaves = math.log2(float(setting[TEMPERATURE]) / self.temperature)
        return octaves**2 / 2 + 4 * (float(setting[SHIFT]) / self.patch_size - self.shift) ** 2

    def curve(self, setting: Setting, seed: int, *, repeat: int) -> tuple[float, ...]:
        """Return a run's accuracy after each epoch: setting, seed effect and noise."""
        shared = random.Random(derive(repeat, self.name, "seed", seed)).gauss(0, 0.4)
        own = random.Random(derive(repeat, self.name, "run", seed, repr(sorted(setting.items()))))
        final = self.true(setting) + shared + own.gauss(0, self.noise)
        slowness = self.epochs / (5 - 0.5 * math.log2(float(setting[TEMPERATURE])))
        left = [math.exp(-epoch / slowness) - math.exp(-self.epochs / slowness) for epoch in range(1, self.epochs + 1)]
        return tuple(final - 50 * share + own.gauss(0, self.noise / 2) * (share > 0) for share in left)


@dataclass(frozen=True)
class Recorded:
    """Trained grid: the curves of each point over its seeds; the truth is the mean over the seeds."""

    name: str
    target: TuningTarget
    search_file: SearchFile
    curves: Mapping[tuple[float, int], Sequence[tuple[float, ...]]]
    margin: None = None  # of its data

    def settings(self) -> list[dict[str, Value]]:
        return [{TEMPERATURE: temperature, SHIFT: shift} for temperature, shift in self.curves]

    def nearest(self, setting: Setting) -> tuple[float, int]:
        """Return the nearest point of the grid."""

        def distance(point: tuple[float, int]) -> float:
            octaves = math.log2(point[0] / float(setting[TEMPERATURE]))
            return abs(octaves) + abs(point[1] - float(setting[SHIFT])) / 2

        return min(self.curves, key=distance)

    def true(self, setting: Setting) -> float:
        return statistics.mean(curve[-1] for curve in self.curves[self.nearest(setting)])

    def curve(self, setting: Setting, seed: int, *, repeat: int) -> tuple[float, ...]:
        """Return the curve of one of the point's seeds, shuffled per repetition."""
        seeds = list(range(len(next(iter(self.curves.values())))))
        random.Random(derive(repeat, "order")).shuffle(seeds)
        return tuple(self.curves[self.nearest(setting)][seeds[seed % len(seeds)]])


Truth = Landscape | Recorded
WORLDS = [
    Landscape("ViT, patch 8, clear", 8, 0.4, 0.75, gain=1.0, noise=0.15),
    Landscape("ViT, patch 8, noisy", 8, 0.4, 0.75, gain=1.0, noise=0.5),
    Landscape("ViT, patch 4, cold", 4, 0.25, 0.25, gain=1.5, noise=0.3),
    Landscape("ViT, patch 4, hot", 4, 2.5, 0.5, gain=0.8, noise=0.3),
    Landscape("Swin, patch 2", 2, 0.35, 1.0, gain=0.8, noise=0.3),
]


@dataclass(frozen=True)
class Outcome:
    """Cost of a search until it converged, and whether it did."""

    epochs: int  # of all its trials unpruned if it never converged
    arrived: bool
    total: int  # epochs of all its trials


def search_once(truth: Truth, arm: Arm, *, repeat: int, trials: int, seeds: int) -> Outcome:
    """Run one repetition of a search."""
    sampler, pruner = arm
    target = truth.target
    space = space_of(target, truth.search_file)
    own = default_shift(target.spec())
    threshold = goal(truth, own)
    seen: list[tuple[int, bool]] = []
    best: list[TrialOutcome] = []

    def curve(run: StudyRun) -> tuple[float, ...]:
        return truth.curve(setting_of(run, own), run.spec.seed, repeat=repeat)

    def hear(outcome: TrialOutcome) -> None:
        if outcome.state == "complete" and (not best or (outcome.value or 0) > (best[-1].value or 0)):
            best.append(outcome)
        if best:
            seen.append((world.epochs, truth.true(best[-1].setting) >= threshold))

    study = optuna.create_study(direction="maximize", study_name=f"bench-{repeat}")
    config = SearchConfig(
        name="bench", trials=trials, seeds=seeds, sampler=sampler, pruner=pruner, seed=repeat, parallel=SLOTS > 1
    )
    world = World(cached(curve), slots=SLOTS, on_outcome=hear)
    world.search([MethodSearch(target, space, study, config=config, margin=truth.margin)])
    late = [index for index, (_, there) in enumerate(seen) if not there]
    first = late[-1] + 1 if late else 0
    arrived = first < len(seen)
    most = trials * seeds * target.spec().recipe.epochs
    return Outcome(seen[first][0] if arrived else most, arrived, world.epochs)


def cached(curve: Callable[[StudyRun], tuple[float, ...]]) -> Callable[[StudyRun], tuple[float, ...]]:
    known: dict[str, tuple[float, ...]] = {}

    def look_up(run: StudyRun) -> tuple[float, ...]:
        if run.spec.run_id not in known:
            known[run.spec.run_id] = curve(run)
        return known[run.spec.run_id]

    return look_up


def setting_of(run: StudyRun, own: int) -> dict[str, Value]:
    """Return the setting of a run."""
    method = run.spec.method
    pixels = own if method.shift_pixels is None else method.shift_pixels
    return {TEMPERATURE: method.initial_temperature, SHIFT: pixels}


def goal(truth: Truth, own: int) -> float:
    """Return the true accuracy at which a search has converged."""
    paper = truth.true({TEMPERATURE: 1.0, SHIFT: own})
    return paper + SHARE * (max(truth.true(point) for point in truth.settings()) - paper)


def load_curves(path: Path) -> Recorded:
    """Load the curves of a grid from its search.json: of its last method.

    Only last epochs are stored of further seeds: their curves are the first seed's, shifted to end there.
    """
    content = json.loads(path.read_text())
    (row,) = content["rows"]
    curves = {}
    for trial in row["trials"]:
        first = trial["curve"]
        shifted = [tuple(value + final - first[-1] for value in first) for final in trial["by_seed"]]
        curves[float(trial["setting"][TEMPERATURE]), int(trial["setting"][SHIFT])] = shifted
    changes = {"recipe.epochs": content["epochs"], "backbone.patch_size": 8}
    target = TuningTarget("vit", "fashion-mnist-12k", row["method"], changes=changes)
    return Recorded(f"{content['name']}: {len(curves)} points trained", target, NOTHING, curves)


def describe(truth: Truth, arms: Sequence[Arm], *, repeats: int, trials: int, seeds: int) -> dict[Arm, list[Outcome]]:
    """Run the searches of every arm in one world and print a line on each."""
    print(f"\n{truth.name}")
    found = {
        arm: [search_once(truth, arm, repeat=repeat, trials=trials, seeds=seeds) for repeat in range(repeats)]
        for arm in arms
    }
    plain = found[PLAIN]
    for arm, outcomes in found.items():
        ratio, low, high = ratio_of(outcomes, plain)
        arrived = sum(outcome.arrived for outcome in outcomes)
        epochs = [outcome.epochs for outcome in outcomes]
        whole = statistics.mean(outcome.total for outcome in outcomes) / (
            trials * seeds * truth.target.spec().recipe.epochs
        )
        quartiles = "{:.0f}, {:.0f}, {:.0f}".format(*statistics.quantiles(epochs, n=4))
        print(
            f"  {'-'.join(arm):<17} epochs to arrive {quartiles:<15} arrived {arrived:>2} of {repeats}  all trials "
            f"{100 * whole:3.0f} %  over random-none {ratio:.2f} ({low:.2f} to {high:.2f})"
            f"{'  <- default' if arm == DEFAULT else ''}"
        )
    return found


def ratio_of(outcomes: Sequence[Outcome], plain: Sequence[Outcome]) -> tuple[float, float, float]:
    """Return the ratio of mean costs to random search without pruning, with a bootstrapped 95 % interval."""
    chance = random.Random(0)
    pairs = list(zip(outcomes, plain, strict=True))

    def ratio(drawn: Sequence[tuple[Outcome, Outcome]]) -> float:
        mine, its = zip(*((mine.epochs, its.epochs) for mine, its in drawn), strict=True)
        return float(sum(mine) / sum(its))

    drawn = sorted(ratio(chance.choices(pairs, k=len(pairs))) for _ in range(2000))
    return ratio(pairs), drawn[49], drawn[1949]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, help="search.json of a grid that was trained")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--arms", default="", help="others than the default: gp-median,tpe-none; or all")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    every = [(sampler, pruner) for sampler in SAMPLERS.values() if sampler != "grid" for pruner in PRUNERS.values()]
    named = [(sampler, pruner) for sampler, pruner in every if f"{sampler}-{pruner}" in given.arms.split(",")]
    arms = every if given.arms == "all" else [PLAIN, *(arm for arm in named if arm not in (PLAIN, DEFAULT)), DEFAULT]
    truths: list[Truth] = [load_curves(given.curves)] if given.curves else list(WORLDS)
    print(
        f"Searches of {given.trials} trials of {given.seeds} seeds, {SLOTS} at a time, {given.repeats} repetitions; "
        f"optuna {optuna.__version__}.\nEpochs of all runs together, so training images, until {100 * SHARE:.0f} % of "
        "the exhaustive grid's gain is reached and kept: quartiles; mean over that of random search without pruning, "
        "with its 95 % interval. A search that never arrives is charged what all its trials cost unpruned."
    )
    for truth in truths:
        describe(truth, arms, repeats=given.repeats, trials=given.trials, seeds=given.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
