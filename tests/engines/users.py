"""Users of this machine with a common group, for tests that run as root."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

GROUP = 61_000  # needs no entry in /etc/group, nor a user one in /etc/passwd
# Python or this code may lie in folders that only root enters. A mount namespace shows them open.
OPEN = """set -e
umask 022
mount -t tmpfs -o mode=755 tmpfs /mnt
for folder in {folders}; do
    at=$(mktemp -d /mnt/XXXXXX)
    chmod 755 "$at"
    mkdir "$at/upper" "$at/work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$at/upper,workdir=$at/work" "$folder"
done
umask {umask:o}
exec setpriv --reuid={uid} --regid={group} --clear-groups -- "$@"
"""


class User:
    """A user of the group, whose processes run `slbench`.

    Args:
        number: distinguishes users.
        umask: of the processes.
        home: folder, which is created.
    """

    def __init__(self, number: int, *, umask: int, home: Path) -> None:
        self.uid, self.umask, self.home = GROUP + number, umask, home
        home.mkdir()
        os.chown(home, self.uid, GROUP)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start a command of `slbench`; its output can be read."""
        folders = shlex.join(map(str, closed_folders()))
        script = OPEN.format(folders=folders, umask=self.umask, uid=self.uid, group=GROUP)
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "slbench", *map(str, arguments)],
            cwd=self.home, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self.home)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: object) -> tuple[int, str]:
        """Return exit code and output of a command of `slbench`."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        return process.returncode, output


def closed_folders() -> list[Path]:
    """Return the folders that other users may not enter, above or at Python and this code, outermost first."""
    paths = [Path(sys.prefix), Path(sys.base_prefix), ROOT]
    return sorted({each for path in paths for each in (path, *path.parents) if not each.stat().st_mode & 0o001})


def can_become() -> bool:
    """Return whether processes of other users can be started here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["unshare", "--mount", "setpriv", f"--reuid={GROUP}", "true"]).returncode == 0
    except OSError:
        return False
