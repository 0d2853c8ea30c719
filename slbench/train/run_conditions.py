"""Conditions at the start of a run, which it keeps when it is resumed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from slbench import machine


@dataclass(frozen=True, kw_only=True)
class RunConditions:
    """Conditions at the start of a run, kept when it is resumed."""

    device_kind: str
    threads: int
    precision: Literal["bf16", "fp32"]
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    code: str = field(default_factory=lambda: machine.code().model_dump_json())
