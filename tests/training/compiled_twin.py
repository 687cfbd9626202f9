"""Play one game step by step and compiled, and print by how much they differ.

`test_compiled.py` runs it in a process without the shape checks of the tests, which torch.compile does not take.
"""

import json

import torch
from lightning_fabric import Fabric

from advnets.config import Config, DataConfig, DiscriminatorConfig, GeneratorConfig, NoiseConfig, TrainConfig
from advnets.training.batches import Batches
from advnets.training.compiled import compiled_step
from advnets.training.game import new_game
from advnets.training.step import released_step

PRECISION, STEPS = "64-true", 40


def game():
    train = TrainConfig(
        batch_size=10,
        decay_per_update=1.01,
        average_decay=0.99,
        precision=PRECISION,
        non_saturating_weight=0.7,
        minimax_weight=0.3,
        momentum_epochs=3,
    )
    config = Config(
        recipe="twin",
        data=DataConfig("noise"),
        noise=NoiseConfig("uniform", 7),
        train=train,
        generator=GeneratorConfig(hidden=(16, 12), keep=(1.0, 0.8), init_range=0.3, max_column_norm=0.6),
        discriminator=DiscriminatorConfig(
            hidden=(8, 6), pieces=3, keep=(0.8, 0.5), init_range=0.3, max_column_norm=0.9
        ),
    )
    x = torch.rand(95, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    fabric = Fabric(accelerator="cpu", devices=1, precision=PRECISION)
    made = new_game(config, (1, 6, 6), x.mean(0), fabric)
    return made, Batches(x.to(made.dtype), train.batch_size, 0)


def state(made):
    nets = (made.generator, made.discriminator)
    yield from (weight.detach() for player in nets for weight in player.net.parameters())
    yield from (player.optimiser.state[w]["momentum_buffer"] for player in nets for w in player.net.parameters())
    yield from made.average.parameters()
    yield made.sums


def largest_difference(one, other):
    pairs = zip(state(one), state(other), strict=True)
    return [((a - b).abs().max() / a.abs().max().clamp_min(1e-30)).item() for a, b in pairs]


def apart():
    games = []
    for compiled in (False, True):
        made, batches = game()
        first = made.generator.net.net.layers[0].weight.detach().clone()
        move = compiled_step(made) if compiled else released_step
        for step in range(STEPS):
            if step == STEPS // 2:  # from outside of the graph, as a rollback does
                with torch.no_grad():
                    for weight in made.discriminator.net.parameters():
                        weight.mul_(0.9)
            move(made, batches)
            made.step += 1
        games.append(made)
    one, other = games
    differences = largest_difference(one, other)
    return {
        "worst": max(differences),
        "worst_of_weights": max(differences[:-1]),
        "same_random": torch.equal(one.random.get_state(), other.random.get_state()),
        "summed": [one.summed, other.summed],
        "averaged": [int(one.average.n_averaged), int(other.average.n_averaged)],
        "moved": (other.generator.net.net.layers[0].weight - first).abs().max().item(),
    }


if __name__ == "__main__":
    print(json.dumps(apart()))
