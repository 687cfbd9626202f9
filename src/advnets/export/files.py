"""An exported function as a file, and how far it is from the net when another program runs it."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim, ExportedProgram

from advnets.errors import InputError
from advnets.export.parts import Exported

Result = NDArray[np.float32]


def program(exported: Exported) -> ExportedProgram:
    """Trace the function by torch.export, for any number of rows."""
    rows = {name: {0: Dim("rows", min=1)} for name in exported.inputs}
    with torch.no_grad(), _quiet():
        return torch.export.export(
            exported.net, tuple(one[:2] for one in exported.inputs.values()), dynamic_shapes=tuple(rows.values())
        )


def onnx_bytes(exported: Exported) -> bytes:
    """Return the function as an ONNX model, with what it is under `metadata_props`.

    Raises InputError where the extra that writes it is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # what torch.onnx writes with
    except ImportError as error:
        raise _missing(error) from None
    with torch.no_grad(), _quiet():
        made = torch.onnx.export(
            program(exported),
            dynamo=True,
            input_names=[*exported.inputs],
            output_names=[exported.output],
            external_data=False,
            verbose=False,
        )
    assert made is not None  # without a file the model is returned
    model = made.model_proto
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in exported.facts().items()})
    model.producer_name = "advnets"
    content: bytes = model.SerializeToString()
    return content


def run_onnx(content: bytes, exported: Exported) -> Result:
    """Let onnxruntime compute the function of all inputs."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(error) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {name: one.numpy() for name, one in exported.inputs.items()})
    return np.asarray(made, np.float32)


def program_bytes(exported: Exported) -> bytes:
    """Return the function as torch.export.save writes it."""
    stream = io.BytesIO()
    torch.export.save(program(exported), stream, extra_files={"advnets.json": json.dumps(exported.facts())})
    return stream.getvalue()


@torch.no_grad()
def run_program(content: bytes, exported: Exported) -> Result:
    """Load what `program_bytes` made and compute the function of all inputs."""
    made: Any = torch.export.load(io.BytesIO(content)).module()(*exported.inputs.values())
    result: Result = made.numpy()
    return result


def difference(exported: Exported, made: Result) -> float:
    """Return the largest difference of results from the net's own numbers, of those above 1 in parts of them."""
    own = exported.result().numpy()
    if own.shape != made.shape:
        return float("inf")
    apart = np.abs(own.astype(np.float64) - made) / np.maximum(1, np.abs(own))
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def _missing(error: ImportError) -> InputError:
    return InputError(
        f"{error.name} is not installed, allowed: with it; pip install 'advnets[export]', or --out with .pt2"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch's exporter tells its developers from the user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
