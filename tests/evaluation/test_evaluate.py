import numpy as np
import pytest

from advnets.config import DataConfig
from advnets.data import load
from advnets.evaluation.evaluate import Plan, Scene
from advnets.evaluation.progress import silent
from advnets.evaluation.subjects import Subject


@pytest.fixture(scope="module")
def scene():
    data = load(DataConfig("digits"))
    subject = Subject(lambda count, seed: data.test.x[:count], DataConfig("digits"), {})
    return Scene(subject, data, Plan(samples=100), data.test.x[:100], lambda name: silent)


def test_real_rows_are_a_random_choice_since_files_are_in_the_order_of_their_writers(scene):
    for chosen, part in zip(scene.parts, (scene.data.train.x, scene.data.test.x), strict=True):
        rows = [int(np.flatnonzero((part == image).all((1, 2, 3)))[0]) for image in chosen]
        assert len(rows) == 100
        assert np.median(rows) > 100  # not the first hundred
        assert rows != sorted(rows)
    again = Scene(scene.subject, scene.data, scene.plan, scene.samples, scene.progress)
    np.testing.assert_array_equal(again.parts[0], scene.parts[0])
