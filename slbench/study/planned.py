"""Contrasts that the runs of a study will answer once they have finished."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slbench.differing import flat
from slbench.spec import to_dict
from slbench.stats.cells import ACCURACY
from slbench.stats.contrast import default_contrasts
from slbench.stats.contrasts import Answer, answers
from slbench.study.comparisons import PLAIN, is_decided
from slbench.study.runs import Study, StudyRun
from slbench.text import distinct

if TYPE_CHECKING:
    import pandas as pd


def planned_frame(runs: Sequence[StudyRun]) -> "pd.DataFrame":
    """Return the frame that runs would have, with accuracies of zero."""
    import pandas as pd

    def row(run: StudyRun) -> dict[str, object]:
        labels = run.labels
        names = {"backbone": labels.backbone, "method": labels.method, "dataset": labels.dataset}
        fields = {key: value for key, value in to_dict(run.spec).items() if key not in ("seed", "protocol")}
        return {**names, "seed": run.spec.seed, "protocol": run.spec.protocol, ACCURACY: 0.0, **flat(fields)}

    frame = pd.DataFrame([row(run) for run in runs], index=[run.spec.run_id for run in runs])
    return frame.where(frame.notna(), float("nan"))


def planned_answers(study: Study) -> list[Answer]:
    """Return the answers to the study's questions, the primary family, with invented values."""
    questions = study.contrasts
    if questions is None:
        questions = tuple(default_contrasts(distinct(run.labels.method for run in study.runs), PLAIN))
    found = answers(planned_frame(study.runs), questions, failures="withhold").values()
    return [answer for own in found for answer in own]


def answers_beside_rule(study: Study) -> tuple[str, ...]:
    """Return the name and cell of each planned answer that a seed rule does not decide: trends, means over backbones.

    They belong to the family whose error the rule keeps.
    """
    if all(is_decided(contrast) for contrast in study.contrasts or ()):
        return ()
    found = [answer for answer in planned_answers(study) if not is_decided(answer.contrast)]
    cells = (", ".join(filter(None, (f"{each.backbone} on {each.dataset}", each.setting))) for each in found)
    return tuple(sorted(f"{each.contrast.name}, {cell}" for each, cell in zip(found, cells, strict=True)))
