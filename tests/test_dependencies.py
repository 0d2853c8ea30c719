"""The file in the comment of a dependency imports it."""

import re
import tomllib

import pytest

from tests.support import ROOT

TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
NAMES = tomllib.loads(TEXT)["project"]["dependencies"]
MODULES = {"nvidia-ml-py": "pynvml", "pillow": "PIL"}  # where the package is imported under another name


@pytest.mark.parametrize("dependency", NAMES)
def test_the_file_in_the_comment_of_a_dependency_imports_it(dependency: str) -> None:
    ((path, comment),) = re.findall(rf'^    "{re.escape(dependency)}", # ([\w/]+\.py): (.+)$', TEXT, re.MULTILINE)
    package = re.split("[<>=]", dependency)[0]
    imports = rf"^\s*(import|from) {MODULES.get(package, package.replace('-', '_'))}\b"
    found = re.search(imports, (ROOT / "slbench" / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert bool(found) is not comment.startswith("not imported; ")
