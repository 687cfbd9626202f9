"""Several processes train one run as one process does."""

import json
import socket

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric import Fabric
from safetensors.torch import load_file

from advnets import masks, noise
from advnets.config import NoiseConfig
from advnets.errors import InputError
from advnets.nets.dropout import dropout
from advnets.nets.files import write_tensors
from advnets.runs import Run
from advnets.seeds import shared, stream
from advnets.training import processes, saved, train
from advnets.training.batches import Batches
from processes import started, together
from training import games

_SECONDS = 60


def free_port() -> int:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return here.getsockname()[1]


def play(folder, count, jobs, kill_at=None):
    """Train games in `count` processes and wait for them."""
    port = free_port()
    those = [started(together, folder, rank, count, port, jobs, kill_at) for rank in range(count)]
    for one in those:
        one.join(_SECONDS)
    return [one.exitcode for one in those]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    for name, game in games.SHARED.items():
        config, data = game()
        train(config, data, Run(folder / name))
    return folder


@pytest.mark.parametrize("count", [2, 4])
def test_a_run_is_the_same_by_however_many_processes(count, alone, tmp_path):
    assert play(tmp_path, count, list(games.SHARED)) == [0] * count
    for name, game in games.SHARED.items():
        one, many = (Run(folder / name) for folder in (alone, tmp_path))
        lines = [list(map(json.loads, run.log.read_text().splitlines())) for run in (one, many)]
        assert len(lines[0]) == len(lines[1]) > 2
        for before, after in zip(*lines, strict=True):
            assert after["value"] == pytest.approx(before["value"], abs=1e-6), name
            assert after["generator_loss"] == pytest.approx(before["generator_loss"], abs=1e-6), name
        step = game()[0].train.steps
        for file in sorted(one.checkpoint(step).glob("*.safetensors")):
            ours, theirs = load_file(file), load_file(many.checkpoint(step) / file.name)
            assert {*ours} == {*theirs}
            for key, tensor in ours.items():
                torch.testing.assert_close(
                    theirs[key], tensor, rtol=0, atol=1e-6 if key == "sums" else 1e-9, msg=f"{name} {file.name} {key}"
                )
        assert many.read()["machine"]["processes"] == count
    assert {file.read_text() for file in tmp_path.glob("heard-*")} == {"ä from 0"}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_lost_process_ends_a_run_with_a_checkpoint_from_which_any_number_of_them_goes_on(count, alone, tmp_path):
    assert play(tmp_path, 2, ["released"], kill_at=7) == [0, -9]
    run = Run(tmp_path / "released")
    assert run.checkpoint_steps()[-1] == 7 and run.status()["state"] == "interrupted"
    said = (tmp_path / "released-0").read_text()
    assert "another process" in said and "lost in step 8" in said and "step 7 is intact: go on with --resume" in said
    if count == 1:
        config, data = games.SHARED["released"]()
        train(config, data, run, resume=True)
    else:
        assert play(tmp_path, count, ["released"]) == [0] * count
    ours, theirs = (
        load_file(folder.checkpoint(20) / "average.safetensors") for folder in (Run(alone / "released"), run)
    )
    for key, tensor in ours.items():
        torch.testing.assert_close(theirs[key], tensor, rtol=1e-9, atol=1e-9)
    assert len(run.log.read_text().splitlines()) == len(Run(alone / "released").log.read_text().splitlines())
    (elsewhere,) = run.read()["elsewhere"] if count != 2 else [{"changes": [f"processes was 2, is {count}"]}]
    assert f"processes was 2, is {count}" in elsewhere["changes"]


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_processes_draw_together_what_one_draws(parts, batch, count, seed):
    def drawn(random, rows):
        z = noise.draw(NoiseConfig(dimension=3), rows * batch, random)
        kept = dropout(torch.ones(parts * rows * batch, 2, 2), 0.5, random)
        hidden = masks.draw(("pixels", "halves", "strokes"), rows * batch, (1, 4, 4), random)
        return z, *kept.chunk(parts), hidden

    whole = drawn(stream(seed, "play"), count)
    own = [drawn(shared(stream(seed, "play"), rank, count, batch), 1) for rank in range(count)]
    for number, all_rows in enumerate(whole):
        assert torch.equal(torch.cat([each[number] for each in own]), all_rows)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 30))
def test_shares_make_up_the_minibatch(count, share, number):
    x = torch.arange(40)[:, None].float()
    own = [Batches(x, count * share, 3, c=x, rank=rank, processes=count) for rank in range(count)]
    whole = Batches(x, count * share, 3)
    assert torch.equal(torch.cat([one[number] for one in own]), whole[number])
    assert torch.equal(torch.cat([one.condition(number) for one in own]), whole[number])
    assert {one.per_epoch for one in own} == {whole.per_epoch}


def test_a_minibatch_that_does_not_part_evenly_is_refused():
    with pytest.raises(InputError, match="batch_size is 5, allowed with 2 processes: a multiple of 2; set --train"):
        Batches(torch.zeros(50, 1), 5, 0, processes=2)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (
            RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]"),
            True,
        ),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (5x4 and 3x8)"), False),
    ],
)
def test_a_lost_process_is_told_from_a_mistake(error, lost):
    assert processes.is_loss(error) == lost


def test_what_several_processes_cannot_train_is_refused():
    with pytest.raises(
        InputError, match="on_bad is rollback, allowed with 2 processes: warn or stop; set one of these"
    ):
        processes.launched(games.tiny(on_bad="rollback", batch_size=4), devices=2)


def test_a_stream_from_another_kind_of_device_begins_anew_and_stays_shared(tmp_path):
    state = saved.State({}, {}, shared(stream(3, "play"), 1, 2, 4), {})
    counts = dict.fromkeys(("step", "summed", "log_bytes"), 7) | {"stage": 1}
    saved.write(state, tmp_path, counts)
    (tmp_path / "game.safetensors").unlink()
    write_tensors({"random": torch.zeros(16, dtype=torch.uint8)}, tmp_path / "game.safetensors")  # as CUDA's
    random = saved.read(state, tmp_path, seed=3)
    expected = noise.draw(NoiseConfig(dimension=3), 8, stream(3, "play", 7))
    assert torch.equal(noise.draw(NoiseConfig(dimension=3), 4, random), expected[4:])


def test_the_average_leaves_what_it_is_given():
    x = torch.arange(3.0)
    made = processes.average(Fabric(accelerator="cpu", devices=1), x)
    assert torch.equal(made, x) and np.shares_memory(made.numpy(), x.numpy()) is False
