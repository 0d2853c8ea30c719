"""Tuning target: a method on a backbone and data set, and the runs of its settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slbench.backbones.specs.foreign import with_absolute_path
from slbench.data.config import DataConfig
from slbench.record import Keep
from slbench.spec import Protocol, RunSpec
from slbench.study import Flags, StudyRun, make_study

WHERE = "command line"


@dataclass(frozen=True)
class TuningTarget:
    """A method with the settings of the user."""

    backbone: str
    dataset: str  # also npz:PATH, folder:PATH
    method: str
    recipe: str = "quick"
    changes: Mapping[str, Any] = None  # type: ignore[assignment]  # by dotted path, as in --set
    data: DataConfig | None = None
    plugins: tuple[str, ...] = ()  # of the user

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", dict(self.changes or {}))
        object.__setattr__(self, "backbone", with_absolute_path(self.backbone))  # its study is written elsewhere
        object.__setattr__(self, "plugins", tuple(str(Path(file).absolute()) for file in self.plugins))

    def runs(
        self, values: Mapping[str, Any], *, seeds: Sequence[int], protocol: Protocol = "holdout", keep: Keep = "none"
    ) -> tuple[StudyRun, ...]:
        """Return the runs of a setting, one per seed; without values those of the default setting.

        Raises:
            InputError: for an invalid setting, as `--set PATH: problem`.
        """
        content = self._content(values, seeds=seeds, protocol=protocol, keep=keep)
        overrides = {key: content.pop(key) for key in ("grid", "set", "recipe")}
        return make_study(
            content, name="tuning", where=WHERE, flags=Flags(**overrides, data=self.data, plugins=self.plugins)
        ).runs

    def spec(self, values: Mapping[str, Any] = {}) -> RunSpec:
        """Return the resolved spec of a setting with seed 0."""
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
        """Return a TOML study file with exactly the runs of a setting."""
        plugins = {"plugins": list(self.plugins)} if self.plugins else {}
        content = {"title": title, **plugins, **self._content(values, seeds=seeds, protocol=protocol, keep="last")}
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
    """Return a line of TOML; JSON and TOML agree on numbers, text, booleans and lists."""
    return f"{json.dumps(key) if '.' in key else key} = {json.dumps(value, ensure_ascii=False)}"
