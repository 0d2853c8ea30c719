"""The battery classifies what a command did."""

import pytest

from tests.hostile.case import Case, Expected, Outcome, Result, outcome_of

LINE = "slbench: x.toml: titel: unknown key\n"


@pytest.mark.parametrize(
    ("expected", "code", "err", "written", "outcome"),
    [
        (Expected.REFUSED, 2, LINE, (), Outcome.RIGHT),
        (Expected.REFUSED, 0, "", (), Outcome.ACCEPTED),
        (Expected.REFUSED, 2, LINE * 2, (), Outcome.FORM),
        (Expected.REFUSED, 1, LINE, (), Outcome.FORM),
        (Expected.REFUSED, 2, LINE, ("results/x",), Outcome.WROTE),
        (Expected.REFUSED, 2, LINE, ("pwned",), Outcome.EXECUTED),
        (Expected.REFUSED, 1, "Traceback (most recent call last)\n", (), Outcome.TRACEBACK),
        (Expected.REFUSED, 1, "MemoryError\n", (), Outcome.MEMORY),
        (Expected.REFUSED, None, "", (), Outcome.ENDLESS),
        (Expected.REFUSED, 2, "slbench: \x1b[31m\n", (), Outcome.CONTROL),
        (Expected.ACCEPTED, 0, "", (), Outcome.RIGHT),
        (Expected.ACCEPTED, 2, LINE, (), Outcome.REFUSED),
        (Expected.NAMED, 1, "titel", (), Outcome.RIGHT),
        (Expected.NAMED, 0, "titel", (), Outcome.SILENT),
        (Expected.SAID, 0, "nothing", (), Outcome.SILENT),
        (Expected.HANDLED, 1, "titel", (), Outcome.RIGHT),
    ],
)
def test_a_command_is_right_only_with_the_required_code_form_and_words(
    expected: Expected, code: int | None, err: str, written: tuple[str, ...], outcome: Outcome
) -> None:
    case = Case("group", "name", ("status",), expected, words=("titel",) if expected is not Expected.ACCEPTED else ())
    result = Result(code, "", err, seconds=1.0, peak_bytes=0, written=written)
    assert outcome_of(case, result, max_bytes=1) is outcome
