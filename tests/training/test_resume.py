"""Exactness: a run that was interrupted, however it was, ends with the same bits as one that was not."""

import dataclasses
import functools
import json
import os
import random
import shutil
import signal
import time
from multiprocessing.process import BaseProcess

import pytest
import torch

from advnets.config import StackConfig
from advnets.errors import InputError
from advnets.runs import Run, write_json
from advnets.training import differences, train
from processes import digits, started
from training.games import data, tiny

MODES = ["paper", "released"]


def bits(run: Run) -> dict[str, bytes]:
    """Everything that must be equal: weights, averages, optimisers, random states, counters and the log."""
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return files | {"log.jsonl": run.log.read_bytes(), "samples": (run.path / "samples.png").read_bytes()}


def stop_after(calls: int):
    count = iter(range(1, 10**9))
    return lambda: next(count) >= calls


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """Gives a run that went through all steps of a configuration, one for all tests, which leave it as it is."""

    @functools.cache
    def trained(config):
        run = Run(tmp_path_factory.mktemp("whole") / "run")
        assert train(config, data(), run).state == "finished"
        return run

    return trained


@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cut", [1, 4, 7, 11])
def test_interrupted_and_resumed_equals_straight_through(never_stopped, tmp_path, mode, optimiser, cut):
    config = tiny(mode=mode, optimiser=optimiser, average_decay=0.9)
    whole, parts = never_stopped(config), Run(tmp_path / "parts")
    assert train(config, data(), parts, stop=stop_after(cut)).state == "interrupted"
    assert parts.status().items() >= {"step": cut, "state": "interrupted"}.items()
    assert train(config, data(), parts, resume=True).state == "finished"
    assert bits(whole) == bits(parts)


@pytest.mark.parametrize("mode", MODES)
def test_more_steps_on_a_finished_run_equal_a_longer_run(tmp_path, mode):
    long, short = Run(tmp_path / "long"), Run(tmp_path / "short")
    train(tiny(mode=mode, steps=14), data(), long)
    train(tiny(mode=mode, steps=6), data(), short)
    train(tiny(mode=mode, steps=14), data(), short, resume=True)
    assert bits(long) == bits(short)


@pytest.mark.parametrize("cut", [3, 6, 9])
def test_two_stages_resume_on_either_side_of_the_border(never_stopped, tmp_path, cut):
    config = dataclasses.replace(tiny(average_decay=0.5), second_stage=StackConfig(after=6, hidden=(7,)))
    whole, parts = never_stopped(config), Run(tmp_path / "parts")
    train(config, data(), parts, stop=stop_after(cut))
    train(config, data(), parts, resume=True)
    assert bits(whole) == bits(parts)
    assert json.loads((whole.checkpoint(12) / "state.json").read_text())["stage"] == 2


def test_same_seed_same_bits_other_seed_other_bits(tmp_path):
    runs = [Run(tmp_path / name) for name in "abc"]
    for run, seed in zip(runs, (1, 1, 2), strict=True):
        train(dataclasses.replace(tiny(), seed=seed), data(), run)
    first, again, other = map(bits, runs)
    assert first == again
    for name in ("generator.safetensors", "discriminator.safetensors", "log.jsonl"):
        assert first[name] != other[name]


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(steps=8), data(), run)
    expected = run.log.read_bytes()
    with run.log.open("a") as stream:
        stream.write('{"step": 9, "half a li')  # what a power cut leaves
    train(tiny(steps=8), data(), run, resume=True)
    assert run.log.read_bytes() == expected


def test_log_lines_are_json_with_steps_in_order(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(), data(), run)
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert all(0 < line["d_real"] < 1 and 0 < line["d_fake"] < 1 and line["value"] < 0 for line in lines)


@pytest.mark.parametrize("name", ["generator", "discriminator", "generator-optimiser", "game", "average"])
def test_a_flipped_byte_in_a_checkpoint_is_one_clear_error(never_stopped, tmp_path, name):
    run = Run(shutil.copytree(never_stopped(tiny(average_decay=0.9)).path, tmp_path / "run"))
    file = run.checkpoint(12) / f"{name}.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"damaged \({name}.safetensors .*delete that folder to go on from step 10"):
        train(tiny(average_decay=0.9, steps=20), data(), run, resume=True)
    file.parent.rename(tmp_path / "aside")
    assert train(tiny(average_decay=0.9, steps=12), data(), run, resume=True).state == "finished"


def test_an_existing_run_is_not_taken_up_unasked_nor_with_other_data_or_settings(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(), data(), run)
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    for word, config, examples, resume in [
        ("exists already", tiny(), data(), False),
        (r"data .* have changed", tiny(steps=14), data(seed=1), True),
        (r"train.learning_rate is 0.1 in the run and 0.2 here", tiny(learning_rate=0.2), data(), True),
    ]:
        with pytest.raises(InputError, match=word):
            train(config, examples, run, resume=resume)
    assert before == {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


def test_a_picture_lost_to_a_kill_is_drawn_again(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(), data(), run)
    picture = (run.path / "samples.png").read_bytes()
    shutil.rmtree(run.path / "samples")
    (run.path / "samples.png").unlink()
    train(tiny(), data(), run, resume=True)
    assert (run.path / "samples.png").read_bytes() == picture


def test_a_log_that_lost_lines_is_refused(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(), data(), run)
    run.log.write_bytes(run.log.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"log.jsonl has \d+ bytes and had \d+"):
        train(tiny(steps=14), data(), run, resume=True)


def test_divergence_stops_the_run_and_keeps_the_last_finite_checkpoint(tmp_path):
    run = Run(tmp_path / "run")
    config = tiny(steps=300, learning_rate=1e18, checkpoint_every=1, log_every=1)
    outcome = train(config, data(), run)
    assert outcome.state == "diverged"
    assert run.status().items() >= {"step": outcome.step, "state": "diverged", "verdict": "diverged"}.items()
    assert all(step < outcome.step for step in run.checkpoint_steps())
    from advnets.sampling import load_sampler

    if run.checkpoint_steps():
        import numpy as np

        assert np.isfinite(load_sampler(run).draw(5)).all()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_random_moments_and_resumed_equals_straight_through(tmp_path, mode):
    def training(name):
        return started(digits, tmp_path / name, mode, tmp_path / "told")

    def finished(process):
        process.join()
        assert process.exitcode == 0 and (tmp_path / "told").read_text() == "finished"

    finished(training("whole"))
    moments = random.Random(os.getpid())
    killed = 0
    for _ in range(2):
        process = training("parts")
        wait_for_progress(Run(tmp_path / "parts"), process, moments.randrange(250))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    finished(training("parts"))
    assert killed, "at least one kill hit a living process"
    assert bits(Run(tmp_path / "whole")) == bits(Run(tmp_path / "parts"))


def wait_for_progress(run: Run, process: BaseProcess, milliseconds: int) -> None:
    """Wait until the process has written a checkpoint, then some more."""
    deadline, before = time.monotonic() + 60, run.checkpoint_steps()
    while process.is_alive() and time.monotonic() < deadline and run.checkpoint_steps() == before:
        time.sleep(0.005)
    time.sleep(milliseconds / 1000)


def test_data_that_a_sigmoid_cannot_reach_are_refused_before_anything_is_written(tmp_path):
    examples = data()
    examples = dataclasses.replace(examples, train=dataclasses.replace(examples.train, x=examples.train.x * 3))
    with pytest.raises(InputError, match=r"--generator.output is sigmoid and the data reach from .* linear"):
        train(tiny(), examples, Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_small_nets_take_one_thread_and_give_the_others_back(tmp_path):
    torch.set_num_threads(2)
    try:
        run = Run(tmp_path / "run")
        train(tiny(), data(), run)
        assert torch.get_num_threads() == 2
        assert run.read()["machine"]["threads"] == 1
        assert differences(run, tiny()) == []
        content = run.read()
        write_json(run.path / "config.json", {**content, "versions": {**content["versions"], "torch": "1.0"}})
        assert len(differences(run, tiny())) == 1 and "torch was 1.0" in differences(run, tiny())[0]
    finally:
        torch.set_num_threads(1)
