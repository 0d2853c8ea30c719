"""Hatch's metadata hook: README and addresses for the page of the package on an index.

Relative links of README.md lead nowhere on such a page. With `[tool.slbench] repository-url` they become absolute ones
into the repository; without it, links become their text and pictures their description.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")  # of Markdown: ![text](target)
PAPER = "https://arxiv.org/abs/2112.13492"


class MetadataHook(MetadataHookInterface):
    """Sets `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        settings = self.config
        repository = str(settings.get("repository-url", "")).rstrip("/")
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": index_page(text, repository)}
        metadata["urls"] = {"Paper": PAPER} | addresses(repository)


def addresses(repository: str) -> dict[str, str]:
    """Return the addresses of the project; none without a repository."""
    if not repository:
        return {}
    blob = f"{repository}/blob/main"
    return {
        "Repository": repository,
        "Documentation": f"{blob}/docs/index.md",
        "Changelog": f"{blob}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


def index_page(readme: str, repository: str) -> str:
    """Return a README whose links work away from the repository.

    Args:
        repository: address of the repository, as GitHub lays it out; empty: there is none.
    """

    def replaced(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        text = LINK.sub(replaced, text)
        if re.match(r"[a-z]+:|#", target):
            return f"{picture}[{text}]({target})"
        if not repository:
            return f"*Figure: {text}.*" if picture else text
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/main/{target})"

    blocks = re.split(r"(^```.*?^```$)", readme, flags=re.DOTALL | re.MULTILINE)
    return "".join(block if block.startswith("```") else LINK.sub(replaced, block) for block in blocks)
