"""Training on packed data: the same bits as in memory, whatever is kept of them there."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advnets import recipes
from advnets.config import ConditionConfig, Config, DataConfig
from advnets.data import load, packed
from advnets.data.packing import pack
from advnets.errors import InputError
from advnets.extensions import semi_supervised
from advnets.runs import Run
from advnets.training import train
from advnets.training.batches import Batches
from advnets.training.streaming import Streamed
from training.games import tiny
from training.test_resume import stop_after

RNG = np.random.default_rng(0)
CONDITIONS = {
    "plain": None,
    "labels": ConditionConfig("labels"),
    "vectors": ConditionConfig("vectors"),
    "masks": ConditionConfig("masks", masks=("pixels", "halves")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same images as own.npz and packed, with classes, -1 for some, and numbers."""
    root = tmp_path_factory.mktemp("packed")
    x, y = RNG.integers(0, 256, (83, 4, 4), np.uint8), RNG.integers(-1, 3, 83)
    np.savez(root / "own.npz", x=x, y=y, c=RNG.normal(size=(83, 2)))
    pack(DataConfig(str(root / "own.npz")), root / "packed")
    return root


def config(kind: str, **settings) -> Config:
    base = tiny(precision="64-true", average_decay=0.9, steps=30, **settings)
    generator = dataclasses.replace(base.generator, output_bias="zero")
    return dataclasses.replace(base, generator=generator, condition=CONDITIONS[kind])


def weights(run: Run) -> dict[str, bytes]:
    last = run.checkpoint(run.checkpoint_steps()[-1])
    return {file.name: file.read_bytes() for file in last.glob("*.safetensors")}


@pytest.mark.parametrize("kind", CONDITIONS)
def test_trains_as_in_memory_bit_for_bit(kind, folder, tmp_path, monkeypatch):
    settings = config(kind)
    held = load(DataConfig(str(folder / "own.npz")))
    train(settings, held, Run(tmp_path / "memory"))
    assert train(settings, load(DataConfig(str(folder / "packed"))), Run(tmp_path / "packed")).step == 30
    assert weights(Run(tmp_path / "packed")) == weights(Run(tmp_path / "memory"))
    if kind != "vectors":  # their mean and spread are taken of what is in memory
        monkeypatch.setattr(packed, "_RESIDENT", 64 * 20)
        few = load(DataConfig(str(folder / "packed")))
        assert len(few.train.x) == 20
        train(settings, few, Run(tmp_path / "few"))
        assert weights(Run(tmp_path / "few")) == weights(Run(tmp_path / "memory"))


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_goes_on_at_the_very_example_where_it_stopped(mode, folder, tmp_path):
    settings, data = (
        config("labels", mode=mode, k=2 if mode == "paper" else 1),
        load(DataConfig(str(folder / "packed"))),
    )
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(settings, data, whole)
    train(settings, data, parts, stop=stop_after(13))
    assert train(settings, load(DataConfig(str(folder / "packed"))), parts, resume=True).step == 30
    assert weights(parts) == weights(whole)
    assert parts.log.read_bytes() == whole.log.read_bytes()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(1, 3))
def test_minibatches_are_those_of_memory_in_any_order(folder, numbers, processes):
    held = load(DataConfig(str(folder / "own.npz")))
    source = load(DataConfig(str(folder / "packed"))).packed
    for rank in range(processes):
        x = Streamed(source, torch.device("cpu"), torch.float32)
        streamed = Batches(x, 6, 3, rank=rank, processes=processes)
        plain = Batches(torch.from_numpy(held.train.x), 6, 3, rank=rank, processes=processes)
        assert all(torch.equal(streamed[number], plain[number]) for number in numbers)


class Array:
    """Stands for an array of 16 bytes an example, of which only the layout is asked."""

    dtype = np.dtype("uint8")

    def __init__(self, n: int) -> None:
        self.shape = (n, 1, 4, 4)


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 40), st.integers(0, 2))
def test_large_sets_are_shuffled_in_windows_of_whole_blocks(n, block, window, seed):
    rows = np.random.default_rng(n).permutation(n)[: n - n // 5]
    held = packed.Packed(Array(n), None, rows, None, "large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_BLOCK", 16 * block)
        patch.setattr(packed, "_WINDOW", 16 * block * window)
        streamed = Streamed(held, torch.device("cpu"), torch.float32)
        order = streamed.order(torch.Generator().manual_seed(seed))
        assert torch.equal(order, streamed.order(torch.Generator().manual_seed(seed)))
    assert sorted(order.tolist()) == list(range(len(rows)))
    blocks = -(-n // min(block, n))
    if blocks <= window:
        assert torch.equal(order, torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)))
        return
    seen, open_windows = [], -(-blocks // window)
    for example in order.tolist():  # once a window ends, none of its blocks comes again
        seen.append(int(rows[example]) // min(block, n))
    first = {one: seen.index(one) for one in seen}
    last = {one: len(seen) - 1 - seen[::-1].index(one) for one in seen}
    crossing = max(sum(first[one] <= place <= last[one] for one in first) for place in range(len(seen)))
    assert crossing <= window and open_windows > 1


def test_minibatches_are_read_ahead_and_once(folder, monkeypatch):
    source, asked, ask = load(DataConfig(str(folder / "packed"))).packed, [], packed.Packed.ask

    def counting(self, chosen):
        asked.append(set(chosen.tolist()))
        return ask(self, chosen)

    monkeypatch.setattr(packed.Packed, "ask", counting)
    batches = Batches(Streamed(source, torch.device("cpu"), torch.float32), 10, 0)
    for number in range(2 * batches.per_epoch):
        batches[number]
        left = batches.per_epoch - 1 - number % batches.per_epoch
        assert len(asked) == number + 1 + min(left, 8)
    assert len(set.union(*asked[: batches.per_epoch])) == 10 * batches.per_epoch


def test_what_needs_data_in_memory_says_so(folder, tmp_path):
    data = load(DataConfig(str(folder / "packed")))
    for name, play in (("dbn", train), ("digits-semi-supervised", semi_supervised.train)):
        with pytest.raises(InputError, match=f"is packed and {name} has to have its training examples in memory"):
            play(recipes.get(name), data, Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_damaged_shard_ends_the_run_in_one_line_and_mended_it_goes_on(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "_RESIDENT", 1)
    monkeypatch.setattr(packed, "MOST_HELD_OUT", 1)
    monkeypatch.setattr(packed, "_BLOCK", 16)
    pack(DataConfig(str(folder / "own.npz")), tmp_path / "own")
    data = load(DataConfig(str(tmp_path / "own")))
    file = next(path for path in (tmp_path / "own" / "x" / "c").rglob("*") if path.is_file())
    whole, row = file.read_bytes(), int(data.packed.rows[40])
    settings = config("plain", batch_size=6, checkpoint_every=1)
    train(settings, data, Run(tmp_path / "never"))
    data = load(DataConfig(str(tmp_path / "own")))
    damaged = bytearray(whole)
    damaged[row * 20] ^= 1  # 16 bytes of an example, and 4 of its checksum
    file.write_bytes(damaged)
    with pytest.raises(InputError, match="cannot be read"):
        train(settings, data, Run(tmp_path / "run"))
    assert Run(tmp_path / "run").status()["state"] == "interrupted"
    assert Run(tmp_path / "run").checkpoint_steps(), "the steps before it are kept"
    file.write_bytes(whole)
    train(settings, load(DataConfig(str(tmp_path / "own"))), Run(tmp_path / "run"), resume=True)
    assert weights(Run(tmp_path / "run")) == weights(Run(tmp_path / "never"))
