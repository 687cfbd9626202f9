"""One seed, many independent streams of random numbers."""

import hashlib

import torch


def stream(seed: int, purpose: str, index: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Make the random generator for one purpose of a run, such as "weights" or the "order" of epoch `index`.

    Its seed is the first 63 bits of SHA-256 of all three, so streams neither meet nor follow one another.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
