"""The linear map whose data rows get no gradient: torch's own, but for those rows, in every precision."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from advnets.nets.linear import linear


def both(dtype, coarse, fixed):
    """Values and gradients of ours and of torch's."""
    random = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(size, generator=random, dtype=dtype) for size in ((7, 5), (4, 5), (4,)))
    seed = torch.randn(7, 4, generator=random, dtype=dtype)
    for function in (lambda *given: linear(*given, fixed), torch.nn.functional.linear):
        given = [one.clone().requires_grad_() for one in (x, weight, bias)]
        with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            y = function(*given)
        y.backward(seed.to(y.dtype))
        yield y, *(one.grad for one in given)


@pytest.mark.parametrize("fixed", [0, 1, 3, 7])
@pytest.mark.parametrize(("dtype", "coarse"), [(torch.float64, False), (torch.float32, False), (torch.float32, True)])
def test_it_is_torchs_but_for_rows_that_want_no_gradient(dtype, coarse, fixed):
    (y, of_x, *others), (twin, of_x_twin, *others_twin) = both(dtype, coarse, fixed)
    assert y.dtype == twin.dtype
    assert [one.dtype for one in (of_x, *others)] == [one.dtype for one in (of_x_twin, *others_twin)]
    close = {"rtol": 0.02, "atol": 0.02} if coarse else {}
    torch.testing.assert_close(y, twin, **close)
    torch.testing.assert_close(of_x[fixed:], of_x_twin[fixed:], **close)
    assert (of_x[:fixed] == 0).all()
    for own, other in zip(others, others_twin, strict=True):
        torch.testing.assert_close(own, other, **close)


def test_the_product_for_those_rows_is_not_made():
    flops = []
    for fixed in (0, 4):
        x, weight = torch.ones(7, 5, requires_grad=True), torch.ones(3, 5, requires_grad=True)
        with FlopCounterMode(display=False) as counter:
            linear(x, weight, torch.zeros(3, requires_grad=True), fixed).sum().backward()
        flops.append(counter.get_total_flops())
    assert flops[0] - flops[1] == 2 * 4 * 5 * 3
