"""Finished runs for an analysis, by id or from a study; their network brought back. Free of torch until it builds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.backbones import build
from slbench.errors import InputError, StoreError
from slbench.methods import row_title
from slbench.numerics import NUMERICS
from slbench.report.caption import plural
from slbench.spec import network_parts
from slbench.store import WEIGHTS, RunRecord, Store, state_of
from slbench.study import Study

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone


@dataclass(frozen=True)
class Chosen:
    """Finished runs, and what to call them together."""

    name: str  # fit for a folder; empty unless a study was named
    records: tuple[RunRecord, ...]
    folders: dict[str, Path]  # by run id
    notes: tuple[str, ...] = ()  # what was left out


def choose(store: Store, names: Sequence[str], study: Study | None) -> Chosen:
    """Runs by the beginnings of their ids, then the finished ones of a study, each once.

    Raises:
        InputError: for a name that is no finished run's, or if nothing is left.
    """
    folders = store.ids()
    found: dict[str, RunRecord] = {}
    for name in names:
        run_id, folder = store.find(name)
        record = store.record(run_id)
        if record is None:
            raise InputError(
                f"{folder}: the run is not finished ({state_of(folder)}): slbench run-grid goes on with it"
            )
        found[run_id] = record
    notes = []
    if study is not None:
        labels = {run.spec.run_id: run.labels for run in study.runs}
        records = [one.model_copy(update={"labels": labels[one.run_id]}) for one in store.records(labels)]
        if not records:
            raise InputError(f"{store.root}: no finished run of {study.name} yet; start with: slbench run-grid")
        if len(records) < len(labels):
            notes.append(f"{len(records)} of {plural(len(labels), 'run')} of {study.name} are finished")
        found |= {record.run_id: record for record in records if record.run_id not in found}
    if not found:
        raise InputError("nothing to look into: name runs by their ids, or a study with --study FILE")
    return Chosen("" if study is None else study.name, tuple(found.values()), folders, tuple(notes))


def run_title(record: RunRecord) -> str:
    """One line for a person: "SL-ViT on cifar100, seed 0 (1a2b3c4d5e6f)"."""
    labels = record.labels
    return f"{row_title(labels.backbone, labels.method)} on {labels.dataset}, seed {record.spec.seed} ({record.run_id})"


def network_of(record: RunRecord, folder: Path) -> "tuple[Backbone, str]":
    """The network of a run with the weights that were kept, in eval mode on the CPU; and of which epoch they are.

    Raises:
        InputError: if none were kept, or the network has changed its arithmetic since.
        StoreError: if they are not those that the record names by their hash.
    """
    from safetensors.torch import load

    spec = record.spec
    kept = {
        WEIGHTS["last"]: ("last epoch", record.weights_sha256),
        WEIGHTS["best"]: (f"epoch {record.selected_epoch}, selected by validation", record.selected_weights_sha256),
    }
    path = next((folder / name for name in kept if (folder / name).exists()), None)
    if path is None:
        why = "its study says keep = 'none'" if record.labels.keep == "none" else "they are gone"
        raise InputError(
            f"{run_title(record)}: has no weights ({why}): train it again with keep = 'last' and another --store"
        )
    changed = [part for part in network_parts(spec.backbone, spec.method) if spec.numerics.get(part) != NUMERICS[part]]
    if changed:
        raise InputError(
            f"{run_title(record)}: trained with another version of {', '.join(changed)} than this slbench has: "
            "look into it with that one"
        )
    content = path.read_bytes()
    epoch, digest = kept[path.name]
    if hashlib.sha256(content).hexdigest() != digest:
        raise StoreError(f"{path}: damaged: not what its record names; delete its folder to run it again")
    data = spec.dataset
    network = build(
        spec.backbone,
        spec.method,
        image_size=data.image_size,
        in_channels=data.in_channels,
        num_classes=data.num_classes,
        drop_path=spec.recipe.drop_path,
        seed=spec.seed,
    )
    network.load_state_dict(load(content))
    return network.eval(), epoch
