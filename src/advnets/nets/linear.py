"""A linear map that passes no gradient back to rows that want none."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear(
    x: Float[Tensor, "batch below"], weight: Float[Tensor, "above below"], bias: Float[Tensor, " above"], fixed: int = 0
) -> Float[Tensor, "batch above"]:
    """Return x·Wᵀ + b; the gradient by the first `fixed` rows of x is given as zero, and its product not made.

    Data and samples go through D together, and only the samples can move: of the first layer's three products one is
    halved. In the precision of torch.autocast where that is on, as torch's own linear map.
    """
    if not fixed or not x.requires_grad:
        return torch.nn.functional.linear(x, weight, bias)
    y: Tensor = _Linear.apply(x, weight, bias, fixed)  # type: ignore[no-untyped-call]  # torch gives it no types
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, fixed: int) -> Tensor:
        device = x.device.type
        lower = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        ctx.fixed, ctx.dtypes = fixed, (x.dtype, weight.dtype, bias.dtype)
        x, weight = x.to(lower), weight.to(lower)
        ctx.save_for_backward(x, weight)
        return torch.addmm(bias.to(lower), x, weight.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (x, weight), fixed = ctx.saved_tensors, ctx.fixed
        back = torch.zeros_like(x)
        torch.mm(gradient[fixed:], weight, out=back[fixed:])
        made = back, gradient.t() @ x, gradient.sum(0)
        of_x, of_weight, of_bias = (one.to(dtype) for one, dtype in zip(made, ctx.dtypes, strict=True))
        return of_x, of_weight, of_bias, None
