"""Products by oneDNN: float32 as before, in the block only, and nowhere that would make them coarser. Memory: kept."""

import ctypes
import dataclasses

import pytest
import torch
from torch import nn

from advnets import recipes
from advnets.data import load
from advnets.runs import Run
from advnets.training import loop, processor, train
from advnets.training.processor import faithful, fast_products, keep_memory
from advnets.training.step import released_step as step
from processes import page_faults, started

CPU = torch.device("cpu")
needs_setting = pytest.mark.skipif(not faithful(), reason="here oneDNN is missing, or would multiply in bfloat16")


def setting():
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.mark.parametrize("shape", [(100, 784, 1200), (200, 1200, 240), (1, 240, 200), (64, 8, 1)])
def test_products_are_float32_in_the_block(shape):
    rows, inner, columns = shape
    random = torch.Generator().manual_seed(1)
    a = torch.randn(rows, inner, generator=random, requires_grad=True)
    b = torch.randn(columns, inner, generator=random, requires_grad=True)
    seed = torch.randn(rows, columns, generator=random)
    with fast_products(CPU):
        y = torch.nn.functional.linear(a, b)
        y.backward(seed)
    exact = [a.double() @ b.double().t(), seed.double() @ b.double(), seed.double().t() @ a.double()]
    for found, expected in zip((y, a.grad, b.grad), exact, strict=True):
        assert (found - expected).abs().max() < 3e-6 * expected.abs().max()


@needs_setting
def test_the_setting_is_as_before_after_the_block_however_it_ends():
    before = setting()
    with fast_products(CPU):
        assert setting() == "bf16"
    assert setting() == before
    with pytest.raises(ZeroDivisionError), fast_products(CPU):
        raise ZeroDivisionError
    assert setting() == before


@pytest.mark.parametrize("why", ["coarse", "no oneDNN", "older torch"])
def test_nothing_is_set_where_products_would_be_coarser_or_cannot_be_chosen(why, monkeypatch):
    before = setting()
    with monkeypatch.context() as patch:
        if why == "coarse":
            patch.setattr(processor, "_EXACT", 1e-9)  # finer than float32 can be
        elif why == "no oneDNN":
            patch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        else:
            patch.delattr(type(torch.backends.mkldnn), "matmul")
        faithful.cache_clear()
        try:
            assert not faithful()
            with fast_products(CPU):
                if why != "older torch":
                    assert setting() == before
        finally:
            faithful.cache_clear()


@needs_setting
def test_other_devices_change_nothing():
    before = setting()
    with fast_products(torch.device("meta")):
        assert setting() == before


@needs_setting
def test_steps_are_made_in_the_block_and_nothing_else_is(tmp_path, monkeypatch):
    config = dataclasses.replace(recipes.get("digits"), train=dataclasses.replace(recipes.get("digits").train, steps=2))
    before, seen, told = setting(), [], []
    monkeypatch.setattr(loop, "released_step", lambda game, batches: (seen.append(setting()), step(game, batches)))
    train(config, load(config.data), Run(tmp_path / "run"), report=lambda progress: told.append(setting()))
    assert seen == ["bf16", "bf16"] and told == [before, before] and setting() == before
    assert Run(tmp_path / "run").read()["machine"]["products"] == "onednn"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_of_large_layers_is_asked_of_the_system_once(tmp_path):
    pages = {}
    for way in ("keep", "leave"):
        process = started(page_faults, way == "keep", tmp_path / way)
        process.join()
        assert process.exitcode == 0
        pages[way] = int((tmp_path / way).read_text())
    size = 3000 * 3000 * 4 // 4096
    assert pages["leave"] >= 10 * size, "each of ten steps took its gradient from the system anew"
    assert pages["keep"] <= 2 * size  # the heap may still grow now and then


def test_only_nets_with_a_large_layer_change_what_the_process_keeps(monkeypatch):
    asked = []

    class Libc:
        mallopt = staticmethod(lambda *values: asked.append(values) or 1)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Libc)
    assert not keep_memory(nn.Linear(1200, 1200), nn.Linear(3, 1)) and not asked
    assert keep_memory(nn.Linear(3, 1), nn.Linear(2900, 2900)) and len(asked) == 2
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_memory(nn.Linear(2900, 2900)), "no glibc"
