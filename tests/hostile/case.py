"""Case of the battery: a command, the files it finds, and what it must do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

SECONDS = 60.0
Prepare = Callable[[Path], object]  # creates what a case needs in its folder


class Expected(StrEnum):
    """What a command must do. Never a traceback, a control character in the output, or no end."""

    REFUSED = "one line on stderr, exit code 2, nothing written"
    ACCEPTED = "exit code 0, nothing on stderr"
    NAMED = "exit code 1, and the output names the fault"
    SAID = "exit code 0, and the output names the fault"
    HANDLED = "exit code 0 or 1, or one line and exit code 2"


class Outcome(StrEnum):
    """What a command did."""

    RIGHT = "as required"
    ACCEPTED = "accepted, not refused"
    REFUSED = "refused, not accepted"
    SILENT = "fault not named"
    FORM = "other exit code or form"
    WROTE = "refused, but wrote files"
    CONTROL = "control characters"
    TRACEBACK = "traceback"
    EXECUTED = "code executed"
    ENDLESS = "no end"
    MEMORY = "memory"


@dataclass(frozen=True)
class Case:
    """A command and what it must do.

    Args:
        group: line of the table of counts.
        arguments: of the command line; the command runs in the folder of the case.
        prepare: creates the files of the case.
        words: in the output, whatever the case expects.
        never: not in the output.
        seconds: after which the command is killed.
        logs: pattern of files that belong to the output, such as the logs of worker processes.
        store: copy the golden store to `results` first.
    """

    group: str
    name: str
    arguments: tuple[str, ...]
    expected: Expected
    prepare: tuple[Prepare, ...] = ()
    words: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    store: bool = False
    logs: str = ""
    seconds: float = SECONDS


@dataclass(frozen=True)
class Result:
    """End of a process."""

    code: int | None  # None: killed at the limit of time
    out: str
    err: str
    seconds: float
    peak_bytes: int
    written: tuple[str, ...] = ()  # new or changed files


@dataclass
class Table:
    """Cases of a group that share files and arguments."""

    group: str
    prepare: tuple[Prepare, ...] = ()
    store: bool = False
    logs: str = ""
    seconds: float = SECONDS
    cases: list[Case] = field(default_factory=list)

    def add(
        self,
        name: str,
        arguments: Iterable[str],
        expected: Expected = Expected.REFUSED,
        *prepare: Prepare,
        words: tuple[str, ...] = (),
        never: tuple[str, ...] = (),
    ) -> None:
        every = (*self.prepare, *prepare)
        self.cases.append(
            Case(self.group, name, tuple(arguments), expected, every, words, never, self.store, self.logs, self.seconds)
        )

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)


def file(name: str, content: bytes | str) -> Prepare:
    """Return a preparation that writes a file."""

    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def outcome_of(case: Case, result: Result, *, max_bytes: int) -> Outcome:
    """Return what a command did, compared with what it must do."""
    if any("pwned" in path for path in result.written):
        return Outcome.EXECUTED
    if result.code is None:
        return Outcome.ENDLESS
    output = result.out + result.err
    if "MemoryError" in output or "DefaultCPUAllocator" in output or result.peak_bytes > max_bytes:
        return Outcome.MEMORY
    if "Traceback (most recent call last)" in output or result.code not in (0, 1, 2):
        return Outcome.TRACEBACK
    if has_control_characters(output):
        return Outcome.CONTROL
    return compared(case, result, output)


def compared(case: Case, result: Result, output: str) -> Outcome:
    """Return whether exit code, form and words are those required."""
    one_line = result.err.startswith("slbench: ") and result.err.count("\n") == 1
    refused = result.code == 2 and one_line
    named = all(word in output for word in case.words) and not any(word in output for word in case.never)
    match case.expected:
        case Expected.REFUSED if result.code == 0:
            return Outcome.ACCEPTED
        case Expected.REFUSED if refused and result.written:
            return Outcome.WROTE
        case Expected.REFUSED if refused:
            return Outcome.RIGHT if named else Outcome.SILENT
        case Expected.ACCEPTED | Expected.SAID if refused:
            return Outcome.REFUSED
        case Expected.ACCEPTED | Expected.SAID if result.code == 0:
            return Outcome.RIGHT if named else Outcome.SILENT
        case Expected.NAMED if result.code in (0, 1):
            return Outcome.RIGHT if named and result.code == 1 else Outcome.SILENT
        case Expected.HANDLED if result.code in (0, 1) or refused:
            return Outcome.RIGHT if named else Outcome.SILENT
    return Outcome.FORM


def has_control_characters(text: str) -> bool:
    return any((character < " " and character not in "\n\t\r") or "\x7f" <= character < "\xa0" for character in text)
