"""Fixtures of tests with users' files: nothing is named or loaded before a test, nor after it."""

import pytest

from slbench import registrations, user_files


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_files, "named", {})
    monkeypatch.setattr(user_files, "loaded", {})
    monkeypatch.delenv(user_files.VARIABLE, raising=False)
    registrations.installed.cache_clear()
