"""What the weight of the prior of variances costs and saves, and what a robust prior changes, by simulation."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from benchmarks.simulated import (
    CONTRASTS,
    Array,
    Spread,
    differences,
    half_width,
    means,
    own_spread,
    robust_spread_of,
    spread_of,
)
from slbench.stats.moderation import PLAIN_WEIGHT, PRIOR_WEIGHT
from slbench.stats.simultaneous import sidak_level

UNEQUAL, OUTLYING = 0.4, 4.0  # sd of the logarithms of the spreads; spread of the outlying cell
LIMITS = (3, 4, 6, 10, 30)
Row = Sequence[str]


def limit_rows(studies: int, seed: int) -> Iterator[Row]:
    """Yield coverage and family error for several limits of the prior's weight."""
    for cells, seeds in product((5, 20), (2, 3, 5)):
        source = np.random.default_rng([seed, 3, cells, seeds])
        both = [differences(source, (studies, cells, seeds), unequal=unequal) for unequal in (0.0, UNEQUAL)]
        for limit in LIMITS:
            found = [errors(values, spread_of(values, moderated=True, limit=limit)) for values in both]
            shares = [f"{coverage.mean():.3f}" for coverage, _ in found] + [f"{wrong:.3f}" for _, wrong in found]
            yield str(cells), str(seeds), str(limit), *shares


def robust_rows(studies: int, seed: int) -> Iterator[Row]:
    """Yield coverage, family error and width of own, moderated and robust variances."""
    conditions = {"equal": (0.0, 1.0), "unequal": (UNEQUAL, 1.0), "one cell outlying": (0.0, OUTLYING)}
    for cells, seeds, (name, (unequal, outlying)) in product((10, 20), (2, 3, 5), conditions.items()):
        values = differences(np.random.default_rng([seed, 4, cells, seeds]), (studies, cells, seeds), unequal=unequal)
        values[:, :, 0] *= outlying
        spreads = {
            "own": [own_spread(values)] * 2,
            "moderated": [spread_of(values, moderated=True, limit=limit) for limit in (PRIOR_WEIGHT, PLAIN_WEIGHT)],
            "robust": [robust_spread_of(values, limit) for limit in (PRIOR_WEIGHT, PLAIN_WEIGHT)],
        }
        widths = {kind: half_width(plain, seeds, 0.95)[:, :, 1:].mean() for kind, (_, plain) in spreads.items()}
        for kind, (joint, plain) in spreads.items():
            coverage, wrong = errors(values, plain)[0], errors(values, joint)[1]
            width = widths[kind] / widths["moderated"]
            yield (
                name, str(cells), str(seeds), kind, f"{coverage[:, :, 1:].mean():.3f}",
                f"{coverage[:, :, 0].mean():.3f}", f"{wrong:.3f}", f"{width:.2f}",
            )  # fmt: skip


def errors(values: Array, spread: Spread) -> tuple[Array, float]:
    """Return which plain intervals contain the true 0, and the family error at Šidák's level."""
    estimate, seeds = np.abs(means(values)), values.shape[-1]
    level = sidak_level(0.95, len(CONTRASTS) * values.shape[2])
    wrong = (estimate > half_width(spread, seeds, level)).any(axis=(1, 2)).mean()
    return np.asarray(estimate <= half_width(spread, seeds, 0.95), dtype=float), float(wrong)
