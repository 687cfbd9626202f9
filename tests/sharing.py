"""Threads that share out a measurement as processes do, for what is to be tried many times."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advnets.evaluation.shares import Glance, Share, among, packed, unpacked

_SECONDS = 60


def side_by_side(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Return what `count` threads return that call a function of their number together, or what they raise."""
    barrier, places, counts = threading.Barrier(count, timeout=_SECONDS), [None] * count, Counter[int]()
    lock, found = threading.Lock(), [None] * count

    def exchanged(rank: int, thing: Any) -> list[Any]:
        places[rank] = thing
        barrier.wait()
        every = list(places)
        barrier.wait()
        return every

    def add(counter: int, amount: int) -> int:
        with lock:
            counts[counter] += amount
            return counts[counter]

    def work(rank: int) -> None:
        def gather(x: Tensor, glance: Glance) -> Tensor:
            every = exchanged(rank, x.clone())
            glance()
            return torch.stack(every)

        try:
            with among(Share(rank, count, gather, lambda said: unpacked(exchanged(rank, packed(said))[0]), add)):
                found[rank] = function(rank)
        except BaseException as error:
            found[rank] = error
            if not isinstance(error, ValueError):  # InputError, which all raise, leaves no one waiting
                barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
