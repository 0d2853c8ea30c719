"""Find the image files of a folder, and name what it has besides them."""

import os
import stat
from collections import Counter, defaultdict
from pathlib import Path

from slbench.data.images.decode import EXTENSIONS
from slbench.data.own.split import in_class_order
from slbench.errors import InputError
from slbench.files import kind_of
from slbench.text import plural, shown

EXAMPLES = 3  # names of each kind
PSEUDO = (
    "proc", "sysfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "pstore", "bpf",
    "mqueue", "fusectl", "efivarfs", "binfmt_misc", "rpc_pipefs", "nsfs",
)  # fmt: skip
ALSO_READ = ("repeated image", "hidden subfolder", "image-named folder")


class FolderScan:
    """Images of a folder by class, and counts and first names of everything odd.

    Links are followed, each folder is read once per class, and never one that contains the link to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.counts = Counter[str]()
        self.examples = defaultdict[str, list[str]](list)
        self.files = dict[tuple[int, int], Path]()  # first path of each image by device and inode
        self.pseudo = pseudo_file_systems()
        self.check_device(root, root.stat().st_dev)

    def check_device(self, folder: Path, device: int) -> None:
        """Raise InputError for a folder of a file system of the kernel, which may be endless and has no images."""
        if device in self.pseudo:
            raise InputError(f"{folder}: of the system, not of files (got file system {self.pseudo[device]})")

    def note(self, kind: str, path: Path, same: Path | None = None) -> None:
        """Count something odd; keep the first names."""
        self.counts[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            names = [shown(os.fspath(one.relative_to(self.root))) for one in (path, same) if one is not None]
            self.examples[kind].append(" = ".join(names))

    def summary(self) -> str:
        """Return one line on what is left out and what is read although it looks odd; empty if there is neither."""
        left_out = [self.named(kind) for kind in self.counts if kind not in ALSO_READ]
        read = [self.named(kind) for kind in ALSO_READ if kind in self.counts]
        parts = (f"left out: {', '.join(left_out)}" if left_out else "", f"read: {', '.join(read)}" if read else "")
        return f"{self.root}: {'; '.join(filter(None, parts))}" if left_out or read else ""

    def named(self, kind: str) -> str:
        more = ", ..." if self.counts[kind] > EXAMPLES else ""
        return f"{plural(self.counts[kind], kind)} ({', '.join(self.examples[kind])}{more})"

    def classes(self, folder: Path) -> dict[str, list[Path]]:
        """Return the image files of each class, a folder each.

        Raises:
            InputError: if a class has no images, or there is none.
            OSError: for an unreadable folder.
        """
        files = {}
        for name in in_class_order(path.name for path in sorted(folder.iterdir()) if self.is_class(path)):
            files[name] = self.images(folder / name)
            if not files[name]:
                raise InputError(
                    f"{folder / name}: no images; allowed: {', '.join(EXTENSIONS)}; add images or delete the folder"
                )
        if not files:
            raise InputError(f"{folder}: no class folders with images")
        return files

    def is_class(self, path: Path) -> bool:
        """Return whether something in the folder of a split is a class; note what is not."""
        if not path.is_dir():
            self.note("loose image" if is_image(path) else kind_of_other(path), path)
        elif path.name.startswith("."):
            self.note("hidden folder", path)
        elif path.is_symlink() and self.is_loop(path):
            self.note("looping link", path)
        else:
            return True
        return False

    def is_loop(self, link: Path) -> bool:
        """Return whether a link leads to a folder that contains it or the data set."""
        target = link.resolve()
        inside = (link.parent.resolve(), self.root.resolve())
        return any(target == folder or target in folder.parents for folder in inside)

    def images(self, folder: Path) -> list[Path]:
        """Return the image files at any depth below a folder, sorted; folders come before links to folders.

        Raises:
            InputError: for a broken link, which would silently drop an image.
            OSError: for an unreadable folder.
        """
        images, entered = list[Path](), set[tuple[int, int]]()
        folders, links = [folder], list[Path]()
        while folders or links:
            current = folders.pop() if folders else links.pop()
            status = current.stat()
            self.check_device(current, status.st_dev)
            if (status.st_dev, status.st_ino) in entered:
                self.note("repeated folder", current)
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                    path = current / entry.name
                    if not is_folder(entry):
                        images += [path] if self.is_image_file(entry, path) else []
                    elif self.is_entered(entry, path):
                        (links if entry.is_symlink() else folders).append(path)
        return sorted(images)

    def is_entered(self, entry: "os.DirEntry[str]", path: Path) -> bool:
        """Return whether a folder below a class is looked into; note what is odd about it."""
        if entry.is_symlink() and self.is_loop(path):
            self.note("looping link", path)
            return False
        if entry.name.startswith("."):
            self.note("hidden subfolder", path)
        if is_image(path):
            self.note("image-named folder", path)
        return True

    def is_image_file(self, entry: "os.DirEntry[str]", path: Path) -> bool:
        """Return whether something below a class that is no folder is an image; note what is not.

        Raises:
            InputError: for a broken link with the name of an image.
        """
        if not is_image(path) or entry.name.startswith(".") or not path.exists():
            if is_image(path) and not entry.name.startswith("."):
                raise InputError(f"{path}: broken link; restore its target or delete it")
            self.note(kind_of_other(path), path)
            return False
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            self.note(kind_of(status.st_mode).removeprefix("a "), path)
            return False
        first = self.files.setdefault((status.st_dev, status.st_ino), path) if status.st_ino else path
        if first is not path:
            self.note("repeated image", path, first)
        return True


def pseudo_file_systems() -> dict[int, str]:
    """Return the types of the mounted file systems of the kernel by device number (Linux only)."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    mounts = [(line.split()[2].split(":"), line.rpartition(" - ")[2].split()[0]) for line in lines]
    return {os.makedev(int(major), int(minor)): kind for (major, minor), kind in mounts if kind in PSEUDO}


def is_image(path: Path) -> bool:
    """Return whether a file has the name of an image."""
    return path.suffix.lower() in EXTENSIONS


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder or a link to one."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def kind_of_other(path: Path) -> str:
    """Return the kind of something that is neither an image nor a folder."""
    if path.is_symlink() and not path.exists():
        return "broken link"
    return "hidden file" if path.name.startswith(".") else "non-image file"
