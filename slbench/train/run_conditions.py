"""Conditions at the start of a run, which it keeps when it is resumed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from slbench import machine
from slbench.files import read_json
from slbench.run_paths import RunPaths
from slbench.validation import checked

VERSIONS = ("torch", "slbench")  # packages of which a resumed run keeps the version


@dataclass(frozen=True, kw_only=True)
class RunConditions:
    """Conditions at the start of a run, kept when it is resumed."""

    device_kind: str
    device_name: str = ""  # product name of the processor or GPU; empty: unknown (a checkpoint of an older version)
    threads: int
    precision: Literal["bf16", "fp32"]
    compiled: bool = False  # whether torch.compile compiled the training steps
    not_compiled: str = ""  # why not, if the run was to be compiled
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    code: str = field(default_factory=lambda: machine.code().model_dump_json())

    @classmethod
    def of_checkpoint(cls, paths: RunPaths) -> "RunConditions | None":
        """Return the conditions of a run that has a checkpoint, without opening that; None if they are unknown."""
        content = read_json(paths.conditions) if paths.conditions.exists() else None
        try:
            conditions: RunConditions | None = (
                None if content is None else checked(cls, content, where=str(paths.conditions))
            )
        except ValueError:
            return None
        return conditions

    def mismatch(self, here: "RunConditions") -> str | None:
        """Return why a run that began under these conditions does not continue bit by bit here; None if it does."""
        began, now = self._decisive(), here._decisive()
        for name in began.keys() & now.keys():
            if began[name] != now[name]:
                return f"{name} {began[name]}, not {now[name]}"
        return None

    def _decisive(self) -> dict[str, str]:
        """Return what must not change while a run trains, as far as it is known."""
        versions = machine.Code.model_validate_json(self.code).versions
        known = {"device kind": self.device_kind, "device": self.device_name}
        known |= {name: versions.get(name, "") for name in VERSIONS}
        return {name: value for name, value in known.items() if value}
