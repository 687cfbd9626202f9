"""`--train.compile on`: the same game, which resumes to the bit; without a compiler, one line."""

import dataclasses
import shutil

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from advnets import recipes
from advnets.cli.main import main
from advnets.config import Config, DataConfig, DiscriminatorConfig, GeneratorConfig, NoiseConfig, TrainConfig, check
from advnets.errors import InputError
from advnets.training import compiled, kernels
from advnets.training.batches import Batches
from advnets.training.game import new_game
from advnets.training.step import SMALLEST_SEED, _seeds, measure, released_step

needs_compiler = pytest.mark.skipif(kernels.compiler() is None, reason="no C++ compiler")
TINY = ["train", "digits", "--generator.hidden", "16", "--discriminator.hidden", "8", "--train.learning_rate", "0.3"]
TINY += ["--train.sample_every", "1000", "--train.checkpoint_every", "10"]
STEPS = 40
TWIN = Config(
    recipe="twin",
    data=DataConfig("noise"),
    noise=NoiseConfig("uniform", 7),
    train=TrainConfig(
        batch_size=10,
        decay_per_update=1.01,
        average_decay=0.99,
        precision="64-true",
        non_saturating_weight=0.7,
        minimax_weight=0.3,
        momentum_epochs=3,
    ),
    generator=GeneratorConfig(hidden=(16, 12), keep=(1.0, 0.8), init_range=0.3, max_column_norm=0.6),
    discriminator=DiscriminatorConfig(hidden=(8, 6), pieces=3, keep=(0.8, 0.5), init_range=0.3, max_column_norm=0.9),
)
OTHERS = {  # nets of other units, and layers that a net may lack
    "as it is": TWIN,
    "sigmoids, one piece, no dropout": dataclasses.replace(
        TWIN,
        generator=GeneratorConfig(hidden=(9,), activations=("sigmoid",), keep=(1.0,), output="linear", init_range=0.3),
        discriminator=DiscriminatorConfig(hidden=(8,), pieces=1, keep=(1.0,), init_range=0.3),
    ),
    "dropout on noise, no hidden layer in G": dataclasses.replace(
        TWIN, generator=GeneratorConfig(hidden=(), keep=(0.5,), init_range=0.3)
    ),
}


def game(config):
    x = torch.rand(95, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    fabric = Fabric(accelerator="cpu", devices=1, precision=config.train.precision)
    made = new_game(config, (1, 6, 6), x.mean(0), fabric)
    return made, Batches(x.to(made.dtype), config.train.batch_size, 0)


def state(made):
    nets = made.generator, made.discriminator
    yield from (weight.detach() for player in nets for weight in player.net.parameters())
    yield from (player.optimiser.state[w]["momentum_buffer"] for player in nets for w in player.net.parameters())
    yield from made.average.parameters()
    yield made.sums


def played(config, step_of):
    made, batches = game(config)
    move = step_of(made)
    for step in range(STEPS):
        if step == STEPS // 2:  # from outside, as a rollback does
            with torch.no_grad():
                for weight in made.discriminator.net.parameters():
                    weight.mul_(0.9)
        move(made, batches)
        made.step += 1
    return made


@needs_compiler
@pytest.mark.parametrize("name", OTHERS)
def test_it_plays_the_game_of_the_plain_step(name):
    """Weights, velocities, averages, sums and the random stream, dropout, limited columns, a hand from outside."""
    config = OTHERS[name]
    begun = [weight.detach().clone() for weight in game(config)[0].generator.net.parameters()]
    one, other = played(config, lambda made: released_step), played(config, compiled.compiled_step)
    apart = [
        ((a - b).abs().max() / a.abs().max().clamp_min(1e-30)).item()
        for a, b in zip(state(one), state(other), strict=True)
    ]
    assert max(apart[:-1]) < 1e-12
    assert apart[-1] < 1e-5, "the sums are of float32"
    assert torch.equal(one.random.get_state(), other.random.get_state()) and other.moved
    assert one.summed == other.summed == STEPS == int(other.average.n_averaged)
    now = other.generator.net.parameters()
    assert max((a - b).abs().max().item() for a, b in zip(begun, now, strict=True)) > 1e-4


@needs_compiler
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_weights_above_rectifiers_lie_by_columns_but_in_bfloat16(precision):
    """G's top weight, its average and its velocity, also after a velocity was read from a file."""
    made, batches = game(dataclasses.replace(TWIN, train=dataclasses.replace(TWIN.train, precision=precision)))
    step, top = compiled.compiled_step(made), made.generator.net.net.layers[-1].weight
    step(made, batches)
    velocity = made.generator.optimiser.state[top]
    velocity["momentum_buffer"] = velocity["momentum_buffer"].contiguous()
    before = velocity["momentum_buffer"].clone()
    step(made, batches)
    found = top, made.average.module.net.layers[-1].weight, velocity["momentum_buffer"]
    strides = (1, 36) if precision == "64-true" else (12, 1)
    assert [one.stride() for one in found] == [strides] * 3 and found[0].shape == (36, 12)
    assert made.generator.net.net.layers[0].weight.is_contiguous() and not torch.equal(found[2], before)


def test_weights_in_bfloat16_are_those_of_now_whoever_changed_them():
    config = dataclasses.replace(TWIN, train=dataclasses.replace(TWIN.train, precision="bf16-mixed"))
    made, _ = game(config)
    player = made.generator
    side = compiled._Side(player, config.train)

    def rounded():
        state = side.state(0, 1)
        return all(torch.equal(state.played[name], one.bfloat16()) for name, one in state.weights.items())

    assert rounded()
    player.max_column_norm = 1e-3
    side.moved()  # limits columns
    assert rounded()
    with torch.no_grad():
        next(player.net.parameters()).add_(1)
    assert rounded()
    player.net.load_state_dict({name: one * 2 for name, one in player.net.state_dict().items()})
    assert rounded()


@needs_compiler
@pytest.mark.parametrize(("minimax", "other"), [(0.0, 1.0), (1.0, 0.0), (0.3, 0.7)])
def test_gradients_of_both_losses_are_those_of_autograd_also_where_one_player_has_won(minimax, other):
    train = dataclasses.replace(TWIN.train, minimax_weight=minimax, non_saturating_weight=other)
    made, _ = game(dataclasses.replace(TWIN, train=train))
    logits = torch.tensor([-100.0, -3.0, 0.0, 2.0, 90.0, -90.0, -60.0, 0.0, 1.0, 80.0], dtype=torch.float64)
    d_loss, d_seed, g_loss, g_seed = _seeds(made, logits)
    d_seed[5:].clamp_min_(SMALLEST_SEED / 5)
    seed, ratio, measures = kernels.losses(logits, 5, minimax, other, SMALLEST_SEED)
    torch.testing.assert_close(seed, d_seed, rtol=1e-12, atol=0)
    torch.testing.assert_close(ratio, (g_seed / d_seed)[5:], rtol=1e-12, atol=0)
    made.sums.zero_()
    measure(made, logits[:5], logits[5:], d_loss, g_loss)
    torch.testing.assert_close(measures, made.sums, rtol=1e-6, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_in_bfloat16_too_and_a_run_goes_on_to_the_bits_of_one_never_stopped(tmp_path, capsys, precision):
    tiny = [*TINY, "--train.precision", precision]
    plain, whole, halves = (tmp_path / name for name in ("plain", "whole", "halves"))
    ends = (whole, "step-10"), (whole, "step-20"), (plain, "step-20")
    for run, words in (
        (plain, [*tiny, "--train.compile", "off", "--steps", "20"]),
        (whole, [*tiny, "--train.compile", "on", "--steps", "20"]),
        (halves, ["train", "--resume", "--steps", "20"]),
    ):
        if run == halves:  # as if the one before had been stopped at step 10
            shutil.copytree(whole, halves)
            shutil.rmtree(halves / "checkpoints" / "step-20")
        assert main([*words, "--out", str(run)]) == 0, capsys.readouterr().err
    for name in ("generator", "generator-optimiser", "average", "discriminator", "discriminator-optimiser", "game"):
        one, other = ((run / f"checkpoints/step-20/{name}.safetensors").read_bytes() for run in (whole, halves))
        assert one == other
    for net in ("generator", "discriminator"):
        files = (run / "checkpoints" / step / f"{net}.safetensors" for run, step in ends)
        before, compiled_net, plain_net = (torch.cat([one.flatten() for one in load_file(at).values()]) for at in files)
        apart = (compiled_net - plain_net).norm() / (plain_net - before).norm()
        assert apart < 0.2, "roundings of bfloat16, of .004, and what twenty steps make of them"


@pytest.mark.parametrize(
    ("recipe", "words", "wrong"),
    [
        ("mnist", ["--mode", "paper"], "--train.mode is paper"),
        ("mnist", ["--train.optimiser", "adam"], "--train.optimiser is adam"),
        ("mnist", ["--train.rest_above", ".5"], "--train.rest_above is 0.5"),
        ("cifar10-conv", [], "the nets have convolutions"),
        ("digits-conditional", [], "condition is set"),
        ("digits-semi-supervised", [], "semi is set"),
        ("tfd", [], "second_stage is set"),
        ("dbn", [], "the model is a rival"),
    ],
)
def test_what_is_not_one_graph_is_refused_in_one_line(capsys, recipe, words, wrong):
    assert main(["train", recipe, "--train.compile", "on", *words, "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert f"--train.compile is on and {wrong}, allowed: released mode" in err and err.count("\n") == 1


def test_no_compiler_is_one_line_and_leaves_no_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main([*TINY, "--train.compile", "on", "--steps", "2", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "there is no C++ compiler, allowed: one process on a CPU, with g++ or clang++" in err
    assert not (tmp_path / "run").exists()


def test_a_compiler_that_is_named_and_not_there_is_named_in_the_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main([*TINY, "--train.compile", "on", "--steps", "2", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "there is no C++ compiler at no-such-compiler, as the variable CXX has it, allowed: " in err


@needs_compiler
def test_a_compiler_that_fails_is_one_line(tmp_path, monkeypatch, capsys):
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho 'cannot find libgomp' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    kernels._library.cache_clear()
    assert main([*TINY, "--train.compile", "on", "--steps", "2", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"the C++ compiler fails here ({broken}: cannot find libgomp), allowed: a machine where it works" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("device", "processes", "wrong"), [("cuda", 1, "the device is cuda"), ("cpu", 2, "there are 2")]
)
def test_other_devices_and_more_processes_are_refused(device, processes, wrong):
    config = recipes.get("digits")
    config = check(dataclasses.replace(config, train=dataclasses.replace(config.train, compile="on")))
    with pytest.raises(InputError, match=f"{wrong}.*allowed: one process on a CPU"):
        compiled.require_compiler(config, torch.device(device), processes)
