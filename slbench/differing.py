"""Which fields tell runs apart."""

import json
from collections.abc import Mapping
from typing import Any


def flat(nested: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Return nested keys joined by underscores; lists become JSON text, which no CSV reader takes for a number."""
    columns: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            columns |= flat(value, f"{head}{key}_")
        elif isinstance(value, list | tuple):
            columns[head + key] = json.dumps(value)
        else:
            columns[head + key] = value
    return columns
