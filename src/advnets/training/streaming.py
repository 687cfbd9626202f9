"""What minibatches are rows of: tensors on the device, or examples of a packed data set, read as they are needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from advnets.conditions import Conditions
from advnets.data.dataset import DataSet, FloatArray
from advnets.data.packed import Packed

Rows = Int[Tensor, " batch"]


@runtime_checkable
class Examples(Protocol):
    """Examples, or what stands beside each of them, of which any rows can be had; a tensor is one."""

    def __len__(self) -> int:
        """Count them."""

    def __getitem__(self, rows: Rows, /) -> Tensor:
        """Return some of them."""


@dataclass
class Streamed:
    """Training examples of a packed data set; while a minibatch is trained on, the next ones are being read."""

    packed: Packed
    device: torch.device
    dtype: torch.dtype
    _awaited: dict[bytes, Callable[[], FloatArray]] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.packed)

    def order(self, random: torch.Generator) -> Int[Tensor, " n"]:
        """Return a permutation of all examples for which each block of them has to be read once.

        Blocks are put into windows at random, and the examples of a window shuffled. Where all blocks fit into one
        window, it is any permutation, as for data in memory.
        """
        block_of, blocks, size = self.packed.windows()
        if blocks <= size:
            return torch.randperm(len(self), generator=random)
        window_of = (torch.randperm(blocks, generator=random) // size).to(torch.int16).numpy()
        windows = window_of[block_of]
        del block_of  # of 25 million examples 100 MiB
        order = torch.from_numpy(np.argsort(windows, kind="stable"))
        for some in order.split(np.bincount(windows).tolist()):
            some.copy_(some[torch.randperm(len(some), generator=random)])
        return order

    def __getitem__(self, rows: Rows) -> Float[Tensor, "batch *shape"]:
        """Return examples, scaled; raises InputError where they are damaged."""
        chosen = rows.numpy()
        wait = self._awaited.pop(chosen.tobytes(), None) or self.packed.ask(chosen)
        return torch.from_numpy(wait()).to(self.device, self.dtype)

    def expect(self, coming: Sequence[Rows]) -> None:
        """Begin to read what will be asked for next, and forget what else was expected."""
        named = {rows.numpy().tobytes(): rows.numpy() for rows in coming}
        self._awaited = {name: self._awaited.get(name) or self.packed.ask(chosen) for name, chosen in named.items()}


@dataclass
class StreamedConditions:
    """c of the training examples of a packed data set."""

    packed: Packed
    given: Conditions
    device: torch.device
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, rows: Rows) -> Float[Tensor, "batch c"]:
        """Return one-hot classes, or standardised numbers."""
        chosen = rows.numpy()
        if self.given.names:
            assert self.packed.labels is not None  # by which it is conditioned
            c = self.given.rows[torch.from_numpy(self.packed.labels[chosen]).long()]
        else:
            c = self.given.of_numbers(self.packed.vectors(chosen))
        return c.to(self.device, self.dtype)


def examples(
    data: DataSet,
    x: Float[Tensor, "n *shape"],
    c: Float[Tensor, "n c"] | None,
    given: Conditions | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Examples, Examples | None]:
    """Return the training examples and what stands beside them: x and c, or where these are but the first, all.

    Of a run by classes those that have one.
    """
    packed = data.packed
    if packed is None:
        return x.to(device, dtype), None if c is None else c.to(device, dtype)
    if given and given.names and packed.labels is not None:
        packed = packed.among(packed.labels >= 0)
    beside = given is not None and not given.masks
    return (
        Streamed(packed, device, dtype),
        StreamedConditions(packed, given, device, dtype) if given is not None and beside else None,
    )
