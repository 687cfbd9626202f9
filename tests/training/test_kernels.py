"""What a compiled step adds to torch, against autograd and torch's own operators."""

import os
import subprocess
import sys

import pytest
import torch

from advnets.nets.dropout import dropout, numbers_for
from advnets.nets.maxout import Maxout
from advnets.nets.mlp import activate
from advnets.training import kernels
from advnets.training.kernels import Moved, backward, largest, linear, masked, numbers, slope

pytestmark = pytest.mark.skipif(kernels.compiler() is None, reason="no C++ compiler")
MAPS = [  # rows, below, above: beyond whole tiles, blocks and fours, and narrow
    (100, 784, 1200),
    (1, 1, 16),
    (3, 129, 65),
    (9, 70, 130),
    (5, 260, 17),
    (4, 300, 15),
]
SHAPES = [  # rows, below, units, pieces
    (200, 784, 240, 5),
    (1, 1, 1, 2),
    (3, 129, 65, 3),  # a column and a unit beyond whole tiles
    (130, 64, 7, 40),  # pieces that are the largest in no row
]
BOUND = {torch.float32: 1e-5, torch.float64: 1e-13}


@pytest.fixture(scope="module")
def random():
    return torch.Generator().manual_seed(0)


def layer(shape, dtype, random):
    rows, below, units, pieces = shape
    made = Maxout(below, units, pieces).to(dtype)
    x = torch.randn(rows, below, dtype=dtype, generator=random)
    gradient = torch.randn(rows, units, dtype=dtype, generator=random)
    velocity = [torch.randn(one.shape, dtype=dtype, generator=random) for one in made.parameters()]
    h, piece = largest(made.linear(x).detach(), pieces)
    return made, x, gradient, velocity, h, piece


def close(found, wanted, bound):
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    assert (found - wanted).abs().max() <= bound * wanted.abs().max()


def rectified(shape, share, dtype, random):
    """Numbers of which about a share is not zero, the first row and column without any."""
    kept = torch.rand(shape, generator=random) < share
    kept[0], kept[:, 0] = False, False
    return torch.randn(shape, dtype=dtype, generator=random) * kept


def by_columns(weight):
    """The same numbers, column after column in memory."""
    return weight.t().contiguous().t()


@pytest.mark.parametrize("laid", [torch.clone, by_columns])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0], ids="{} of x".format)
@pytest.mark.parametrize("shape", MAPS, ids=str)
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_a_linear_map_of_many_zeros_is_that_of_torch(shape, share, dtype, laid, random):
    rows, below, above = shape
    x = rectified((rows, below), share, dtype, random)
    weight = laid(torch.randn(above, below, dtype=dtype, generator=random))
    bias = torch.randn(above, dtype=dtype, generator=random)
    close(linear(x, weight, bias), torch.addmm(bias, x, weight.t()), 2 * BOUND[dtype])


def test_what_is_not_finite_is_passed_on(random):
    x = rectified((4, 40), 0.3, torch.float32, random)
    x[2, 5], x[3, 7] = float("nan"), float("inf")
    found = linear(x, torch.randn(30, 40, generator=random), torch.zeros(30))
    assert not found[2:].isfinite().any() and found[:2].isfinite().all()


@pytest.mark.parametrize("laid", [torch.clone, by_columns])
@pytest.mark.parametrize("skipped", [None, 0, 2], ids="skipped {}".format)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0], ids="{} not zero".format)
@pytest.mark.parametrize("shape", MAPS, ids=str)
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_a_map_moves_as_by_sgd_whatever_share_of_its_gradient_or_input_is_zero(
    shape, share, skipped, laid, dtype, random
):
    """Of g, or by columns of x; then the gradient by x is asked for only where x is not zero."""
    rows, below, above = shape
    skipped = None if skipped is None else min(skipped, rows)
    of_input = laid is by_columns
    x = rectified((rows, below), share if of_input else 1.0, dtype, random)
    gradient = rectified((rows, above), 1.0 if of_input else share, dtype, random)
    weight, velocity = (laid(torch.randn(above, below, dtype=dtype, generator=random)) for _ in range(2))
    of_bias = torch.randn(above, dtype=dtype, generator=random)
    asked = (x[skipped or 0 :] != 0) | (not of_input)
    of_x = (gradient[skipped or 0 :] @ weight) * asked
    wanted = [0.7 * velocity + gradient.t() @ x, 0.7 * of_bias + gradient.sum(0)]
    to = weight - 0.1 * wanted[0]
    found = backward(Moved(weight, velocity, None, 0.1, 0.7), of_bias, gradient, None, x, skipped)
    for one, other in zip([velocity, of_bias, weight], [*wanted, to], strict=True):
        close(one, other, 2 * BOUND[dtype])
    assert (found is None) == (skipped is None)
    if found is not None and found.numel():
        close(found * asked, of_x, 2 * BOUND[dtype])


@pytest.mark.parametrize(
    ("shares", "listed"),
    [
        ([0.3] * 60, 60),
        ([0.95] * 61, 0),
        ([0.3] * 30 + [0.95] * 32, 30),
        ([0.1] * 90 + [0.95] * 90, 90),  # data and fakes: many zeros in all
        ([0.95] * 30 + [0.7] * 10, 0),
        ([0.95] * 4 + [0.3] * 30, 34),
    ],
    ids=["many", "few", "many, then few", "many in all", "few, then many", "few in a few rows"],
)
def test_rows_of_many_zeros_are_told_from_others(shares, listed, random):
    """Both ways give the same numbers. Where the weight of an input that is zero is not finite, one does not see it."""
    weight, bias = torch.randn(64, 200, generator=random), torch.randn(64, generator=random)
    x = torch.cat([(torch.rand(1, 200, generator=random) < share).float() for share in shares])
    x[:, 7] = 0
    close(linear(x, weight, bias), torch.addmm(bias, x, weight.t()), 1e-5)
    weight[:, 7] = torch.inf
    assert linear(x, weight, bias).isfinite().all(1).tolist() == [row < listed for row in range(len(x))]


@pytest.mark.parametrize("skipped", [None, 0, 1], ids="skipped {}".format)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_gradients_of_maxout_are_those_of_autograd(shape, skipped, dtype, random):
    made, x, gradient, velocity, h, piece = layer(shape, dtype, random)
    gradient[:, ::3] = 0  # as dropout above it does
    x.requires_grad_()
    out = made(x)
    out.backward(gradient)
    assert torch.equal(h, out.detach())
    rate, momentum, weight = 0.1, 0.7, made.linear.weight
    wanted = [momentum * v + w.grad for v, w in zip(velocity, made.parameters(), strict=True)]
    to = weight.detach() - rate * wanted[0]
    moved = Moved(weight.detach(), velocity[0], None, rate, momentum)
    of_x = backward(moved, velocity[1], gradient, piece, x.detach(), skipped)
    for found, one in zip([*velocity, weight.detach()], [*wanted, to], strict=True):
        close(found, one, 2 * BOUND[dtype])
    assert (of_x is None) == (skipped is None)
    if of_x is not None and of_x.numel():
        close(of_x, x.grad[skipped:], 2 * BOUND[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("activation", ["rectifier", "sigmoid", "linear"])
def test_slopes_are_those_of_autograd(activation, dtype, random):
    y = torch.randn(30, 301, generator=random).double().requires_grad_()
    gradient = torch.randn(30, 301, generator=random).to(dtype)
    h = activate(y, activation)
    h.backward(gradient.double())
    found = slope(gradient.clone(), h.detach().to(dtype), activation)
    assert found.dtype == dtype
    close(found.double(), y.grad, 0.02 if dtype == torch.bfloat16 else BOUND[dtype])


def test_weights_are_rounded_as_torch_rounds_them(random):
    made, x, gradient, velocity, _, piece = layer(SHAPES[2], torch.float32, random)
    weight = made.linear.weight.detach()
    weight[0, :5] = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e-40, 3e38])
    weight[1, :4] = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-20])  # ties, and beside one
    velocity[0][1], gradient[:, 1] = 0, 0  # which stand still
    coarse = torch.empty_like(weight, dtype=torch.bfloat16)
    backward(Moved(weight, velocity[0], coarse, 0.1, 0.7), velocity[1], gradient, piece, x, None)
    assert weight[0, :5].isnan().tolist() == [True, False, False, False, False]
    assert torch.equal(coarse.nan_to_num(7), weight.to(torch.bfloat16).nan_to_num(7))


@pytest.mark.parametrize(("dtype", "coarse"), [(torch.float64, False), (torch.float32, False), (torch.float32, True)])
@pytest.mark.parametrize("shape", [(100, 70, 90), (1, 1, 1)])
def test_a_linear_map_moves_as_by_sgd(shape, dtype, coarse, random):
    rows, below, above = shape
    played = torch.bfloat16 if coarse else dtype
    x = torch.randn(rows, below, generator=random).to(played)
    gradient = torch.randn(rows, above, generator=random).to(played)
    weight = torch.nn.Parameter(torch.randn(above, below, generator=random).to(dtype))
    rule = torch.optim.SGD([weight], lr=0.1, momentum=0.7)
    moved, of_bias = (weight.detach().clone(), torch.zeros(above, below, dtype=dtype)), torch.zeros(above, dtype=dtype)
    low = torch.empty(above, below, dtype=torch.bfloat16) if coarse else None
    for _ in range(3):
        weight.grad = (gradient.t() @ x).to(dtype)
        rule.step()
        backward(Moved(*moved, low, 0.1, 0.7), of_bias, gradient, None, x, None)
    close(moved[0], weight.detach(), 2 * BOUND[dtype])
    close(moved[1], rule.state[weight]["momentum_buffer"], 2 * BOUND[dtype])
    if low is not None:
        assert torch.equal(low, moved[0].to(torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_largest_piece_and_the_first_of_equal_ones(dtype, random):
    y = torch.randn(9, 3 * 33, generator=random).to(dtype)
    y[0] = 1.5
    y[1, 33:66] = float("nan")
    h, piece = largest(y, 3)
    of_units = y.unflatten(1, (3, 33))
    assert torch.equal(h.nan_to_num(9), of_units.amax(1).nan_to_num(9)) and bool(h[1].isnan().all())
    assert torch.equal(piece[2:].long(), of_units[2:].argmax(1))
    assert not piece[0].any() and bool((piece[1] == 1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("keep", [0.5, 0.8, 1e-9])
def test_masks_are_those_of_dropout(dtype, keep, random):
    x = torch.randn(30, 301, generator=random).to(dtype)
    before = random.get_state()
    wanted = dropout(x.float() if dtype == torch.bfloat16 else x, keep, random).to(dtype)  # rounded once
    random.set_state(before)
    assert torch.equal(masked(x, numbers_for(x, random), keep), wanted)


def test_numbers_are_those_of_dropout_and_leave_the_generator_as_it_would(random):
    """In blocks of the twister that end within, before and after a draw, and beside other draws."""
    assert kernels._draws_as_torch()
    other = torch.Generator()
    other.set_state(random.get_state())
    for rows in (200, 1, 3, 156, 157, 311, 5):
        x = torch.empty(rows, 16)
        assert torch.equal(numbers(x, random), numbers_for(x, other))
        assert torch.equal(torch.rand(rows, generator=random), torch.rand(rows, generator=other))
        assert torch.equal(random.get_state(), other.get_state())


def test_numbers_are_torch_s_where_its_generator_is_another(monkeypatch):
    one, other = (torch.Generator().manual_seed(4) for _ in range(2))
    monkeypatch.setattr(kernels, "_STATE_BYTES", 5048)
    kernels._draws_as_torch.cache_clear()
    assert not kernels._draws_as_torch()
    x = torch.empty(20, 30)
    assert torch.equal(numbers(x, one), numbers_for(x, other)) and torch.equal(one.get_state(), other.get_state())
    kernels._draws_as_torch.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_threads_are_those_of_torch():
    """Two OpenMP runtimes would have their threads wait for each other."""
    program = (
        "import torch; from advnets.training import kernels; torch.rand(300, 300) @ torch.rand(300, 300); "
        "kernels.prepare(); kernels.largest(torch.rand(64, 8), 2); "
        "print({line.split()[-1] for line in open('/proc/self/maps') if 'gomp' in line or 'iomp' in line})"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert len(eval(told.stdout)) == 1, told.stdout


def test_a_compiler_is_found_where_it_is_named(monkeypatch, tmp_path):
    program = tmp_path / "my-c++"
    program.write_text("#!/bin/sh\necho 'no licence' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", str(program))
    assert kernels.compiler() == str(program)
    kernels._library.cache_clear()
    with pytest.raises(kernels.CompilerError, match=r"my-c\+\+: no licence"):
        kernels.prepare()
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    assert kernels.compiler() is None
    monkeypatch.delenv("CXX")
    assert os.path.isabs(kernels.compiler() or "/")
    kernels.prepare()


def test_a_folder_whose_files_may_not_be_executed_is_named(monkeypatch):
    def refuses(file):
        raise OSError(f"{file}: failed to map segment from shared object")

    kernels._library.cache_clear()
    monkeypatch.setattr(kernels.ctypes, "CDLL", refuses)
    with pytest.raises(kernels.CompilerError, match=r"cannot be loaded: .*failed to map segment.*; set TMPDIR"):
        kernels.prepare()


def test_memory_that_is_not_contiguous_is_refused(random):
    with pytest.raises(ValueError, match="largest: a tensor is not contiguous"):
        largest(torch.randn(8, 6, generator=random).t(), 2)
