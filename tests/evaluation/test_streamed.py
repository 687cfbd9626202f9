"""The curve over streamed samples: what memory would give, and the same however many processes share the work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advnets.config import DataConfig
from advnets.errors import InputError
from advnets.evaluation import streamed
from advnets.evaluation.likelihood import HeldOut
from advnets.evaluation.parzen import ParzenWindow
from advnets.evaluation.progress import Report
from advnets.evaluation.streamed import curve
from advnets.evaluation.subjects import Subject
from sharing import side_by_side

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


@pytest.mark.parametrize("processes", [2, 3, 40])
def test_processes_add_up_to_one(processes: int) -> None:
    alone = curve(NORMAL, HELD_OUT, 1700, seed=1)
    for found in side_by_side(processes, lambda rank: curve(NORMAL, HELD_OUT, 1700, seed=1)):
        for one, other in zip(found, alone, strict=True):
            assert one["bandwidth"] == other["bandwidth"] and one["centres"] == other["centres"]
            assert one["nats"] == pytest.approx(other["nats"], abs=1e-10)
            assert one["standard_error"] == pytest.approx(other["standard_error"], rel=1e-10)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 20))
def test_every_block_meets_every_point_in_one_process(of: int, blocks: int, points: int) -> None:
    met = np.zeros((blocks, points), int)
    fields = [streamed.field(rank, of, blocks, points) for rank in range(of)]
    for one in fields:
        met[one.blocks, one.points] += 1
    assert (met == 1).all()
    if of <= blocks:
        assert all(one.points == slice(0, points) for one in fields), "as few draws as can be"


def test_no_process_is_idle_for_want_of_blocks() -> None:
    sizes = [
        len(range(4)[one.blocks]) * (one.points.stop - one.points.start)
        for one in (streamed.field(rank, 8, 4, 100) for rank in range(8))
    ]
    assert sizes == [50] * 8


def test_progress_is_that_of_all_processes() -> None:
    told: list[list[tuple[int, int]]] = [[], []]

    def report(rank: int) -> Report:
        return lambda done, total: told[rank].append((done, total))

    side_by_side(2, lambda rank: curve(NORMAL, HELD_OUT, 1700, report=report(rank)))
    assert told[0] == sorted(told[0]) and told[0][-1] == (1700, 1700)
    assert {total for _, total in told[0]} == {1700}


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
    assert {total for _, total in told} == {3000}


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
