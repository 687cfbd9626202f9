"""One seed, many independent streams of random numbers."""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


def stream(seed: int, purpose: str, index: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Make the random generator for one purpose of a run, such as "weights" or the "order" of epoch `index`.

    Its seed is the first 63 bits of SHA-256 of all three, so streams neither meet nor follow one another.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class SharedGenerator(torch.Generator):
    """A generator that processes share out: each draws the numbers of a whole minibatch, and keeps its own rows.

    So the numbers of a run, and their order, do not depend on how many processes it has.
    """

    rank: int
    processes: int
    batch: int
    """Rows of a minibatch that each process has."""


def shared(random: torch.Generator, rank: int, processes: int, batch: int) -> SharedGenerator:
    """Return a generator in the same state that `processes` share, of which this is `rank` with `batch` rows."""
    made = SharedGenerator(random.device)
    made.set_state(random.get_state())
    made.rank, made.processes, made.batch = rank, processes, batch
    return made


def rows(count: int, random: torch.Generator | None, draw: Callable[[int], Tensor]) -> Tensor:
    """Return `count` rows that `draw` makes; of a shared generator, this process's rows of what it makes for all.

    Where `count` is a multiple of the process's minibatch, as for data and then fakes, each part is shared out alike.
    """
    if not isinstance(random, SharedGenerator):
        return draw(count)
    whole = draw(count * random.processes)
    parts = whole.unflatten(0, (count // random.batch, random.processes, random.batch))
    own: Tensor = parts[:, random.rank]
    return own.flatten(0, 1)
