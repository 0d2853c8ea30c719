"""Getting published archives: from their mirrors, resumed where they were cut, or from a local file."""

import contextlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from slbench import __version__
from slbench.data.paths import check_space, is_there, writing
from slbench.data.published import Archive
from slbench.data.published_cache import CHUNK, folder_of, md5_of
from slbench.errors import FetchError, InputError, unreadable
from slbench.files import atomic_writer

TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 5  # in a row that bring nothing, at one mirror
OnProgress = Callable[[str, int, int | None], None]  # file, bytes that are here, bytes in all if the server says


def fetch(name: str, archives: Sequence[Archive], *, on_progress: OnProgress = lambda *_: None) -> None:
    """Bring a set's archives into the data root. One process at a time does; another waits and finds them there.

    Raises:
        FetchError: if no mirror gives an archive with the published checksum.
        InputError: if the data root cannot be written to or has no room.
    """
    with only_one(name) as folder:
        for archive in archives:
            path = folder / archive.name
            if not (path.exists() and md5_of(path) == archive.md5):
                fetch_one(archive, path, on_progress)


@contextlib.contextmanager
def only_one(name: str) -> Iterator[Path]:
    """The set's folder, made if need be, held against every other process."""
    from filelock import FileLock

    folder = folder_of(name)
    with writing(folder), FileLock(folder / ".lock"):
        yield folder


def fetch_one(archive: Archive, path: Path, on_progress: OnProgress) -> None:
    """Get one archive from the first mirror that has it whole."""
    partial = path.with_name(f"{path.name}.part")
    said = []
    for url in archive.urls:
        try:
            resumed = partial.exists()
            download(url, partial, on_progress)
            if resumed and md5_of(partial) != archive.md5:  # what lay there may have been of another file
                partial.unlink()
                download(url, partial, on_progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            said.append(f"{url}: {error}")
            continue
        found = md5_of(partial)
        if found == archive.md5:
            partial.replace(path)
            return
        partial.unlink()
        said.append(f"{url}: md5 {found}, and the published one is {archive.md5}")
    raise FetchError(
        f"{archive.name} could not be fetched: {'; '.join(said)}: try again later, or bring the file from elsewhere "
        f"with: slbench data fetch {path.parent.name} --from FILE"
    )


def download(url: str, partial: Path, on_progress: OnProgress) -> None:
    """Bring a file, going on where an earlier attempt was cut. What has arrived stays if this fails."""
    fruitless = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if download_on(url, partial, on_progress):
                return
            error: Exception = ConnectionError("the connection was cut")
        except urllib.error.HTTPError as refused:
            if refused.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                refused.close()
                partial.unlink()  # longer than the file: of another one
                continue
            refused.close()
            raise
        except (http.client.HTTPException, ConnectionError, TimeoutError) as cut:
            error = cut
        after = partial.stat().st_size if partial.exists() else 0
        fruitless = 0 if after > before else fruitless + 1
        if fruitless == ATTEMPTS:
            raise error


def download_on(url: str, partial: Path, on_progress: OnProgress) -> bool:
    """One request; whether the file is whole after it."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": f"slbench/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts from the beginning
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        if total is not None:
            check_space(partial.parent, total - have)
        with partial.open("ab" if have else "wb") as file:
            while block := received(answer):
                file.write(block)
                have += len(block)
                on_progress(partial.name.removesuffix(".part"), have, total)
    return total is None or have >= total


def received(answer: http.client.HTTPResponse) -> bytes:
    """The next bytes of an answer. Raises ConnectionError for any error of the network, to be told from the disk's."""
    try:
        return answer.read(CHUNK)
    except OSError as error:
        raise ConnectionError(str(error)) from error


def bring(name: str, archives: Sequence[Archive], file: Path) -> Archive:
    """Copy a local file into the data root as the archive that its checksum says it is; give that archive.

    Raises:
        InputError: if it is none of the set's archives, or cannot be read.
    """
    try:
        found = md5_of(file)
    except OSError as error:
        raise unreadable(file, error) from error
    archive = next((archive for archive in archives if archive.md5 == found), None)
    if archive is None:
        known = ", ".join(f"{archive.name} {archive.md5}" for archive in archives)
        raise InputError(f"{file}: md5 {found} is that of no archive of '{name}': {known}")
    with only_one(name) as folder:
        check_space(folder, file.stat().st_size)
        with file.open("rb") as source, atomic_writer(folder / archive.name) as target:
            shutil.copyfileobj(source, target, CHUNK)
    return archive


def missing(name: str, archives: Sequence[Archive]) -> list[Archive]:
    """The archives of a set that are not in the data root."""
    return [archive for archive in archives if not is_there(folder_of(name) / archive.name)]
