"""`advnets encode`: codes of examples by a net that learns to undo a run's generator (section 7 of the paper)."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from advnets.cli.arguments import given_names, parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, table, writing
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.data import DataSet
    from advnets.data.dataset import FloatArray, Split
    from advnets.extensions.encoder import InferenceConfig
    from advnets.extensions.encoder_fit import Fitted
    from advnets.extensions.inference import Inference

_KINDS = (".npz", ".npy", ".png")
_SETTINGS = ("target", "hidden", "steps", "batch_size", "learning_rate", "reconstruction", "seed", "weights")
_PAIRS = 64  # examples a picture, each beside its reconstruction


@dataclass(frozen=True)
class Arguments:
    """Predict the noise that a run's generator would make examples of, and what it makes of that.

    The first time an encoder E is fitted to the run's generator on fresh pairs (z, G(z)), and kept in RUN/encoder. DATA
    is a folder of images or an array; the test part of the run's own data by default.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    data: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")] = None
    """A .npz or .npy file (n, h, w[, c]) or (n, d), or a folder of images."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .npz (codes, reconstructions, labels), .npy (codes) or .png file (pairs); RUN/codes.npz by default."""
    steps: int | None = None
    """Updates of E, 5000 by default; as the seven below, what the run's encoder was fitted with, where it has one."""
    target: str | None = None
    """z, or a hidden layer of G from the noise up: hidden-1, hidden-2, …"""
    hidden: tuple[int, ...] | None = None
    """Units of E's hidden layers, from x up; those of G, from x down, by default."""
    batch_size: int | None = None
    """Fresh pairs an update, 100 by default."""
    learning_rate: float | None = None
    """Adam's learning rate at first, .001 by default; it falls to 0."""
    reconstruction: float | None = None
    """Weight of the reconstruction error of training examples in E's loss; 0, none of it, by default."""
    seed: int | None = None
    """Seed of E's training, 0 by default."""
    weights: Literal["auto", "average", "raw"] | None = None
    """auto, the default: the moving average of G's weights where the run keeps one."""
    refit: bool = False
    """Fit a new encoder in the place of the one there is."""
    no_neighbours: bool = False
    """Leave out the accuracy of the nearest neighbour, which takes longest."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Fit the encoder where there is none, write codes, and print how good they are."""
    arguments = parse(Arguments, tokens, "encode")
    file = arguments.out or arguments.run / "codes.npz"
    if file.suffix.lower() not in _KINDS:
        raise InputError(f"--out is {file}, allowed: a name that ends in {', '.join(_KINDS)}; rename it")
    target = Run(arguments.run)
    if target.config().vae and (fitting := [name for name in given_names(tokens) if name in (*_SETTINGS, "refit")]):
        raise InputError(f"--{fitting[0]} does not fit a vae, whose encoder is trained with it; leave it out")

    from advnets.extensions.inference import load_inference

    data = _data(target, arguments)
    fitted, interrupted = _fit(target, data, arguments)
    if fitted and fitted.state == "interrupted":
        out = sys.stderr if arguments.json else sys.stdout
        print(f"stopped at update {fitted.step}, checkpoint written; the same command goes on", file=out)
        return interrupted
    inference = load_inference(target)
    examples = _examples(target, data, arguments)
    codes = inference.encode(examples.x)
    reconstructions = inference.decode(codes)
    _write(file, codes, examples, reconstructions, data)
    content = {"file": str(file), "run": str(target.path), "n": len(codes), "code": codes.shape[1]}
    content |= _measured(inference, data, examples, reconstructions, arguments)
    content |= {"seconds": round(fitted.seconds, 3) if fitted else 0.0}
    if arguments.json:
        emit(content)
    else:
        if fitted and fitted.seconds:
            say(f"fitted {target.path / 'encoder'} in {fitted.seconds:.1f} s")
        say(f"{file}: codes of {len(codes)} examples, {codes.shape[1]} numbers each")
        print(table(_lines(content)))
    return DONE


def _settings(target: Run, arguments: Arguments) -> "InferenceConfig":
    """Put the command line on the settings of the encoder there is, or on the defaults."""
    from advnets.extensions.encoder import InferenceConfig, check
    from advnets.extensions.inference import settings_of

    given = {name: value for name in _SETTINGS if (value := getattr(arguments, name)) is not None}
    before = None if arguments.refit else settings_of(target)
    return check(dataclasses.replace(before or InferenceConfig(), **given))


def _data(target: Run, arguments: Arguments) -> "DataSet":
    """Load the data of the run; without its examples where the user gives others and nothing else needs them."""
    from advnets.data import load

    if arguments.data is None or (not target.config().rival and _settings(target, arguments).reconstruction):
        config = target.config().data
        return load(config, offline=arguments.offline, report=lambda line: print(line, file=sys.stderr))
    import numpy as np

    from advnets.data.dataset import DataSet, Scaling, Split

    stored, shape = target.read().get("data", {}), target.shape()
    none = Split(np.empty((0, *shape), np.float32))
    return DataSet(
        str(stored.get("name")), none, none, none, Scaling.from_json(stored.get("scaling"), shape), (), "", ""
    )


def _fit(target: Run, data: "DataSet", arguments: Arguments) -> "tuple[Fitted | None, int]":
    """Fit the encoder where that is to be done, with a display; return the exit status of an interruption too."""
    from advnets.cli.interruption import catching
    from advnets.cli.measuring import showing
    from advnets.extensions.encoder_fit import fit

    if target.config().vae:
        return None, 0
    settings = _settings(target, arguments)
    with catching() as interruption, showing() as progress:
        fitted = fit(
            target,
            settings,
            data.train.x,
            refit=arguments.refit,
            stop=interruption,
            report=progress("fitting the encoder"),
        )
    return fitted, interruption.exit_status


def _examples(target: Run, data: "DataSet", arguments: Arguments) -> "Split":
    """Return what is to be encoded, in the nets' units."""
    if arguments.data is None:
        return data.test
    from advnets.data import arrays
    from advnets.data.dataset import Split
    from advnets.evaluation import subjects

    subject = subjects.of_file(arguments.data, target.config().data, data)
    labels = None
    if arguments.data.suffix.lower() == ".npz":
        given = arrays.read_file(arguments.data)[1]
        known, _ = arrays.number_labels(given, subject.available or 0)
        labels = None if known is None or given is None else given.ravel()
    return Split(data.scaling.apply(subject.draw(subject.available or 0, 0)), labels)


def _write(file: Path, codes: "FloatArray", examples: "Split", reconstructions: "FloatArray", data: "DataSet") -> None:
    """Write codes and reconstructions in the units and layout that `advnets sample` has, or pairs of pictures."""
    import numpy as np

    from advnets import pictures

    x, rebuilt = (data.scaling.undo(part) for part in (examples.x, reconstructions))
    if file.suffix.lower() == ".png" and x.ndim != 4:
        raise InputError(f"--out is {file} and these are vectors, allowed for them: .npz or .npy; rename it")
    with writing(file) as stream:
        match file.suffix.lower():
            case ".png":
                pairs = np.stack([x[:_PAIRS], rebuilt[:_PAIRS]], axis=1).reshape(-1, *x.shape[1:])
                picture = pictures.grid(pairs, columns=16, stretch=data.scaling.kind == "contrast")
                picture.save(stream, format="PNG")
            case ".npz":
                known: dict[str, Any] = {} if examples.labels is None else {"labels": examples.labels}
                np.savez_compressed(stream, codes=codes, reconstructions=pictures.channels_last(rebuilt), **known)
            case ".npy":
                np.save(stream, codes)


def _measured(
    inference: "Inference", data: "DataSet", examples: "Split", reconstructions: "FloatArray", arguments: Arguments
) -> dict[str, Any]:
    """Measure codes and reconstructions; what needs the run's own data is None with data of the user's."""
    from advnets.cli.measuring import showing
    from advnets.extensions import codes

    own = arguments.data is None
    recovery = codes.recovery(inference)
    with showing() as progress:
        compared = codes.baselines(inference, data, examples.x, report=progress("nearest samples")) if own else None
        accuracy = None
        if own and not arguments.no_neighbours:
            accuracy = codes.feature_accuracy(inference, data, report=progress("nearest neighbours"))
    return {
        "reconstruction_mse": codes.squared_error(reconstructions, examples.x),
        "baseline_mse": compared,
        "latent_mse": recovery.latent_mse,
        "correlation": recovery.correlation,
        "nearest_neighbour_accuracy": accuracy,
    }


def _lines(content: dict[str, Any]) -> list[list[str]]:
    """Say in a line each what was measured."""
    compared, accuracy = content["baseline_mse"], content["nearest_neighbour_accuracy"]
    beside = (
        f" (mean example {compared['mean_image']:.4f}, nearest of 10,000 samples {compared['nearest_sample']:.4f})"
        if compared
        else ""
    )
    z = f"squared error {content['latent_mse']:.4f}, correlation {content['correlation']:.3f}, on fresh samples"
    rows = [["  G(E(x)) and x", f"squared error {content['reconstruction_mse']:.4f}{beside}"], ["  E(G(z)) and z", z]]
    if accuracy:
        shares = f"{accuracy['codes']:.2%} by codes, {accuracy['raw']:.2%} by raw numbers"
        rows.append(["  nearest neighbour", shares])
    return rows
