"""What is tuned: a row of an ablation on a backbone and a data set, and the runs that a setting of it makes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slbench.record import Keep
from slbench.spec import Protocol, RunSpec
from slbench.study import StudyRun, make_study

WHERE = "command line"


@dataclass(frozen=True)
class TuningTarget:
    """A row, and what the user has set around it."""

    backbone: str
    dataset: str  # as the user named it: also npz:PATH, folder:PATH
    method: str
    recipe: str = "quick"
    changes: Mapping[str, Any] = None  # type: ignore[assignment]  # dotted paths, as --set has them

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", dict(self.changes or {}))

    def runs(
        self, values: Mapping[str, Any], *, seeds: Sequence[int], protocol: Protocol = "holdout", keep: Keep = "none"
    ) -> tuple[StudyRun, ...]:
        """The runs of a setting, one a seed; without values those of the row as it is.

        Raises:
            InputError: for a setting that makes no run, as `command line: set.PATH: what, what is allowed`.
        """
        content = self._content(values, seeds=seeds, protocol=protocol, keep=keep)
        return make_study(content, name="tuning", where=WHERE).runs

    def spec(self, values: Mapping[str, Any] = {}) -> RunSpec:
        """The run of a setting with seed 0, every default written out."""
        return self.runs(values, seeds=[0])[0].spec

    def study_file(
        self,
        values: Mapping[str, Any],
        *,
        seeds: Sequence[int],
        protocol: Protocol,
        title: str,
        comments: Sequence[str],
    ) -> str:
        """A study file in TOML that makes the runs of a setting and nothing else."""
        content = {"title": title, **self._content(values, seeds=seeds, protocol=protocol, keep="last")}
        tables = {head: content.pop(head) for head in ("grid", "set")}
        lines = [*(f"# {comment}" for comment in comments), "", *(pair(*entry) for entry in content.items())]
        for head, table in tables.items():
            if table:
                lines += ["", f"[{head}]", *(pair(path, value) for path, value in table.items())]
        return "\n".join(lines) + "\n"

    def _content(
        self, values: Mapping[str, Any], *, seeds: Sequence[int], protocol: Protocol, keep: Keep
    ) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "protocol": protocol,
            "keep": keep,
            "grid": {
                "backbone": [self.backbone],
                "method": [self.method],
                "dataset": [self.dataset],
                "seed": list(seeds),
            },
            "set": {**self.changes, **values},
        }


def pair(key: str, value: Any) -> str:
    """A line of TOML. JSON writes numbers, text, booleans and lists of them as TOML has them."""
    return f"{json.dumps(key) if '.' in key else key} = {json.dumps(value, ensure_ascii=False)}"
