"""Check networks made of others' code before a grid runs them. Free of torch without such networks."""

from collections.abc import Iterable

from slbench.backbones.specs import ForeignSpec
from slbench.spec import RunSpec
from slbench.study import StudyRun


def check_models_of(runs: Iterable[StudyRun]) -> list[str]:
    """Build each distinct network of other packages or of users' files, and pass it images of its data set's shape.

    Returns:
        Notes on what methods leave as it was, once for a backbone and method.

    Raises:
        InputError, InapplicableError: for the first that does not fit; see `slbench.foreign.check`.
    """
    networks = [(f"{run.labels.backbone}, {run.labels.method}", run.spec) for run in runs if is_others(run.spec)]
    if not networks:
        return []
    from slbench.foreign.check import check_models

    return check_models(
        (title, (run.backbone, run.method, run.dataset.shape, run.recipe.drop_path)) for title, run in networks
    )


def is_others(run: RunSpec) -> bool:
    """Return whether a network runs code that is not of slbench."""
    return isinstance(run.backbone, ForeignSpec) or bool(run.method.own_tokenizer or run.method.own_scores)
