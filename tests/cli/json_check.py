"""Check of the documents of `--json` against their schemas."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from slbench.cli.json_documents import DOCUMENTS
from slbench.validation import checked


def check_document(arguments: Sequence[str], text: str) -> None:
    """Raise InputError unless the output of a command is one document with the keys and types of its schema."""
    document = json.loads(text, parse_constant=refuse)
    checked(kind_of(arguments, document), document, where=" ".join(arguments[:2]))


def kind_of(arguments: Sequence[str], document: Any) -> Any:
    """Return the schema of what a command prints."""
    name = next(name for name in (" ".join(arguments[:2]), arguments[0]) if name in DOCUMENTS)
    flags = {f"`{flag.partition('=')[0]}`" for flag in arguments}
    if name == "run-grid" and "`--dry-run`" in flags:
        flags.add("`--plan`")
    if name == "report" and isinstance(document, list):
        flags.add("several studies")
    of_flags = {each.when: each.kind for each in DOCUMENTS[name]}
    return next((kind for when, kind in of_flags.items() if when in flags), of_flags.get(""))


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")
