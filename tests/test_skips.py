"""A skip is a failure where `.ci/run` says so."""

import pytest

from tests.support import ROOT

pytest_plugins = ["pytester"]
TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no program A")
def test_a(): pass

def test_b(): pytest.skip("no program B")

@pytest.mark.xfail(reason="known")
def test_c(): assert False

def test_d(): pass
"""


def test_a_skipped_test_or_file_fails_with_its_reason_only_where_asked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_x=TESTS, test_y='import pytest\npytest.importorskip("nothing_of_this_name")')
    plain = ["-p", "tests.skips", "-p", "no:cacheprovider"]
    pytester.runpytest_inprocess(*plain).assert_outcomes(passed=1, skipped=3, xfailed=1)
    strict = pytester.runpytest_inprocess(*plain, "--fail-skips", "--continue-on-collection-errors")
    strict.assert_outcomes(passed=1, failed=1, errors=2, xfailed=1)
    strict.stdout.fnmatch_lines(["*nothing_of_this_name*", "*no program A*", "*no program B*"])


def test_ci_runs_every_test_and_fails_at_skips() -> None:
    commands = (ROOT / ".ci/run").read_text().splitlines()
    assert {"flags=--fail-skips", "make test test-slow PYTEST_FLAGS=$flags"} <= set(commands)
    assert (ROOT / "Makefile").read_text().count("$(PYTEST_FLAGS)") == 2
