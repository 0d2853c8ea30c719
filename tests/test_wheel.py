"""The wheel works in an environment of its own, outside the repository."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.support import ROOT, missing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the working copy."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_readme_in_the_metadata_has_no_link_into_a_folder_that_an_index_page_lacks(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    text = metadata.get_payload()
    assert isinstance(text, str) and metadata["Description-Content-Type"] == "text/markdown"
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    assert targets and not [target for target in targets if not target.startswith(("https://", "#"))]
    assert len(metadata.get_all("Classifier", [])) > 5 and metadata["Project-URL"] and metadata["Author"]


def test_an_installed_wheel_runs_the_first_run_of_the_quick_study_by_name(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    where = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")})
    dependencies = sysconfig.get_path("purelib")  # of this environment; its .pth file of slbench is not read from there
    Path(where, "dependencies.pth").write_text(dependencies)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def slbench(*arguments: str) -> str:
        command = [str(tmp_path / "venv" / "bin" / "slbench"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert not missing(slbench("list", "studies"), "quick", "table2")
    slbench("init")
    slbench("work", "quick", "--max-runs", "1")
    document = json.loads(slbench("status", "quick", "--json"))
    assert (document["done"], document["missing"]) == (1, 7)
    (record,) = (tmp_path / "results" / "runs").glob("*/record.json")
    code = json.loads(record.read_text())["code"]
    assert code["commit"] is None  # it was not trained by the working copy
