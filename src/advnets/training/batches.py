"""Minibatches as rows of one tensor on the device, or of examples that are read when they are needed."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advnets.errors import InputError
from advnets.seeds import stream
from advnets.training.streaming import Examples, Streamed

_AHEAD = 8  # minibatches that are being read, for a disk may pause


class Batches:
    """Shuffled minibatches of examples, addressed by their number since the start of training.

    Every epoch has its own permutation, a function of (seed, epoch) alone, so that there is no state to
    save. The examples left over after the last full minibatch of an epoch wait for the next permutation.
    Of several processes each gets its own rows of every minibatch, in the order of their ranks.
    Raises InputError where one minibatch is larger than the data, or does not part evenly.
    """

    def __init__(
        self,
        x: Examples,
        batch_size: int,
        seed: int,
        c: Examples | None = None,
        *,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        if batch_size > len(x):
            raise InputError(
                f"--train.batch_size is {batch_size}, allowed: up to the {len(x)} training examples; "
                "set --train.batch_size"
            )
        require_even(batch_size, processes)
        self.x = x
        self.c = c
        self.batch_size = batch_size
        self.share = batch_size // processes
        """Examples of a minibatch that this process has."""
        self.rank = rank
        self.seed = seed
        self.per_epoch = len(x) // batch_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, number: int) -> Float[Tensor, "batch *shape"]:
        """Return minibatch `number`, counted from 0 over all epochs."""
        if isinstance(self.x, Tensor):
            return self.x.index_select(0, self._rows(number))  # twice as fast as x[rows]
        found = self.x[self._rows(number)]
        if isinstance(self.x, Streamed):
            end = (number // self.per_epoch + 1) * self.per_epoch  # the next epoch has another order
            self.x.expect([self._rows(coming) for coming in range(number + 1, min(number + 1 + _AHEAD, end))])
        return found

    def condition(self, number: int) -> Float[Tensor, "batch c"] | None:
        """Return c of the examples of minibatch `number`; None where the data have none, or nothing is missing."""
        return None if self.c is None else self.c[self._rows(number)]

    def _rows(self, number: int) -> Int[Tensor, " batch"]:
        epoch, index = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._order = self._permutation(stream(self.seed, "order", epoch))
            self._epoch = epoch
        first = index * self.batch_size + self.rank * self.share
        return self._order[first : first + self.share]

    def _permutation(self, random: torch.Generator) -> Int[Tensor, " n"]:
        if isinstance(self.x, Streamed):
            return self.x.order(random)
        order = torch.randperm(len(self.x), generator=random)
        return order.to(self.x.device) if isinstance(self.x, Tensor) else order


def require_even(batch_size: int, processes: int) -> None:
    """Raise InputError where a minibatch does not part evenly over processes."""
    if batch_size % processes:
        raise InputError(
            f"--train.batch_size is {batch_size}, allowed with {processes} processes: a multiple of {processes}; "
            "set --train.batch_size"
        )
