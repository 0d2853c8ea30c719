"""Comparisons that a seed rule decides: each declared contrast in each cell of the grid."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from slbench.errors import InputError
from slbench.stats.contrast import Contrast, default_contrasts
from slbench.study.runs import Comparison, StudyRun
from slbench.text import distinct
from slbench.validation import Override

PLAIN = "none"  # the method that others are compared with by default
Cell = dict[str, Override]
Group = dict[str, tuple[Cell, StudyRun]]  # by side of a contrast


def comparisons(
    resolved: Iterable[tuple[Cell, StudyRun]],
    contrasts: Sequence[Contrast] | None,
    *,
    settings: Callable[[Cell], tuple[str, ...]],
    where: str,
) -> tuple[Comparison, ...]:
    """Return every contrast of methods or values in each cell that has them, distinct runs only.

    Trends and means over backbones are not decided by a rule; they use the runs that the other contrasts ask for, and
    count in the family whose error it keeps (`slbench.study.planned`).

    Args:
        contrasts: declared ones; None: each method against "none".
        settings: describes the values of a cell on the grid's other axes.
    Raises:
        InputError: for a method without its reference, and if nothing is left to compare.
    """
    firsts = [(cell, run) for cell, run in resolved if run.spec.seed == 0]
    by_method = groups_of(firsts)
    nothing = "no contrast that a rule decides (a method against a reference, two values, or an effect of the 2x2)"
    if contrasts is None:
        nothing = f"no method to compare with '{PLAIN}'"
        contrasts = default_contrasts(distinct(method for group in by_method for method in group), PLAIN)
    found = dict[tuple[Contrast, tuple[str, ...]], Comparison]()
    for contrast in filter(is_decided, contrasts):
        for group in by_method if contrast.field is None else groups_of(firsts, contrast):
            check_reference(contrast, group, where)
            runs = tuple(group[side][1] for side in contrast.sides if side in group)
            ids = tuple(run.spec.run_id for run in runs)
            if len(set(ids)) == len(contrast.sides):
                others = tuple(each for each in settings(group[contrast.sides[0]][0]) if each not in contrast.sides)
                found.setdefault((contrast, ids), Comparison(contrast, runs, others))
    if not found:
        raise InputError(f"{where}: seeds: {nothing}; use fixed seeds: grid.seed or --seeds N")
    return tuple(found.values())


def groups_of(resolved: Iterable[tuple[Cell, StudyRun]], contrast: Contrast | None = None) -> list[Group]:
    """Return groups of cells that differ only in method and seed, by method.

    Args:
        contrast: of two values of a field, by which cells are grouped that differ only in them and the seed.
    """
    field = None if contrast is None else contrast.field
    groups = defaultdict[str, Group](dict)
    for cell, run in resolved:
        side = run.labels.method if contrast is None or field is None else contrast.side_of(run.value(field))
        if side is not None:
            groups[pairing_key(cell, apart=field or "method")].setdefault(side, (cell, run))
    return list(groups.values())


def is_decided(contrast: Contrast) -> bool:
    """Return whether a seed rule can decide a contrast."""
    return contrast.trend is None and contrast.over is None and len(contrast.sides) > 1


def check_reference(contrast: Contrast, group: Group, where: str) -> None:
    """Raise InputError for a method in a cell without its reference."""
    method, reference = contrast.method, contrast.reference
    if method is not None and method in group and reference is not None and reference not in group:
        labels = group[method][1].labels
        raise InputError(
            f"{where}: seeds: method '{method}' of {labels.backbone} on {labels.dataset} has no method '{reference}' "
            "to compare with; add it to grid.method, or use fixed seeds: grid.seed or --seeds N"
        )


def pairing_key(cell: Cell, *, apart: str) -> str:
    """Return a key that is equal for cells that differ only in the seed and one other axis."""
    return json.dumps({path: entry.value for path, entry in cell.items() if path not in (apart, "seed")}, default=str)
