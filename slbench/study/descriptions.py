"""Descriptions of the fields of a class, from its comments and docstring."""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from functools import cache


@cache
def field_descriptions(owner: type) -> dict[str, str]:
    """Return the description of each field that has one, as a phrase; also of those that a class of ours inherits.

    It is the last comment on the field's lines, or the paragraph `name: ...` of the class's docstring.
    """
    source = textwrap.dedent(inspect.getsource(owner))
    comments = end_comments(source)
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    parent = owner.__base__
    is_ours = parent is not None and parent.__module__.startswith("slbench.")
    descriptions = dict(field_descriptions(parent)) if parent is not None and is_ours else {}
    descriptions |= docstring_fields(ast.get_docstring(tree) or "")
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            lines = range(node.end_lineno or node.lineno, node.lineno - 1, -1)
            comment = next((comments[line] for line in lines if line in comments), None)
            if comment is not None:
                descriptions[ast.unparse(node.target)] = comment
    return descriptions


def end_comments(source: str) -> dict[int, str]:
    """Return the comments that follow code on their line, by line number from 1."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip()
    }


def docstring_fields(docstring: str) -> dict[str, str]:
    """Return the paragraphs `name: ...` of a docstring by name, each as one line."""
    starts = re.compile(r"^(\w+): ", re.MULTILINE)
    parts = starts.split(docstring)[1:]
    return {name: " ".join(text.split("\n\n")[0].split()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
