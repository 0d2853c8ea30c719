"""Archives for `import`: a valid one with one change, its checksums made to agree."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.hostile.case import Expected, Prepare, Table
from tests.hostile.process import GOLDEN
from tests.hostile.records import DAMAGE, FOLDER, IMPOSSIBLE, ODD_TEXT, RUN, Change

OTHER = "vit-golden-both-fashion-mnist-12k-s0-dd91fc0df647"
HERE = f"runs/{FOLDER}/"


class Contents:
    """Members of an archive; its manifest is made last."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.runs: list[dict[str, Any]] = []
        for folder in (FOLDER, OTHER):
            for path in sorted((GOLDEN / "store/runs" / folder).iterdir()):
                self.files[f"runs/{folder}/{path.name}"] = path.read_bytes()
            record = json.loads(self.files[f"runs/{folder}/record.json"])
            self.runs.append({"run_id": folder[-12:], "folder": folder, "weights_sha256": record["weights_sha256"]})
        for path in (GOLDEN / "store/throughput").glob("*/*.json"):
            self.files[f"throughput/{path.parent.name}/{path.name}"] = path.read_bytes()
        self.more: list[tuple[tarfile.TarInfo, bytes]] = []  # after the listed members
        self.manifest: Callable[[dict[str, Any]], Any] = lambda manifest: None
        self.manifest_bytes: bytes | None = None
        self.order: Callable[[list[Any]], Any] = lambda members: None

    def write(self, path: Path) -> None:
        listed = [
            {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in self.files.items()
        ]
        manifest = {
            "format": 1,
            "slbench": "0.1.0",
            "created_at": "2026-11-26T20:19:59+00:00",
            "runs": self.runs,
            "files": listed,
        }
        self.manifest(manifest)
        head = json.dumps(manifest).encode() if self.manifest_bytes is None else self.manifest_bytes
        members = [
            (member("manifest.json"), head),
            *((member(name), content) for name, content in self.files.items()),
            *self.more,
        ]
        self.order(members)
        with tarfile.open(path, "w") as archive:
            for info, content in members:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archive(change: Callable[[Contents], Any]) -> Prepare:
    def write(folder: Path) -> None:
        contents = Contents()
        change(contents)
        contents.write(folder / "x.tar")

    return write


def record(change: Change) -> Prepare:
    """Return a preparation of an archive with a changed record."""

    def apply(contents: Contents) -> None:
        content = json.loads(contents.files[f"{HERE}record.json"])
        change(content)
        contents.files[f"{HERE}record.json"] = json.dumps(content).encode()
        if isinstance(content.get("weights_sha256"), str):
            contents.runs[0]["weights_sha256"] = content["weights_sha256"]

    return archive(apply)


def content(name: str, data: bytes | Callable[[bytes], bytes] | None) -> Prepare:
    """Return a preparation of an archive with a changed, added or removed file of a run."""

    def apply(contents: Contents) -> None:
        if data is None:
            del contents.files[HERE + name]
        else:
            contents.files[HERE + name] = data if isinstance(data, bytes) else data(contents.files[HERE + name])

    return archive(apply)


def named(name: str) -> Prepare:
    """Return a preparation of an archive with a listed file of this name."""
    return archive(lambda contents: contents.files.update({name: b"x"}))


def extra(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Prepare:
    """Return a preparation of an archive with a member that is not listed."""
    return archive(lambda contents: contents.more.append((member(name, kind, target), b"")))


def manifest(change: Callable[[dict[str, Any]], Any]) -> Prepare:
    return archive(lambda contents: setattr(contents, "manifest", change))


def manifest_of(data: bytes) -> Prepare:
    return archive(lambda contents: setattr(contents, "manifest_bytes", data))


def raw(change: Callable[[bytes], bytes], name: str = "x.tar") -> Prepare:
    def write(folder: Path) -> None:
        Contents().write(folder / "x.tar")
        data = change((folder / "x.tar").read_bytes())
        (folder / "x.tar").unlink()
        (folder / name).write_bytes(data)

    return write


def first(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest["files"][0].update({key: value})


def of_run(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest["runs"][0].update({key: value})


def measured(key: str, value: Any) -> Prepare:
    def apply(contents: Contents) -> None:
        name = next(name for name in contents.files if name.startswith("throughput"))
        contents.files[name] = json.dumps({**json.loads(contents.files[name]), key: value}).encode()

    return archive(apply)


METRICS = b"epoch,lr,train_loss,val_loss,val_top1,test_loss,test_top1,test_top5,scales_below_zero,train_seconds\n"
LINKS = {"symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE,
"block device": tarfile.BLKTYPE,
         "FIFO": tarfile.FIFOTYPE, "folder": tarfile.DIRTYPE, "sparse file": tarfile.GNUTYPE_SPARSE}  # fmt: skip
BAD: Mapping[str, Prepare] = {
    # members
    **{f"member {kind}": extra(f"{HERE}x", code, "/etc/passwd") for kind, code in LINKS.items()},
    **{
        f"name {name[:40]!r}": named(name)
        for name in (
            "../x", "/tmp/x", "runs/../../x", "runs/x/../../../y", "runs/./x", "runs//x/y", f"{HERE}../x",
            f"{HERE}a/b", "x", "",
            "runs", f"{HERE}", f"{HERE}é", f"{HERE}a b", f"{HERE}-x", f"{HERE}.x", f"{HERE}{'x' * 200}", "tuning/x/y",
            "claims/x/1.json",
            f"{HERE}a\nb", f"{HERE}a\x1b[31m", "C:\\x", "runs/nul/x", "runs/x/y",
        )
    },
    "unlisted member": extra(f"{HERE}more.txt"),
    "unlisted member outside": extra("../../pwned"),
    "member twice": extra(f"{HERE}record.json"),
    "manifest twice": extra("manifest.json"),
    "manifest last": archive(lambda contents: setattr(contents, "order",
    lambda members: members.append(members.pop(0)))),
    "listed but missing": archive(lambda contents: setattr(contents, "order", lambda members: members.pop())),
    # files of a run
    **{
        f"file {name}": content(name, b"x")
        for name in ("checkpoint.pt", "checkpoint-previous.pt", "failure.json", "pruned.json", "diverged.json",
        "evil.py", "x.pkl",
                     "record.json.bak", "weights-selected.safetensors", "weights.safetensors", "claims.json")
    },
    "no record": content("record.json", None),
    "no spec": content("spec.json", None),
    "no metrics": content("metrics.csv", None),
    "spec of garbage": content("spec.json", b"\xff\x00"),
    "spec of another run": content("spec.json", lambda data: data.replace(b'"seed": 0', b'"seed": 1')),
    "spec empty": content("spec.json", b""),
    "metrics of garbage": content("metrics.csv", b"\xff\x00"),
    "metrics empty": content("metrics.csv", b""),
    "metrics without rows": content("metrics.csv", METRICS),
    "metrics of another accuracy": content("metrics.csv", lambda data: data.replace(b",24.6,", b",99.6,")),
    "metrics with nan": content("metrics.csv", lambda data: data.replace(b",24.6,", b",nan,")),
    "metrics cut": content("metrics.csv", lambda data: data[: len(data) // 2]),
    "metrics with an epoch twice": content("metrics.csv", lambda data: data.replace(b"\n2,", b"\n1,")),
    "logits of garbage": content("test_logits.safetensors", b"garbage"),
    "logits cut": content("test_logits.safetensors", lambda data: data[:-100]),
    "logits with a header of 2**62 bytes": content("test_logits.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
    **{f"record {name}": content("record.json", damage) for name,
    damage in DAMAGE.items() if name != "byte order mark"},
    **{f"record with {name}": record(change) for name, change in IMPOSSIBLE.items()},
    # measurements
    **{f"throughput {key} = {value}": measured(key, value) for key, value in (
        ("median", float("nan")), ("median", float("inf")), ("median", -1.0), ("q1", -1.0), ("n", 0), ("key", "x"),
        ("machine_id", "../x"),
        ("batch_size", 0), ("x", 1))},
    # manifest
    **{f"manifest {name}": manifest_of(data) for name, data in (
        ("empty", b""), ("null", b"null"), ("list", b"[]"), ("deep", b"[" * 100_000), ("not UTF-8", b"\xff"),
        ("no fields", b"{}"), ("cut", b'{"format": 1, "runs": ['),
        ("of 20 MB", b'{"format": 1, "x": "' + b"x" * 20_000_000 + b'"}'))},
    **{f"manifest: {name}": manifest(change) for name, change in {
        "format 2": lambda manifest: manifest.update(format=2),
        "format nan": lambda manifest: manifest.update(format=float("nan")),
        "format of text": lambda manifest: manifest.update(format="1"),
        "format 10**400": lambda manifest: manifest.update(format=10**400),
        "unknown key": lambda manifest: manifest.update(x=1),
        "no runs": lambda manifest: manifest.update(runs=[]),
        "run twice": lambda manifest: manifest["runs"].append(manifest["runs"][0]),
        "file twice": lambda manifest: manifest["files"].append(manifest["files"][0]),
        "file outside": first("name", "../../x"),
        "size -1": first("size", -1),
        "size too small": first("size", 1),
        "size of 30 digits": first("size", 10**30),
        "size of text": first("size", "12"),
        "checksum of zeros": first("sha256", "0" * 64),
        "checksum empty": first("sha256", ""),
        "folder outside": of_run("folder", "../x"),
        "folder of another run": of_run("folder", OTHER),
        "folder empty": of_run("folder", ""),
        "id of another run": of_run("run_id", "000000000000"),
        "id with a line break": of_run("run_id", f"{RUN}\n"),
        "weights of another run": of_run("weights_sha256", "0" * 64),
        "no weights": of_run("weights_sha256", ""),
    }.items()},
    # bytes
    "empty": raw(lambda data: b""),
    "text": raw(lambda data: b"text" * 500),
    "NUL bytes": raw(lambda data: bytes(20_000)),
    "cut in half": raw(lambda data: data[: len(data) // 2]),
    "cut in a header": raw(lambda data: data[:700]),
    "header of another checksum": raw(lambda data: data[:148] + b"0000000\x00" + data[156:]),
    "flipped bit": raw(lambda data: data.replace(b'"final_test_top1": 24.6', b'"final_test_top1": 25.6')),
    "size in octal garbage": raw(lambda data: data[:124] + b"zzzzzzzzzzzz" + data[136:]),
    "zip": raw(lambda data: b"PK\x03\x04" + data),
    "gzip named tar of garbage": raw(lambda data: gzip.compress(b"garbage" * 100)),
    "gzip cut": raw(lambda data: gzip.compress(data)[:-300]),
    "gzip bomb": raw(lambda data: gzip.compress(bytes(2_000_000_000), 1)),
    "gzip of another checksum": raw(lambda data: gzip.compress(data)[:-8] + bytes(8)),
}  # fmt: skip
GOOD: Mapping[str, Prepare] = {
    "plain": archive(lambda contents: None),
    "compressed": raw(gzip.compress),
    "padding after the end": raw(lambda data: data + bytes(10_240)),
}


def archives() -> Table:
    """Archives: a bad one is refused whole, the store unchanged."""
    table = Table("archives")
    for name, prepare in BAD.items():
        table.add(name, ("import", "x.tar", "--store", "here"), Expected.REFUSED, prepare)
    for name, change in ODD_TEXT.items():
        table.add(name, ("import", "x.tar", "--store", "here"), Expected.HANDLED, record(change))
    for name, prepare in GOOD.items():
        table.add(name, ("import", "x.tar", "--store", "here"), Expected.ACCEPTED, prepare)
    return table


def archives_over_a_store() -> Table:
    """The same for a store with the run."""
    table = Table("archives over a store", store=True)
    for name in (
        "record with final_test_top1 = nan",
        "record with final_test_top1 = 99.9",
        "file evil.py",
        "record garbage",
        "gzip cut",
    ):
        table.add(name, ("import", "x.tar"), Expected.REFUSED, BAD[name])
    table.add("plain", ("import", "x.tar"), Expected.ACCEPTED, GOOD["plain"])
    return table
