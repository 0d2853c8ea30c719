"""`slbench analyze temperature` and `slbench analyze receptive-field`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from slbench import machine
from slbench.analysis.run_selection import Requirements
from slbench.backbones import NAMED
from slbench.backbones.specs import is_foreign
from slbench.cli import options
from slbench.cli.analyze import Out, Runs, StudyFile, StudySeeds, chosen_runs, folder_for, show
from slbench.cli.terminal import Terminal
from slbench.data import DataConfig
from slbench.data.specs import MAX_SEED
from slbench.errors import InputError
from slbench.image_shape import MAX_CHANNELS, MAX_CLASSES, MAX_SIDE, ImageShape
from slbench.measure.memory_bounds import check_network
from slbench.methods import METHODS
from slbench.names import lookup

if TYPE_CHECKING:
    from slbench.analysis.effective_receptive_field import Output

MAX_NOISE = 100_000
OUTPUTS: "dict[str, Output]" = {"tokens": "tokens", "class": "class"}


def temperature(
    runs: Runs = [],  # noqa: B006
    study: StudyFile = None,
    seed: StudySeeds = [],  # noqa: B006
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    out: Out = None,
    figure_style: options.FigureLook = "screen",
    as_json: options.Json = False,
) -> None:
    """Show learned temperatures by layer and head, and over training.

    Fig. 3 of the paper.
    """
    look = options.figure_style(figure_style)
    chosen = chosen_runs(store, runs, study, seed, needs=Requirements(attention=False, weights=False))
    folder = folder_for(chosen.name, store, out)
    from slbench.analysis.temperature import analyse

    show(analyse(chosen, folder, look=look), as_json=as_json)


def receptive_field(
    runs: Runs = [],  # noqa: B006
    study: StudyFile = None,
    backbone: options.Backbones = [],  # noqa: B006
    method: options.Methods = [],  # noqa: B006
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            "--img-size",
            help="Image side in px. [default: 32]",
            min=1,
            max=MAX_SIDE,
            show_default=False,
        ),
    ] = None,
    in_chans: Annotated[int, typer.Option("--in-chans", help="Image channels.", min=1, max=MAX_CHANNELS)] = 3,
    classes: Annotated[
        int, typer.Option("--classes", "--num-classes", help="Number of classes.", min=2, max=MAX_CLASSES)
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Seed of untrained networks and noise.", min=0, max=MAX_SEED)] = 0,
    of: Annotated[list[str], typer.Option("--of", help="Outputs: tokens, class; comma-separated.")] = ["tokens"],  # noqa: B006
    images: Annotated[
        int, typer.Option("--images", help="Number of images, of the test split or of noise.", min=1, max=MAX_NOISE)
    ] = 64,
    comparison: Annotated[
        bool | None,
        typer.Option(
            "--comparison/--no-comparison",
            help="Add the paper's comparison of ViT and ResNet-50 at 224 px. [default: without runs and --study]",
            show_default=False,
        ),
    ] = None,
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    out: Out = None,
    data_root: options.DataRoot = None,
    figure_style: options.FigureLook = "screen",
    as_json: options.Json = False,
) -> None:
    """Show receptive fields by formula and by gradients.

    Uses finished runs on their test images, or else untrained networks on noise.
    """
    backbones, methods = options.split(backbone, "--backbone"), options.split(method, "--method")
    is_finished = bool(runs) or study is not None
    if is_finished and (backbones or methods or image_size is not None):
        raise InputError("--backbone, --method and --image-size cannot be combined with runs or --study")
    for name in backbones:
        if not is_foreign(name):
            lookup(NAMED, name, "backbone", where="--backbone")
    for name in methods:
        lookup(METHODS, name, "method", where="--method")
    look = options.figure_style(figure_style)
    outputs = [lookup(OUTPUTS, name, "output", where="--of") for name in options.split(of, "--of")]
    data, needs = DataConfig.read(data_root, runs_plugins=True), Requirements(attention=False)
    chosen = chosen_runs(store, runs, study, needs=needs, data=data) if is_finished else None
    folder = folder_for("receptive-field" if chosen is None else chosen.name, store, out)
    from slbench.analysis import analyzed_networks
    from slbench.analysis.receptive_field import analyse

    notes: list[str] = []
    if chosen is not None:
        inputs, notes = analyzed_networks.trained_networks(chosen, count=images), list(chosen.notes)
    else:
        side = image_size or 32
        networks, notes = analyzed_networks.resolve_default_networks(
            backbones, methods, shape=ImageShape((side, side), in_chans, classes)
        )
        for network in networks.values():
            check_network(network, machine.available_memory(), batch=images, where="--images", use="gradients")
        inputs = analyzed_networks.untrained_networks(networks, seed=seed, count=images)
    console = Terminal(stderr=True)
    with console.status("") as status:
        output = analyse(
            inputs,
            outputs,
            folder,
            with_contrast=not is_finished if comparison is None else comparison,
            notes=notes,
            on_progress=lambda line: status.update(escape(line)),
            look=look,
        )
    show(output, as_json=as_json)
