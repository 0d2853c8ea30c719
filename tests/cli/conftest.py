"""Fixtures that run the command line in this process."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slbench.cli import main
from tests.cli.json_check import check_document
from tests.support import TINY_STUDY, missing


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    def check_error(self, *words: object) -> None:
        """Check for exit code 2, no output, and one line with all words on stderr."""
        assert (self.code, self.out) == (2, "")
        assert self.err.startswith("slbench: ") and self.err.count("\n") == 1
        assert not missing(self.err, *words)


Command = Callable[..., Result]


@pytest.fixture
def slbench(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Return a function that runs a command in this process; documents of `--json` are compared with their schemas."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        if "--json" in arguments and out:
            check_document([str(argument) for argument in arguments], out)
        return Result(code, out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def verified_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `doctor` take the bundled images as verified, which takes seconds."""
    monkeypatch.setattr("slbench.cli.doctor.verify", lambda *_, **__: None)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file of two runs that train in a second."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY)
    return path
