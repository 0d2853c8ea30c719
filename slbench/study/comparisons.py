"""Comparisons that a seed rule decides: each declared contrast in each cell of the grid."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from slbench.errors import InputError
from slbench.stats.contrast import Contrast, default_contrasts
from slbench.study.runs import Comparison, StudyRun
from slbench.text import distinct
from slbench.validation import Override

PLAIN = "none"  # the method that others are compared with by default
Cell = dict[str, Override]


def comparisons(
    resolved: Iterable[tuple[Cell, StudyRun]],
    contrasts: Sequence[Contrast] | None,
    *,
    settings: Callable[[Cell], tuple[str, ...]],
    where: str,
) -> tuple[Comparison, ...]:
    """Return every contrast of methods in each cell that has them, distinct runs only.

    Trends and means over backbones are not decided by a rule; they use the runs that the other contrasts ask for, and
    count in the family whose error it keeps (`slbench.study.planned`).

    Args:
        contrasts: declared ones; None: each method against "none".
        settings: describes the values of a cell on the grid's other axes.
    Raises:
        InputError: for a method without its reference, and if nothing is left to compare.
    """
    groups = defaultdict[str, dict[str, tuple[Cell, StudyRun]]](dict)
    for cell, run in resolved:
        if run.spec.seed == 0:
            groups[pairing_key(cell)].setdefault(run.labels.method, (cell, run))
    nothing = "no contrast that a rule decides (a method against a reference, or an effect of the 2x2)"
    if contrasts is None:
        nothing = f"no method to compare with '{PLAIN}'"
        contrasts = default_contrasts(distinct(method for group in groups.values() for method in group), PLAIN)
    found = dict[tuple[Contrast, tuple[str, ...]], Comparison]()
    for contrast in filter(is_decided, contrasts):
        for group in groups.values():
            check_reference(contrast, group, where)
            runs = tuple(group[method][1] for method in contrast.methods if method in group)
            ids = tuple(run.spec.run_id for run in runs)
            if len(set(ids)) == len(contrast.methods):
                made = Comparison(contrast, runs, settings(group[contrast.methods[0]][0]))
                found.setdefault((contrast, ids), made)
    if not found:
        raise InputError(f"{where}: seeds: {nothing}; use fixed seeds: grid.seed or --seeds N")
    return tuple(found.values())


def is_decided(contrast: Contrast) -> bool:
    """Return whether a seed rule can decide a contrast."""
    return contrast.trend is None and contrast.over is None and len(contrast.methods) > 1


def check_reference(contrast: Contrast, group: Mapping[str, tuple[Cell, StudyRun]], where: str) -> None:
    """Raise InputError for a method in a cell without its reference."""
    method, reference = contrast.method, contrast.reference
    if method is not None and method in group and reference is not None and reference not in group:
        labels = group[method][1].labels
        raise InputError(
            f"{where}: seeds: method '{method}' of {labels.backbone} on {labels.dataset} has no method '{reference}' "
            "to compare with; add it to grid.method, or use fixed seeds: grid.seed or --seeds N"
        )


def pairing_key(cell: Cell) -> str:
    """Return a key that is equal for cells that differ only in method and seed."""
    return json.dumps(
        {path: entry.value for path, entry in cell.items() if path not in ("method", "seed")}, default=str
    )
