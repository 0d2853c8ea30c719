"""Download published archives from mirrors, resuming partial files, or add them from a local file."""

import contextlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from slbench import __version__
from slbench.data.config import check_space, file_exists, locked, writing
from slbench.data.sets.local import CHUNK, md5_of
from slbench.data.sets.published import Archive
from slbench.errors import FetchError, InputError, unreadable
from slbench.files import atomic_writer, open_regular
from slbench.limits import ARCHIVE_BYTES

TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 5  # in a row without new bytes, at one mirror
OnProgress = Callable[[str, int, int | None], None]  # file, bytes received, total bytes if known


def fetch(folder: Path, archives: Sequence[Archive], *, on_progress: OnProgress = lambda *_: None) -> None:
    """Download the archives of a data set into its folder; other processes wait for the one that does.

    Raises:
        FetchError: if no mirror serves an archive with the published checksum.
        InputError: if the data root is not writable or lacks space.
    """
    with lock_folder(folder):
        for archive in archives:
            path = folder / archive.name
            if not (path.is_file() and md5_of(path) == archive.md5):
                fetch_one(archive, path, on_progress)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder of a data set, creating it if needed."""
    with writing(folder), locked(folder / ".lock"):
        yield


def fetch_one(archive: Archive, path: Path, on_progress: OnProgress) -> None:
    """Download one archive from the first mirror that serves it completely."""
    partial = path.with_name(f"{path.name}.part")
    for file in (path, partial):
        if file.exists() and not file.is_file():
            raise InputError(f"{file}: not a file; delete it")
    errors = []
    for url in archive.urls:
        try:
            resumed = partial.exists()
            download(url, partial, on_progress)
            if resumed and md5_of(partial) != archive.md5:  # the partial file may have been another file's
                partial.unlink()
                download(url, partial, on_progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            errors.append(f"{url}: {error}")
            continue
        md5 = md5_of(partial)
        if md5 == archive.md5:
            partial.replace(path)
            return
        partial.unlink()
        errors.append(f"{url}: md5 {md5}, expected {archive.md5}")
    raise FetchError(
        f"{archive.name}: download failed: {'; '.join(errors)}: try again later, or add a local copy with: "
        f"slbench data fetch {path.parent.name} --from FILE"
    )


def download(url: str, partial: Path, on_progress: OnProgress) -> None:
    """Download a file, resuming a partial one. Received bytes are kept if this fails."""
    failed_attempts = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if request(url, partial, on_progress):
                return
            error: Exception = ConnectionError("connection closed early")
        except urllib.error.HTTPError as refused:
            if refused.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                refused.close()
                partial.unlink()  # longer than the file: another file's
                continue
            refused.close()
            raise
        except (http.client.HTTPException, ConnectionError, TimeoutError) as cut:
            error = cut
        after = partial.stat().st_size if partial.exists() else 0
        failed_attempts = 0 if after > before else failed_attempts + 1
        if failed_attempts == ATTEMPTS:
            raise error


def request(url: str, partial: Path, on_progress: OnProgress) -> bool:
    """Make one request; return whether the file is complete."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": f"slbench/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts from the beginning
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        check_length(total or have)
        if total is not None:
            check_space(partial.parent, total - have)
        with partial.open("ab" if have else "wb") as file:
            while block := read_chunk(answer):
                file.write(block)
                have += len(block)
                check_length(have)
                on_progress(partial.name.removesuffix(".part"), have, total)
    return total is None or have >= total


def check_length(size: int) -> None:
    """Raise URLError if a download is larger than any archive."""
    most = ARCHIVE_BYTES.value
    if size > most:
        raise urllib.error.URLError(f"more than {most / 2**30:g} GiB; if that is right, raise {ARCHIVE_BYTES.variable}")


def read_chunk(answer: http.client.HTTPResponse) -> bytes:
    """Return the next bytes of a response. Network errors become ConnectionError, unlike errors of the disk."""
    try:
        return answer.read(CHUNK)
    except OSError as error:
        raise ConnectionError(str(error)) from error


def add_local_file(folder: Path, archives: Sequence[Archive], file: Path) -> Archive:
    """Copy a local file into the folder of a data set as the archive with its checksum; return that archive.

    Raises:
        InputError: if it is no archive of the set, or not readable.
    """
    try:
        md5 = md5_of(file)
    except OSError as error:
        raise unreadable(file, error) from error
    archive = next((archive for archive in archives if archive.md5 == md5), None)
    if archive is None:
        allowed = ", ".join(f"{archive.name} {archive.md5}" for archive in archives)
        raise InputError(f"{file}: md5 {md5} matches no archive of '{folder.name}'; allowed: {allowed}")
    with lock_folder(folder):
        check_space(folder, file.stat().st_size)
        with open_regular(file) as source, atomic_writer(folder / archive.name) as target:
            shutil.copyfileobj(source, target, CHUNK)
    return archive


def missing(folder: Path, archives: Sequence[Archive]) -> list[Archive]:
    """Return the archives of a set that are not in its folder."""
    return [archive for archive in archives if not file_exists(folder / archive.name)]
