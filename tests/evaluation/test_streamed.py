"""The curve over streamed samples: what memory would give, and the same however many processes share the work."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from advnets.config import DataConfig
from advnets.errors import InputError
from advnets.evaluation import streamed
from advnets.evaluation.likelihood import HeldOut
from advnets.evaluation.parzen import ParzenWindow
from advnets.evaluation.streamed import Share, curve, sums_of_share
from advnets.evaluation.subjects import Subject

RNG = np.random.default_rng(0)
HELD_OUT = HeldOut(RNG.normal(size=(60, 3)).astype(np.float32), RNG.normal(size=(80, 3)).astype(np.float32))


def draw(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


NORMAL = Subject(draw, DataConfig("gaussian"), {})


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "BLOCK", 100)
    monkeypatch.setattr(streamed, "_sizes", lambda count: [*(size for size in (100, 300, 1000) if size < count), count])


def test_is_what_a_window_on_all_samples_gives() -> None:
    centres = np.concatenate([streamed._draw(NORMAL, block, 7) for block in range(17)])
    for point in curve(NORMAL, HELD_OUT, 1700, seed=7):
        window = ParzenWindow(point["bandwidth"]).fit(centres[: point["centres"]])
        scores = window.score_samples(HELD_OUT.test)
        assert point["nats"] == pytest.approx(scores.mean(), abs=1e-10)
        assert point["standard_error"] == pytest.approx(scores.std(ddof=1) / 80**0.5)
        assert point["test_points"] == 80 and point["grid"] == "streamed"
        grid = [
            ParzenWindow(point["bandwidth"] * step).fit(centres[: point["centres"]]) for step in (1 / 1.05, 1, 1.05)
        ]
        smaller, chosen, larger = (one.score(HELD_OUT.validation) for one in grid)
        assert chosen > smaller and chosen > larger
    assert [point["centres"] for point in curve(NORMAL, HELD_OUT, 1700, seed=7)] == [100, 300, 1000, 1700]


@pytest.mark.parametrize("processes", [2, 3, 30])
def test_processes_add_up_to_one(processes: int) -> None:
    alone = sums_of_share(NORMAL, HELD_OUT, 1700, seed=1, share=Share())
    shares = [sums_of_share(NORMAL, HELD_OUT, 1700, seed=1, share=Share(rank, processes)) for rank in range(processes)]
    for one in shares:
        assert one.sizes == alone.sizes and np.array_equal(one.widths, alone.widths)
    together = logsumexp(np.stack([one.logs.numpy() for one in shares]), axis=0)
    np.testing.assert_allclose(together, alone.logs.numpy(), atol=1e-12)
    found = curve(
        NORMAL, HELD_OUT, 1700, seed=1, share=Share(gather=lambda x: torch.stack([one.logs for one in shares]))
    )
    for one, other in zip(found, curve(NORMAL, HELD_OUT, 1700, seed=1), strict=True):
        assert one["nats"] == pytest.approx(other["nats"], abs=1e-10) and one["bandwidth"] == other["bandwidth"]


def test_no_more_than_a_block_is_in_memory_at_once() -> None:
    drawn = []

    def counting(count: int, seed: int) -> np.ndarray:
        drawn.append(count)
        return draw(count, seed)

    told = []
    curve(
        Subject(counting, DataConfig("gaussian"), {}),
        HELD_OUT,
        3000,
        report=lambda done, total: told.append((done, total)),
    )
    assert set(drawn) == {100} and len(drawn) == 10 + 30
    assert told == sorted(told) and told[-1] == (3000, 3000)


def test_seeds_give_other_samples() -> None:
    one, other = (curve(NORMAL, HELD_OUT, 300, seed=seed)[-1]["nats"] for seed in (0, 1))
    assert one != other and one == curve(NORMAL, HELD_OUT, 300, seed=0)[-1]["nats"]


def test_refuses_samples_of_a_file_and_odd_counts() -> None:
    with pytest.raises(InputError, match="--centres streams samples from a generator"):
        curve(Subject(draw, DataConfig("gaussian"), {}, available=50), HELD_OUT, 300)
    with pytest.raises(InputError, match="--centres is 350, allowed: a multiple of 100; set --centres 300"):
        curve(NORMAL, HELD_OUT, 350)
    with pytest.raises(InputError, match=r"set --centres 100$"):
        curve(NORMAL, HELD_OUT, 7)
