"""Option `--fail-skips` of pytest: a skipped test fails. `.ci/run` sets it, since it installs all that tests need."""

from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-skips", action="store_true", help="a skipped test is a failure, as in .ci/run")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return failed_if_skipped(report, item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return failed_if_skipped(report, collector.config)


def failed_if_skipped(report: Report, config: pytest.Config) -> Report:
    """Make the report of a skip one of a failure if the option is set; an expected failure is none."""
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("fail_skips"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{reason}; allowed: no skips (--fail-skips)"
    return report
