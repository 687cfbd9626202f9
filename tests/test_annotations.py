"""Shape annotations are executed, in the first calls of a function in every test."""

import pytest
import torch
from jaxtyping import TypeCheckError

import annotations
from advnets import objectives

WRONG = torch.zeros(3, 2)


@pytest.mark.parametrize("turn", ["first", "again"])
def test_a_wrong_shape_is_refused_in_every_test(turn):
    with pytest.raises(TypeCheckError):
        objectives.value(WRONG, WRONG)
    for _ in range(annotations.CALLS):
        objectives.value(WRONG[:, 0], WRONG[:, 0])
    assert objectives.value(WRONG, WRONG).shape == WRONG.shape, "what was called often is checked no more"
