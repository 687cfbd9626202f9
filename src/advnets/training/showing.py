"""The picture of samples that a run keeps of its steps."""

from collections.abc import Callable

from advnets import pictures, sampling
from advnets.data.dataset import DataSet, FloatArray
from advnets.disk import reporting
from advnets.runs import Run

_GRID, _POINTS = 100, 2500  # samples a picture: images, points


def save_picture(run: Run, step: int, draw: Callable[[int], FloatArray], data: DataSet, *, again: bool = True) -> None:
    """Write samples.png of `draw(count)`, samples in the nets' units, then the same as samples/step-N.png.

    Where the latter is there, it is written only `again`.
    """
    file = run.path / "samples" / f"step-{step}.png"
    if file.exists() and not again:
        return
    count = _GRID if len(data.shape) == 3 else _POINTS
    behind = data.scaling.undo(data.train.x[:count]) if len(data.shape) == 1 else None
    picture = sampling.picture(data.scaling.undo(draw(count)), data.scaling, behind)
    with reporting(f"cannot write samples in {run.path}", "checkpoints are intact"):
        run.make_folder("samples")
        for place in (run.path / "samples.png", file):  # in this order: where the second is, the first is
            pictures.save(picture, place)
