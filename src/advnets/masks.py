"""Masks: which numbers of an example are known, 1, and which are to be filled in, 0."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from advnets.config import MaskKind
from advnets.seeds import rows

Known = Float[Tensor, "n *shape"]
_Hidden = Bool[Tensor, "n height width"]


def draw(kinds: Sequence[MaskKind], count: int, shape: tuple[int, ...], random: torch.Generator) -> Known:
    """Draw a mask for each of `count` examples of this shape, each of a kind of its own; channels share theirs.

    pixels: every one is hidden with a probability u ∼ U(0, 1) of the example; blocks: a rectangle of a quarter of
    either side up to the whole of it; halves: the left, right, upper or lower one; strokes: four thick lines; columns:
    a run of neighbouring columns; all: everything. A vector is an image of one row.
    """
    return rows(count, random, lambda whole: _draw(kinds, whole, shape, random))


def _draw(kinds: Sequence[MaskKind], count: int, shape: tuple[int, ...], random: torch.Generator) -> Known:
    height, width = shape[1:] if len(shape) == 3 else (1, shape[0])
    chosen = torch.randint(len(kinds), (count,), generator=random, device=random.device)
    hidden = torch.zeros(count, height, width, dtype=torch.bool, device=random.device)
    for number, kind in enumerate(kinds):  # each for all, so that the stream goes on alike whatever was chosen
        hidden |= _KINDS[kind](count, height, width, random) & (chosen == number)[:, None, None]
    known = (~hidden).float()
    return known[:, None].expand(count, *shape) if len(shape) == 3 else known.reshape(count, *shape)


def hidden_share(shares: Float[Tensor, " n"], shape: tuple[int, ...], random: torch.Generator) -> Known:
    """Draw masks in which every pixel, or number of a vector, is hidden with the probability of its example."""
    height, width = shape[1:] if len(shape) == 3 else (1, shape[0])
    known = (_uniform(random, len(shares), height, width) >= shares[:, None, None]).float()
    return known[:, None].expand(len(shares), *shape) if len(shape) == 3 else known.reshape(len(shares), *shape)


def side(name: str, shape: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """Return the mask of an image whose left, right, top or bottom half, or middle block of half its sides, is hidden.

    Of an odd number of rows or columns, the one in the middle is hidden too.
    """
    _, height, width = shape
    rows, columns = slice(None), slice(None)
    match name:
        case "left":
            columns = slice(0, math.ceil(width / 2))
        case "right":
            columns = slice(width // 2, None)
        case "top":
            rows = slice(0, math.ceil(height / 2))
        case "bottom":
            rows = slice(height // 2, None)
        case "block":
            rows, columns = (slice(size // 4, size - size // 4) for size in (height, width))
        case _:
            raise ValueError(name)
    known = torch.ones(shape)
    known[:, rows, columns] = 0
    return known


def _uniform(random: torch.Generator, *size: int) -> Tensor:
    return torch.rand(size, generator=random, device=random.device)


def _pixels(count: int, height: int, width: int, random: torch.Generator) -> _Hidden:
    return _uniform(random, count, height, width) < _uniform(random, count, 1, 1)


def _run(count: int, size: int, least: int, random: torch.Generator) -> Bool[Tensor, "n size"]:
    """Mark `least` up to all of a side's places, next to each other."""
    u = _uniform(random, 2, count, 1)
    length = least + (u[0] * (size - least + 1)).floor()
    start = (u[1] * (size - length + 1)).floor()
    place = torch.arange(size, device=random.device)
    return (place >= start) & (place < start + length)


def _blocks(count: int, height: int, width: int, random: torch.Generator) -> _Hidden:
    rows, columns = (_run(count, size, math.ceil(size / 4), random) for size in (height, width))
    return rows[:, :, None] & columns[:, None, :]


def _columns(count: int, height: int, width: int, random: torch.Generator) -> _Hidden:
    return _run(count, width, 1, random)[:, None, :].expand(count, height, width)


def _halves(count: int, height: int, width: int, random: torch.Generator) -> _Hidden:
    which: Int[Tensor, " n"] = torch.randint(4, (count,), generator=random, device=random.device)
    sides = torch.stack([side(name, (1, height, width))[0] == 0 for name in ("left", "right", "top", "bottom")])
    return sides.to(random.device)[which]


def _strokes(count: int, height: int, width: int, random: torch.Generator, lines: int = 4) -> _Hidden:
    """Mark what is within a tenth of the longer side, or .8 pixels, of segments between random points."""
    size = torch.tensor([height - 1.0, width - 1.0], device=random.device)
    ends = _uniform(random, 2, count, lines, 1, 1, 2) * size
    rows, columns = (torch.arange(n, dtype=torch.float32, device=random.device) for n in (height, width))
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    along = ends[1] - ends[0]
    t = ((place - ends[0]) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
    nearest = ends[0] + t.clamp(0, 1)[..., None] * along
    apart = (place - nearest).square().sum(-1)
    return (apart <= max(0.8, max(height, width) / 10) ** 2).any(1)


def _all(count: int, height: int, width: int, random: torch.Generator) -> _Hidden:
    return torch.ones(count, height, width, dtype=torch.bool, device=random.device)


_KINDS: dict[MaskKind, Callable[[int, int, int, torch.Generator], _Hidden]] = {
    "pixels": _pixels,
    "blocks": _blocks,
    "halves": _halves,
    "strokes": _strokes,
    "columns": _columns,
    "all": _all,
}
