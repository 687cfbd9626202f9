import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advnets.errors import InputError
from advnets.training.batches import Batches


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_shows_no_example_twice_and_leaves_out_less_than_a_batch(count, size, seed):
    if size > count:
        return
    batches = Batches(torch.arange(count)[:, None].float(), size, seed)
    epoch = torch.cat([batches[number] for number in range(batches.per_epoch)]).flatten().tolist()
    assert len(set(epoch)) == len(epoch) == count - count % size


def test_is_a_function_of_seed_and_number_alone():
    x = torch.arange(50)[:, None].float()
    forward, other = Batches(x, 7, 3), Batches(x, 7, 4)
    numbers = [0, 20, 3, 6, 7, 8, 0]
    assert all(torch.equal(forward[n], Batches(x, 7, 3)[n]) for n in numbers)
    assert any(not torch.equal(forward[n], other[n]) for n in numbers)
    assert not torch.equal(forward[0], forward[forward.per_epoch]), "the next epoch has another order"


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match=r"batch_size is 51, allowed: up to the 50 training examples"):
        Batches(torch.zeros(50, 1), 51, 0)
