"""Rows parted among processes: all get what one alone computes, and hear how far all are."""

import io
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from advnets.config import DataConfig
from advnets.data import load
from advnets.data.dataset import Split
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import conditional, features, kept, shares, two_sample
from advnets.evaluation.neighbours import balls_with, nearest
from advnets.evaluation.parzen import ParzenWindow
from advnets.evaluation.progress import silent
from sharing import side_by_side

DIGITS = (load_digits().data / 16).astype(np.float32)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 7))
def test_parts_make_up_all_rows_at_multiples_of_the_unit(n: int, parts: int, unit: int) -> None:
    slices = [shares.part(n, parts, number, unit) for number in range(parts)]
    assert [row for one in slices for row in range(n)[one]] == list(range(n))
    assert all(one.start % unit == 0 or one.start == n for one in slices)
    sizes = [one.stop - one.start for one in slices]
    assert max(sizes) - min(sizes) <= 2 * unit


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 4))
def test_everyone_gets_the_rows_of_all(n: int, processes: int, unit: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, 2))

    def work(rank: int) -> Any:
        mine = shares.split(n, unit)
        own = rows[mine.own]
        assert len(own) > 0
        return mine.stack(own), mine.stack(np.arange(n)[mine.own])

    for found, numbers in side_by_side(processes, work):
        np.testing.assert_array_equal(found, rows)
        np.testing.assert_array_equal(numbers, np.arange(n))


def test_once_is_what_the_first_makes_alone() -> None:
    def work(rank: int) -> Any:
        return shares.once(lambda: (rank, shares.share().of, shares.split(7).own.stop))

    assert side_by_side(3, work) == [(0, 1, 7)] * 3
    assert shares.once(lambda: 5) == 5


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_subnormal=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_plain_arrives_as_it_was_sent(said: Any) -> None:
    assert shares.unpacked(shares.packed((said, 1))) == (said, 1)


def test_arrays_arrive_with_their_types_and_numbers_of_numpy_as_numbers() -> None:
    arrays = {
        kind: np.arange(6).reshape(2, 3)[:, ::-1].astype(kind) for kind in ("float64", "float32", "int64", "bool")
    }
    found = shares.unpacked(shares.packed([arrays, np.float64(0.5), np.int64(3), np.bool_(True)]))
    assert [found[0][kind].dtype for kind in arrays] == [*arrays]
    assert all(np.array_equal(found[0][kind], array) for kind, array in arrays.items())
    assert found[1:] == [0.5, 3, True] and [*map(type, found[1:])] == [float, int, bool]


def test_nothing_else_is_sent_and_nothing_that_runs_is_read() -> None:
    with pytest.raises(TypeError, match="numbers, words and arrays alone, not of"):
        shares.packed({"file": Path("x")})

    class Harm:
        def __reduce__(self) -> Any:
            return print, ("harm",)

    content = io.BytesIO()
    torch.save(Harm(), content)
    with pytest.raises(pickle.UnpicklingError, match="print"):
        shares.unpacked(torch.frombuffer(content.getbuffer(), dtype=torch.uint8))


def test_an_error_of_the_first_is_everyone_s() -> None:
    def fail() -> None:
        raise NotMeasurable("too few")

    for error in side_by_side(2, lambda rank: shares.once(fail)):
        assert isinstance(error, NotMeasurable) and str(error) == "too few"


def test_progress_is_the_sum_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_SECONDS", 0)
    told: dict[int, list[tuple[int, int]]] = {0: [], 1: [], 2: []}
    turn = [threading.Event() for _ in range(3)]
    turn[2].set()

    def work(rank: int) -> None:
        mine = shares.split(30, report=lambda done, total: told[rank].append((done, total)))
        turn[rank].wait(10)  # the last one first, so that the first hears of what others did
        for done in range(5):
            mine.report(done + 1, 5)
        turn[rank - 1].set()
        mine.stack(np.zeros(10))

    side_by_side(3, work)
    assert told[2][:5] == [(2, 30), (4, 30), (6, 30), (8, 30), (10, 30)]
    assert told[0][:5] == [(22, 30), (24, 30), (26, 30), (28, 30), (30, 30)]
    assert all(heard[-1] == (30, 30) for heard in told.values())


@pytest.mark.parametrize("processes", [2, 3, 30])
def test_neighbours_are_those_of_one_process(processes: int) -> None:
    queries, points = DIGITS[:25], DIGITS[20:200]
    found, among = nearest(queries, points, 3), nearest(points, points, 2, leave_one_out=True)
    radii = among.distances[:, 1]
    counts = balls_with(queries, points, radii)

    def work(rank: int) -> Any:
        return (
            nearest(queries, points, 3),
            nearest(points, points, 2, leave_one_out=True),
            balls_with(queries, points, radii),
        )

    for one, two, three in side_by_side(processes, work):
        for ours, theirs in ((one, found), (two, among)):
            np.testing.assert_array_equal(ours.distances, theirs.distances)
            np.testing.assert_array_equal(ours.indices, theirs.indices)
        np.testing.assert_array_equal(three, counts)


@pytest.mark.parametrize("bandwidth", ["fine", "legacy", 0.2])
@pytest.mark.parametrize("leave_out", [False, True])
def test_windows_are_those_of_one_process(bandwidth: Any, leave_out: bool) -> None:
    centres, validation, test = DIGITS[:300], None if leave_out else DIGITS[300:400], DIGITS[400:500]

    def work(rank: int) -> Any:
        window = ParzenWindow(bandwidth).fit(centres, validation=validation)
        return window.bandwidth_, window.score_samples(test)

    width, scores = work(0)
    for found in side_by_side(3, work):
        assert found[0] == pytest.approx(width, rel=1e-12)
        np.testing.assert_allclose(found[1], scores, rtol=1e-12)


def test_kernel_distances_are_those_of_one_process() -> None:
    def work(rank: int) -> Any:
        return two_sample.kid(DIGITS[:200], DIGITS[200:400], subsets=5, subset_size=50)

    alone = work(0)
    for found in side_by_side(2, work) + side_by_side(7, work):
        assert found == alone


def test_features_are_those_of_one_process_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_CHUNK", 7)
    monkeypatch.setattr(features, "_STEPS", 20)
    net = features.feature_net(load(DataConfig("digits")), cache=tmp_path)
    x = DIGITS[:100].reshape(-1, 1, 8, 8)
    extracted, classified = net.extract(x), net.classify(x)
    sizes: list[int] = []
    forward = net.net.forward

    def counting(x: Any) -> Any:
        sizes.append(len(x))
        return forward(x)

    monkeypatch.setattr(net.net, "forward", counting)
    for found, labels in side_by_side(3, lambda rank: (net.extract(x), net.classify(x))):
        np.testing.assert_array_equal(found, extracted)
        np.testing.assert_array_equal(labels, classified)
    assert sum(sizes) == 200, "every example once"
    with pytest.raises(InputError, match="not finite"):
        net.extract(np.full_like(x, np.nan))


def test_classifiers_learn_side_by_side_what_one_process_teaches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_STEPS", 20)
    data, learned = load(DataConfig("digits")), []
    lessons = tuple(Split(data.train.x[rows], data.train.labels[rows]) for rows in (slice(0, 200), slice(200, 400)))
    whole = conditional.taught_accuracy

    def teach(x: Split, test: Split, **more: Any) -> float:
        learned.append(threading.current_thread().name)
        return whole(x, test, **more)

    monkeypatch.setattr(conditional, "taught_accuracy", teach)
    alone = conditional._taught(lessons, data.test, silent)
    assert len(set(alone)) == 2 and len(learned) == 2
    for processes in (2, 3):
        learned.clear()
        found = side_by_side(processes, lambda rank: conditional._taught(lessons, data.test, silent))
        assert found == [alone] * processes
        assert len(set(learned)) == len(learned) == processes


def test_the_first_one_s_cache_counts_and_it_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here: dict[str, Path] = {}
    monkeypatch.setattr(kept, "cache", lambda: here[threading.current_thread().name])
    made: list[int] = []

    def work(rank: int) -> Any:
        here[threading.current_thread().name] = tmp_path / str(rank)
        return kept.kept("zeros", (1,), lambda: made.append(rank) or {"value": 7})

    assert side_by_side(2, work) == [{"value": 7}] * 2
    (file,) = tmp_path.rglob("*.json")
    assert (
        sorted(made) == [0, 1] and file.is_relative_to(tmp_path / "0") and json.loads(file.read_text()) == {"value": 7}
    )
    assert side_by_side(2, work) == [{"value": 7}] * 2 and sorted(made) == [0, 1], "both have what the first had"
