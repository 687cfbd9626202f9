import pytest
from hypothesis import given
from hypothesis import strategies as st

from advnets.config import TrainConfig
from advnets.training import schedules

RELEASED = TrainConfig()


def test_learning_rate_is_divided_after_every_minibatch_down_to_its_floor():
    rate = 0.1
    for step in range(50):
        assert schedules.learning_rate(RELEASED, 0.1, step) == pytest.approx(rate, rel=1e-12)
        rate /= 1.000004
    assert schedules.learning_rate(RELEASED, 0.1, 10**9) == 1e-6


def test_momentum_of_the_release():
    assert [schedules.momentum(RELEASED, epoch) for epoch in (1, 250, 1000)] == pytest.approx([0.5, 0.7, 0.7])
    assert schedules.momentum(RELEASED, 2) - schedules.momentum(RELEASED, 1) == pytest.approx(0.2 / 249)


@given(st.integers(0, 10**7), st.floats(1e-8, 10))
def test_rates_never_rise_and_never_pass_below_the_floor(step, initial):
    now, later = (schedules.learning_rate(RELEASED, initial, s) for s in (step, step + 1))
    assert min(initial, 1e-6) <= later <= now <= initial
