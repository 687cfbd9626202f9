"""Squared Euclidean distances by matrix products, in float64, without the cancellation that products bring."""

import torch
from jaxtyping import Float64
from torch import Tensor

_FEW = 8  # dimensions up to which differences are as fast as products
_NEAR = 1e-5  # a square below this share of the norms has lost five of sixteen digits in the product


def squared_distances(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """‖x_i − y_j‖² = ‖x_i‖² + ‖y_j‖² − 2·x_i·y_j, taken from the differences where the points are near.

    A pair is near if its square is under 1e-5 of both norms together; equal points are at distance 0 exactly.
    """
    if x.shape[1] <= _FEW:
        summed = torch.zeros(len(x), len(y), dtype=x.dtype, device=x.device)
        for column, other in zip(x.T, y.T, strict=True):
            summed += torch.sub(column[:, None], other[None, :]).square_()
        return summed
    x_norms, y_norms = torch.linalg.vecdot(x, x), torch.linalg.vecdot(y, y)
    squares: Tensor = x_norms[:, None] + y_norms[None, :]
    squares.addmm_(x, y.T, alpha=-2)
    limits = _NEAR * (x_norms + y_norms.amax())
    rows = (squares.amin(1) < limits).nonzero()[:, 0]
    if len(rows):
        _repair(squares, x, y, rows, limits)
    return squares


def _repair(squares: Tensor, x: Tensor, y: Tensor, rows: Tensor, limits: Tensor) -> None:
    """Take near pairs from their differences, a bounded number at a time."""
    at_once = max(1, 2**22 // x.shape[1])
    for block in rows.split(64):
        where = (squares[block] < limits[block, None]).nonzero()
        for pairs in where.split(at_once):
            i, j = block[pairs[:, 0]], pairs[:, 1]
            difference = x[i] - y[j]
            squares[i, j] = torch.linalg.vecdot(difference, difference)
