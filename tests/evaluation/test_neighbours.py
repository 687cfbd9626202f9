import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from advnets.config import DataConfig
from advnets.data import load
from advnets.errors import InputError
from advnets.evaluation import neighbours
from advnets.evaluation.neighbours import balls_with, matrices, nearest
from advnets.evaluation.progress import part


def brute(queries, points):
    gaps = queries.astype(np.float64)[:, None] - points.astype(np.float64)[None]
    return np.sqrt(np.square(gaps).sum(axis=2))


def check(queries, points, k, leave_one_out=False):
    distances = brute(queries, points)
    if leave_one_out:
        np.fill_diagonal(distances, np.inf)
    found = nearest(queries, points, k, leave_one_out=leave_one_out)
    expected = np.sort(distances, axis=1)[:, :k]
    np.testing.assert_array_equal(found.distances, expected)
    np.testing.assert_array_equal(np.take_along_axis(distances, found.indices, axis=1), expected)
    assert all(len(set(row)) == k for row in found.indices.tolist())
    return found


def clusters(n, d, spread, seed=0):
    """Three points far from the origin and from each other, and crowds around them."""
    g = np.random.default_rng(seed)
    return (10 + 3 * g.normal(size=(3, d)))[g.integers(3, size=n)] + spread * g.normal(size=(n, d))


def grid(n, d, spread, seed=0):
    return np.random.default_rng(seed).integers(0, 3, size=(n, d)) * spread


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 64, 784])
@pytest.mark.parametrize("make", [clusters, grid])
@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_equals_brute_force(make, d, spread, dtype):
    points, queries = (make(n, d, spread, seed).astype(dtype) for n, seed in ((120, 0), (60, 1)))
    points[7:50:7] = points[3]  # duplicates
    queries[:20] = points[:20]
    check(queries, points, 1)
    check(queries, points, 5)
    radii = check(points, points, 5, leave_one_out=True).distances[:, -1]
    inside = brute(queries, points) <= radii
    np.testing.assert_array_equal(balls_with(queries, points, radii), inside.sum(axis=1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 40), st.integers(1, 6))
def test_equals_brute_force_anywhere(seed, d, n, k):
    g = np.random.default_rng(seed)
    scale, offset = 10.0 ** g.integers(-25, 25, size=2)
    points = g.integers(-2, 3, size=(n + k, d)) * scale * g.random() + offset
    check(points, points[: n + k - 1], min(k, n))
    check(points, points, min(k, n), leave_one_out=True)


def test_identical_points_are_at_distance_0_and_others_are_not():
    base = np.full((1, 784), 1000.0, np.float32)
    close = base.copy()
    close[0, 5] = np.nextafter(close[0, 5], np.float32(2000))
    found = nearest(base, np.concatenate([close, base, close]), 3)
    assert found.distances[0].tolist() == [0.0, 2**-14, 2**-14] and found.indices[0, 0] == 1


def test_duplicates_count_as_neighbours_but_no_point_is_its_own():
    points = np.array([[0.0], [0.0], [1.0]])
    found = nearest(points, points, leave_one_out=True)
    assert found.distances[:, 0].tolist() == [0, 0, 1] and found.indices[:2, 0].tolist() == [1, 0]


def test_balls_are_closed():
    points, radii = np.array([[0.0, 0.0]]), np.array([5.0])
    assert balls_with(np.array([[3.0, 4.0], [3.0, np.nextafter(4.0, 5)]]), points, radii).tolist() == [1, 0]


def test_blocks_do_not_show(monkeypatch):
    points = clusters(300, 20, 0.1).astype(np.float32)
    radii = np.full(300, 0.5)
    whole, counts = nearest(points, points, 3, leave_one_out=True), balls_with(points, points, radii)
    assert counts.min() < counts.max()
    monkeypatch.setattr(neighbours, "_BLOCK", 1000)
    cut = nearest(points, points, 3, leave_one_out=True)
    np.testing.assert_array_equal(cut.distances, whole.distances)
    np.testing.assert_array_equal(cut.indices, whole.indices)
    np.testing.assert_array_equal(balls_with(points, points, radii), counts)


def test_agrees_with_scikit_learn_on_mnist_almost_without_float64(data_folder, monkeypatch):
    data = load(DataConfig(name="mnist"), offline=True)
    train, test = data.train.x[:1500].reshape(-1, 784), data.test.x[:500].reshape(-1, 784)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(train.astype(float)).kneighbors(test)
    seen = []
    blocks = neighbours._blocks
    monkeypatch.setattr(neighbours, "_blocks", lambda *a: seen.append((len(a[2]), a[3])) or blocks(*a))
    found = nearest(test, train, 5)
    np.testing.assert_allclose(found.distances, expected[0], rtol=1e-9)
    np.testing.assert_array_equal(found.indices, expected[1])
    radii = np.full(1500, 6.0)
    counts = (brute(test[:10], train) <= radii).sum(axis=1)
    np.testing.assert_array_equal(balls_with(test, train, radii)[:10], counts)
    # Speed rests on this: float32 leaves next to nothing for float64.
    assert seen[0] == (500, torch.float32) and sum(rows for rows, dtype in seen if dtype == torch.float64) < 10


@pytest.mark.parametrize("spread", [1.0, 1e-5])
def test_reports_grow_and_reach_the_end(monkeypatch, spread):
    monkeypatch.setattr(neighbours, "_BLOCK", 2000)
    points = clusters(100, 30, spread)
    for work in (
        lambda report: nearest(points, points, report=report),
        lambda report: balls_with(points, points, np.ones(100), report=report),
    ):
        seen = []
        work(lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == sorted(seen) and seen[-1] == (100, 100) and len(seen) > 2


def test_parts_of_a_report_add_up():
    seen = []
    for index in range(4):
        part(lambda *numbers: seen.append(numbers), index, 4)(3, 6)
    part(lambda *numbers: seen.append(numbers), 3, 4)(6, 6)
    assert seen == [(125, 1000), (375, 1000), (625, 1000), (875, 1000), (1000, 1000)]


def test_matrices_meet_in_the_coarser_precision():
    pixels = np.arange(256)[None] / 255
    one, other = matrices(one=pixels, other=pixels.astype(np.float32))
    assert one.dtype == np.float32 and (one == other).all()
    assert matrices(one=pixels, other=pixels)[0].dtype == np.float64


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 1, 2, 2)), "(2, 1, 2, 2)"),
        (np.zeros((2, 4), int), "int64"),
        (np.zeros((0, 4)), "(0, 4)"),
        (np.array([[0, 0, 0, np.nan]]), "NaN"),
        (np.array([[0, 0, 0, np.inf]]), "NaN or a number beyond"),
        (np.zeros((2, 3)), "different lengths (real 4, fake 3)"),
    ],
)
def test_refuses_what_are_no_points(x, words):
    with pytest.raises(InputError, match="allowed") as caught:
        matrices(real=np.zeros((3, 4)), fake=x)
    assert words in str(caught.value) and "fake" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("k", [0, 3])
def test_refuses_more_neighbours_than_there_are(k):
    with pytest.raises(InputError, match=f"k is {k}, allowed are 1 to 2"):
        nearest(np.zeros((3, 1)), np.zeros((3, 1)), k, leave_one_out=True)
