"""A folder that opens in a browser, without a server and without a network: it samples, walks and interpolates.

OUT/index.html page.css page.js   the page
OUT/generator.js                  the generator as ONNX, what it is, and samples to check the browser by
OUT/runtime.js ort.wasm.min.js    onnxruntime-web

Browsers let a page from a folder load scripts but read no other files, so models and WebAssembly are in scripts.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from advnets import disk
from advnets.errors import InputError
from advnets.export.parts import Exported
from advnets.sampling import principal_directions

RUNTIME = "1.30.0"
_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_MEMBERS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_MOST = 64 << 20  # bytes of a member
_CHECKED = 8
_SECONDS = 600


def write(exported: Exported, model: bytes, folder: Path, runtime: dict[str, bytes]) -> None:
    """Write the page of a generator of images into a folder that is there; raises InputError for anything else."""
    if exported.part != "generator" or len(exported.shape) != len("chw") or exported.shape[0] not in (1, 3):
        raise InputError(
            f"--page is set for a {exported.part} of {exported.shape}, allowed: a generator of images, grey or in "
            "colour; leave --page out"
        )
    if "c" in exported.inputs and not exported.class_names:
        raise InputError("--page is set and c is numbers, allowed: no condition, or classes; leave --page out")
    page = resources.files("advnets.export") / "static"
    for name in ("index.html", "page.css", "page.js"):
        disk.write(folder / name, (page / name).read_bytes())
    script, module, binary = (runtime[name] for name in _MEMBERS)
    disk.write(folder / "ort.wasm.min.js", script)
    disk.write(folder / "runtime.js", _script("RUNTIME", {"module": _text(module), "wasm": _text(binary)}))
    disk.write(folder / "generator.js", _script("GENERATOR", _content(exported, model)))


def _content(exported: Exported, model: bytes) -> dict[str, Any]:
    checked = {name: one[:_CHECKED] for name, one in exported.inputs.items()}
    made = exported.result(_CHECKED)
    facts = exported.facts()
    return {
        "model": _text(model),
        "facts": facts,
        "directions": principal_directions(exported.net, exported.inputs["z"].shape[1]).tolist(),
        "title": f"{facts['recipe']}: a generator of images",
        "about": f"Step {exported.step:,} of {facts['recipe']}, {exported.weights} weights, data: {facts['data']}.",
        "check": {
            "z": checked["z"].tolist(),
            "labels": checked["c"].argmax(1).tolist() if "c" in checked else [0] * _CHECKED,
            "x": made.flatten(1).tolist(),
        },
    }


def fetched(archive: Path | None) -> dict[str, bytes]:
    """Return the files of onnxruntime-web that a page needs, of an archive as npm packs it, or let npm fetch that.

    Raises InputError where neither is there, and for another archive than the one this was tested with.
    """
    if archive is not None:
        return _members(archive)
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"--page needs onnxruntime-web {RUNTIME} and npm is not on the path, allowed: npm, or --runtime FILE; "
            f"elsewhere, npm pack onnxruntime-web@{RUNTIME} makes that file"
        )
    with tempfile.TemporaryDirectory() as place:
        words = [npm, "pack", "--ignore-scripts", f"onnxruntime-web@{RUNTIME}"]
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False, timeout=_SECONDS)
        found = [*Path(place).glob("*.tgz")]
        if done.returncode or not found:
            last = (done.stderr.strip().splitlines() or ["no file"])[-1]
            raise InputError(
                f"npm cannot fetch onnxruntime-web ({last}), allowed: a network, or --runtime FILE; try again"
            )
        return _members(found[0])


def _members(archive: Path) -> dict[str, bytes]:
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise InputError(
            f"--runtime is {archive}, which cannot be read ({disk.reason(error)}), allowed: what npm pack "
            f"onnxruntime-web@{RUNTIME} makes; name that file"
        ) from None
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise InputError(
            f"{archive} is another file than onnxruntime-web {RUNTIME} as npm packs it, allowed: that one; npm pack "
            f"onnxruntime-web@{RUNTIME} makes it"
        )
    found = {}
    with tarfile.open(archive, "r:gz") as opened:
        for name in _MEMBERS:
            member = opened.extractfile(f"package/dist/{name}")
            assert member is not None  # the checksum is that of an archive which has it
            found[name] = member.read(_MOST)
    return found


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _script(name: str, content: dict[str, Any]) -> bytes:
    """Write a script that defines a constant; no text in it can end the script element."""
    return f"const {name} = {json.dumps(content).replace('<', chr(92) + 'u003c')};\n".encode()
