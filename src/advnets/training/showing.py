"""The picture of samples that a run keeps of its steps."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets import masks, noise, pictures, sampling
from advnets.conditions import Conditions, of_split
from advnets.data.dataset import DataSet, FloatArray, Split
from advnets.disk import reporting
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training.given import of_masks

_GRID, _POINTS = 100, 2500  # samples a picture: images, points
_EACH = 10  # images a row of completions


def save_picture(run: Run, step: int, draw: Callable[[int], FloatArray], data: DataSet, *, again: bool = True) -> None:
    """Write samples.png of `draw(count)`, samples in the nets' units, then the same as samples/step-N.png.

    Where the latter is there, it is written only `again`.
    """
    file = run.path / "samples" / f"step-{step}.png"
    if file.exists() and not again:
        return
    count = _GRID if len(data.shape) == 3 else _POINTS
    behind = data.scaling.undo(data.train.x[:count]) if len(data.shape) == 1 else None
    behind = None if behind is None else behind[np.isfinite(behind).all(1)]
    picture = sampling.picture(data.scaling.undo(draw(count)), data.scaling, behind)
    with reporting(f"cannot write samples in {run.path}", "checkpoints are intact"):
        run.make_folder("samples")
        for place in (run.path / "samples.png", file):  # in this order: where the second is, the first is
            pictures.save(picture, place)


def completions(
    net: nn.Module, z: Float[Tensor, "count latent"], split: Split, given: Conditions, seed: int
) -> FloatArray:
    """Complete examples under masks of the seed: of images, rows of one, what is known of it, and eight completions."""
    x, observed = of_split(split, given)
    each = _EACH if x.dim() == 4 else 1
    rows = torch.arange(len(z) // each) % len(x)
    x, observed = x[rows], None if observed is None else observed[rows]
    told = of_masks(x, masks.draw(given.masks, len(x), tuple(x.shape[1:]), stream(seed, "masks")), observed)
    assert told.generator is not None and told.hidden is not None  # they are masks
    c = told.generator.repeat_interleave(each, 0)
    made = sampling.generate(net, noise.beside(z[: len(c)], c)).reshape(len(x), each, *x.shape[1:])
    if each == 1:
        return made[:, 0]
    known = told.generator.chunk(2, dim=1)[1].view_as(x)
    made[:, 0], made[:, 1] = x.numpy(), pictures.masked(x.numpy(), known.numpy())
    return made.reshape(len(c), *x.shape[1:])
