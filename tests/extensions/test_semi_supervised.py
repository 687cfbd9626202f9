"""Classes from few labels: the losses are those of a softmax over K + 1, and training is exact over interruptions."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from advnets import objectives, recipes
from advnets.config import Config, NoiseConfig, SemiConfig, TrainConfig
from advnets.data import load
from advnets.data.dataset import DataSet, Split
from advnets.errors import InputError
from advnets.extensions import labels, semi_supervised
from advnets.extensions.semi_step import Labelled, move, new_game
from advnets.nets.build import parameter_count
from advnets.nets.semi_supervised import BatchNormGenerator, NoisyClassifier, NormedLinear
from advnets.parameters import parameter_counts
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.seeds import stream
from advnets.training import train as train_game

SEMI = SemiConfig(labels=30, hidden=(24, 16), generator_hidden=(16, 12))
TINY = Config(
    "digits-semi-supervised",
    noise=NoiseConfig(dimension=6, low=0.0, high=1.0),
    train=TrainConfig(
        steps=12,
        batch_size=20,
        log_every=4,
        sample_every=6,
        checkpoint_every=5,
        device="cpu",
        signals="off",
        learning_rate=1e-3,
    ),
    semi=SEMI,
)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load(TINY.data)


def tiny(**settings) -> Config:
    train = {name: value for name, value in settings.items() if hasattr(TINY.train, name)}
    semi = {name: value for name, value in settings.items() if hasattr(SEMI, name)}
    semi = dataclasses.replace(SEMI, **semi)
    return dataclasses.replace(TINY, train=dataclasses.replace(TINY.train, **train), semi=semi)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits) -> Run:
    """A run of `tiny()`, never stopped, which the tests leave as it is."""
    run = Run(tmp_path_factory.mktemp("trained") / "run")
    assert semi_supervised.train(tiny(), digits, run).state == "finished"
    return run


def game_of(config: Config, data: DataSet):
    return new_game(config, data, Fabric(accelerator="cpu", devices=1, precision=config.train.precision))


# The losses


def explicit(logits):
    """The softmax over K + 1 classes, the last with a logit of 0: the slow, obvious twin."""
    return torch.cat([logits, torch.zeros(len(logits), 1, dtype=logits.dtype)], 1).softmax(1)


def test_losses_equal_those_of_an_explicit_softmax_over_one_class_more():
    random = torch.Generator().manual_seed(0)
    real, fake = (3 * torch.randn(50, 4, generator=random, dtype=torch.float64) for _ in "ab")
    y = torch.randint(4, (50,), generator=random)
    is_real, is_fake = explicit(real)[:, :4].sum(1), explicit(fake)[:, 4]
    torch.testing.assert_close(objectives.real_logits(real).sigmoid(), is_real)
    torch.testing.assert_close(objectives.unlabelled_loss(real, fake), -(is_real.log() + is_fake.log()) / 2)
    given_real = explicit(real)[:, :4] / is_real[:, None]
    torch.testing.assert_close(objectives.labelled_loss(real, y), -given_real[range(50), y].log())


def test_losses_have_the_gradients_of_their_values_and_stay_finite():
    random = torch.Generator().manual_seed(1)
    real, fake = (torch.randn(3, 4, generator=random, dtype=torch.float64, requires_grad=True) for _ in "ab")
    y = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(objectives.unlabelled_loss, (real, fake))
    assert torch.autograd.gradcheck(lambda logits: objectives.labelled_loss(logits, y), (real,))
    assert torch.autograd.gradcheck(objectives.feature_matching_loss, (fake, real))
    extreme = torch.tensor([[1e4, -1e4], [-1e4, -1e4]])
    assert torch.isfinite(objectives.unlabelled_loss(extreme, extreme)).all()


def test_features_match_when_their_means_do():
    real = torch.tensor([[0.0, 2.0], [4.0, 2.0]])
    torch.testing.assert_close(objectives.feature_matching_loss(real.flip(0), real), torch.zeros(2))
    torch.testing.assert_close(objectives.feature_matching_loss(real[:1], real), torch.tensor([4.0, 0.0]))


# The nets


def test_only_the_direction_of_weights_counts_and_the_scale_is_their_length():
    layer = NormedLinear(5, 3, trained_scale=True)
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
        layer.scale.copy_(torch.tensor([1.0, 2.0, 0.5]))
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    expected = x @ (layer.weight / layer.weight.norm(dim=1, keepdim=True) * layer.scale[:, None]).T + layer.bias
    torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        layer.weight.mul_(7)
    torch.testing.assert_close(layer(x), expected)


def test_calibration_gives_every_unit_mean_0_and_variance_1():
    net = NoisyClassifier(dataclasses.replace(SEMI, input_noise=0.0, hidden_noise=0.0), 64, stream(0, "weights"))
    x = torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    net.calibrate(x, stream(0, "noise"))
    seen = []
    for layer in (*net.layers, net.logits):
        layer.register_forward_hook(lambda module, given, found: seen.append(found))
    net(x)
    assert len(seen) == 3
    for found in seen:
        torch.testing.assert_close(found.mean(0), torch.zeros(found.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(found.var(0, correction=0), torch.ones(found.shape[1]), atol=1e-3, rtol=0)


def test_noise_is_of_training_alone_and_of_the_given_stream():
    net = NoisyClassifier(SEMI, 64, stream(0, "weights"))
    x = torch.rand(5, 64)
    once, again, other = (net(x, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(once, again) and not torch.equal(once, other)
    net.eval()
    assert torch.equal(net(x)[0], net(x, torch.Generator().manual_seed(3))[0])
    assert torch.allclose(net(x)[0][:2], net(x[:2])[0], atol=1e-6)


def test_hidden_units_of_the_generator_are_normalised_over_the_batch():
    net = BatchNormGenerator(SEMI, 6, (1, 8, 8), stream(0, "weights"))
    seen = []
    net.norms[0].register_forward_hook(lambda module, given, found: seen.append(found))
    x = net(torch.rand(50, 6, generator=torch.Generator().manual_seed(0)))
    assert x.shape == (50, 1, 8, 8) and x.min() > 0 and x.max() < 1
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].var(0, correction=0), torch.ones(16), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["mnist-semi-supervised", "digits-semi-supervised"])
def test_parameters_are_counted_as_the_nets_have_them(name):
    config = recipes.get(name)
    shape = (1, 28, 28) if config.data.name == "mnist" else (1, 8, 8)
    assert config.semi is not None
    d = NoisyClassifier(config.semi, shape[1] * shape[2], stream(0, "weights"))
    g = BatchNormGenerator(config.semi, config.noise.dimension, shape, stream(0, "weights"))
    counts = parameter_counts(config, shape)
    assert counts == {"generator": parameter_count(g), "discriminator": parameter_count(d)}


# The labels


@pytest.mark.parametrize("count", [10, 20, 57])
def test_labels_are_drawn_evenly_from_the_training_part_by_the_seed(digits, count):
    rows = labels.draw(digits, count, 10, seed=3)
    counts = np.bincount(digits.train.labels[rows], minlength=10)
    assert len(set(rows.tolist())) == count == counts.sum() and counts.max() - counts.min() <= 1
    assert np.array_equal(rows, labels.draw(digits, count, 10, seed=3))
    assert not np.array_equal(np.sort(rows), np.sort(labels.draw(digits, count, 10, seed=4)))


def test_more_labels_contain_fewer(digits):
    few, many = (set(labels.draw(digits, count, 10, seed=0).tolist()) for count in (20, 100))
    assert few < many


def test_without_a_count_all_labels_that_are_there_are_used_however_uneven(digits):
    given = np.where(np.arange(len(digits.train.x)) < 90, digits.train.labels, -1)
    few = dataclasses.replace(digits, train=Split(digits.train.x, given))
    rows = labels.draw(few, None, 10, seed=0)
    assert np.array_equal(np.sort(rows), np.arange(90))
    assert len({*np.bincount(given[rows]).tolist()}) > 1, "uneven"
    game = game_of(tiny(labels=None, batch_size=90), few)
    for x, y in zip(game.labelled.x, game.labelled.y, strict=True):
        assert any(torch.equal(x, torch.from_numpy(digits.train.x[row])) and y == given[row] for row in range(90))


@pytest.mark.parametrize("absent", [4, 9])
def test_without_a_count_every_class_needs_a_label(digits, absent):
    held = np.where(digits.train.labels == absent, -1, digits.train.labels)
    without = dataclasses.replace(digits, train=Split(digits.train.x, held))
    with pytest.raises(InputError, match=f"class {absent} of digits has no labelled training example, allowed: one of"):
        labels.draw(dataclasses.replace(without, validation=without.train, test=without.train), None, 10, seed=0)


def test_labels_that_are_not_there_are_refused(digits):
    with pytest.raises(InputError, match=r"--semi\.classes is 9 and digits has 10 classes"):
        labels.draw(digits, 30, 9, seed=0)
    with pytest.raises(InputError, match=r"class \d of digits has \d+ labelled training examples and 119"):
        labels.draw(digits, 1190, 10, seed=0)
    bare = dataclasses.replace(digits, train=Split(digits.train.x))
    with pytest.raises(InputError, match="digits has no labels"):
        labels.draw(bare, 30, 10, seed=0)


def test_all_labelled_examples_fill_a_minibatch_that_has_room_and_take_turns_where_it_has_not():
    x, y = torch.arange(6.0)[:, None], torch.arange(6)
    images, found = Labelled(x, y, 20, seed=0)[5]
    assert found.tolist() == [*range(6)] * 3 and torch.equal(images[:, 0], found.float())
    batches = Labelled(x, y, 2, seed=0)
    assert sorted(torch.cat([batches[3 + number][1] for number in range(3)]).tolist()) == [*range(6)]
    assert torch.equal(batches[4][1], Labelled(x, y, 2, seed=0)[4][1])


# Training


def test_a_step_moves_each_player_by_its_own_loss(digits):
    """The step's losses and gradients, from their definitions and two plain Adam steps, in float64."""
    config = tiny(precision="64-true", input_noise=0.0, hidden_noise=0.0)
    game, twin = game_of(config, digits), game_of(config, digits)
    d, g = twin.discriminator.net, twin.generator.net
    rules = [torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999), SEMI.adam_epsilon) for net in (d, g)]
    x, y = twin.labelled[0]
    fake = g(twin.noise()).detach()
    logits = torch.cat([d(part)[0] for part in (x, twin.batches[0], fake)])
    p = explicit(logits)
    n, b = len(x), config.train.batch_size
    labelled = -(p[range(n), y] / p[:n, :10].sum(1)).log().mean()
    unlabelled = -(p[n : n + b, :10].sum(1).log().mean() + p[n + b :, 10].log().mean()) / 2
    (labelled + unlabelled).backward()
    rules[0].step()
    gap = d(g(twin.noise()))[1].mean(0) - d(twin.batches[1])[1].mean(0)
    rules[1].zero_grad()
    gap.square().mean().backward()
    rules[1].step()
    move(game)
    torch.testing.assert_close(
        game.sums.tolist()[:3], [unlabelled.item(), labelled.item(), gap.square().mean().item()], rtol=1e-5, atol=0
    )
    for ours, theirs in ((game.discriminator.net, d), (game.generator.net, g)):
        for name, parameter in ours.named_parameters():
            torch.testing.assert_close(parameter, theirs.get_parameter(name), msg=lambda text, name=name: name + text)


def test_no_player_moves_the_other_and_the_average_follows_d(digits):
    game = game_of(tiny(average_decay=0.5), digits)
    first = [parameter.detach().clone() for parameter in game.average.parameters()]
    move(game)
    assert all(parameter.grad is None for parameter in game.discriminator.net.parameters())
    assert all(parameter.requires_grad for parameter in game.discriminator.net.parameters())
    one = [parameter.detach().clone() for parameter in game.discriminator.net.parameters()]
    for average, weight in zip(game.average.parameters(), one, strict=True):
        torch.testing.assert_close(average.detach(), weight)  # untrained weights keep no share
    move(game)
    two = list(game.discriminator.net.parameters())
    for average, before, now in zip(game.average.parameters(), one, two, strict=True):
        torch.testing.assert_close(average.detach(), (before + 2 * now.detach()) / 3)
    assert any(not torch.equal(a, b) for a, b in zip(first, one, strict=True))


def bits(run: Run) -> dict[str, bytes]:
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return files | {"log.jsonl": run.log.read_bytes(), "samples": (run.path / "samples.png").read_bytes()}


@pytest.mark.parametrize(("cut", "count"), [(4, 30), (7, 30), (7, 15)])
def test_interrupted_and_resumed_equals_straight_through(trained, tmp_path, digits, cut, count):
    whole, parts = trained, Run(tmp_path / "parts")
    config = tiny(labels=count)
    if config != tiny():
        whole = Run(tmp_path / "whole")
        assert semi_supervised.train(config, digits, whole).state == "finished"
    calls = iter(range(1, 100))
    stopped = semi_supervised.train(config, digits, parts, stop=lambda: next(calls) >= cut)
    assert (stopped.state, parts.status()["step"]) == ("interrupted", cut)
    assert semi_supervised.train(config, digits, parts, resume=True).state == "finished"
    assert bits(whole) == bits(parts)


def test_the_log_tells_losses_rates_and_the_error_on_validation_data(trained, digits):
    lines = [json.loads(line) for line in trained.log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    classify = semi_supervised.load_classifier(trained)
    wrong = (classify(digits.validation.x).argmax(1) != digits.validation.labels).mean()
    assert lines[-1]["validation_error"] == pytest.approx(wrong)
    assert {"discriminator_loss", "labelled_loss", "generator_loss", "learning_rate"} <= lines[0].keys()


def test_labels_that_were_not_drawn_reach_nothing(trained, tmp_path, digits):
    """Training without them gives the same bits."""
    rows = labels.draw(digits, 30, 10, seed=0)
    drawn = np.full(len(digits.train.x), -1)
    drawn[rows] = digits.train.labels[rows]
    bare = dataclasses.replace(digits, train=Split(digits.train.x, drawn))
    with_drawn = Run(tmp_path / "drawn")
    semi_supervised.train(tiny(), bare, with_drawn)
    assert bits(trained) == bits(with_drawn)


def test_a_run_is_sampled_as_any_other(trained):
    samples = load_sampler(trained).draw(7, seed=1)
    assert samples.shape == (7, 1, 8, 8) and samples.min() >= 0 and samples.max() <= 1


def test_numbers_that_are_not_finite_end_a_run_as_diverged(tmp_path, digits):
    run = Run(tmp_path / "run")
    outcome = semi_supervised.train(tiny(learning_rate=1e30), digits, run)
    assert (outcome.state, run.status()["state"]) == ("diverged", "diverged")


def test_what_does_not_fit_is_refused(tmp_path, digits):
    run = Run(tmp_path / "run")
    wide = dataclasses.replace(digits, train=Split(digits.train.x * 3, digits.train.labels))
    with pytest.raises(InputError, match=r"ends in sigmoids and the data reach from 0 to 3"):
        semi_supervised.train(tiny(), wide, run)
    with pytest.raises(InputError, match="no labels to learn from"):
        semi_supervised.train(dataclasses.replace(tiny(), semi=None), digits, run)
    with pytest.raises(ValueError, match="semi_supervised"):
        train_game(tiny(), digits, run)
    assert not run.path.exists()


def test_it_learns_digits_better_than_their_labels_alone(tmp_path, digits):
    """300 steps with 50 labels; a logistic regression on the same 50 gets about an eighth wrong."""
    config = recipes.get("digits-semi-supervised")
    train = dataclasses.replace(config.train, steps=300, decay_per_update=1.008, device="cpu")
    run = Run(tmp_path / "run")
    semi_supervised.train(dataclasses.replace(config, train=train), digits, run)
    classify = semi_supervised.load_classifier(run)
    assert (classify(digits.validation.x).argmax(1) != digits.validation.labels).mean() < 0.16
