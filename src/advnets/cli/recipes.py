"""`advnets recipes`: the presets, with the sizes of their nets."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from advnets import recipes
from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, listing, table
from advnets.config import Config, Rival, VAEConfig, to_json
from advnets.data import info
from advnets.parameters import parameter_counts


@dataclass(frozen=True)
class Arguments:
    """List the presets, or every setting of one."""

    recipe: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")] = None
    """A preset, to see all its settings."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Print the table of recipes, or one of them."""
    arguments = parse(Arguments, tokens, "recipes")
    if arguments.recipe:
        config, facts = recipes.get(arguments.recipe), _facts(arguments.recipe)
        if arguments.json:
            emit({**facts, "config": to_json(config)})
        else:
            print(f"{facts['name']}: {facts['summary']}\n{listing(config)}")
        return DONE
    rows = [_facts(name) for name in recipes.RECIPES]
    if arguments.json:
        emit({"recipes": rows, "auto": recipes.AUTO})
        return DONE
    print(table([("recipe", "data", "generator", "discriminator", "parameters", "paper"), *map(_row, rows)]))
    print()
    print(table([(row["name"], row["summary"]) for row in rows]))
    print(f"\nauto {recipes.AUTO}")
    return DONE


def _facts(name: str) -> dict[str, Any]:
    recipe = recipes.RECIPES[name]
    shape = info(recipe.config.data.name).shape
    generator, discriminator = _layers(recipe.config, shape)
    return {
        "name": name,
        "summary": recipe.summary,
        "data": recipe.config.data.name,
        "generator": generator,
        "discriminator": discriminator,
        "parameters": parameter_counts(recipe.config, shape, stage=2 if recipe.config.second_stage else 1),
        "paper": recipe.paper or None,
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    parameters = " + ".join(f"{count:,}" for count in facts["parameters"].values())
    layers = facts["generator"], facts["discriminator"] or ""
    return facts["name"], facts["data"], *layers, parameters, facts["paper"] or ""


def _layers(config: Config, shape: tuple[int, ...]) -> tuple[str, str | None]:
    """Write the layers of G, or of a rival, and those of D where there is one."""
    if config.rival:
        return _rival_layers(config.rival, shape), None
    if config.semi:
        size, semi = math.prod(shape), config.semi
        sides = [config.noise.dimension, *semi.generator_hidden, size], [size, *semi.hidden, semi.classes]
        generator, discriminator = ("-".join(map(str, side)) for side in sides)
        return generator, discriminator
    return _generator_layers(config, shape), _discriminator_layers(config, shape)


def _rival_layers(rival: Rival, shape: tuple[int, ...]) -> str:
    """Write the layers of a rival, data first, as 784-1024-1024; of one with a code, that between."""
    below = [math.prod(shape), *rival.hidden]
    return "-".join(map(str, [*below, rival.latent, *below[::-1]] if isinstance(rival, VAEConfig) else below))


def _generator_layers(config: Config, shape: tuple[int, ...]) -> str:
    """Write the layers of G, noise first, as 100-1200-1200-784."""
    net = config.generator
    second = [config.noise.dimension, *config.second_stage.hidden] if config.second_stage else []
    top = math.prod(shape) if net.maps is None else f"deconv{net.kernel}x{net.kernel}"
    return "-".join(map(str, [*second, config.noise.dimension, *net.hidden, top]))


def _discriminator_layers(config: Config, shape: tuple[int, ...]) -> str:
    """Write the layers of D, data first, maxout layers as units x pieces: 784-240x5-240x5-1."""
    net = config.discriminator
    convolutions = [f"conv{layer.channels}x{layer.pieces}" for layer in net.convolutions]
    hidden = [f"{units}x{net.pieces}" for units in net.hidden]
    return "-".join([str(math.prod(shape)), *convolutions, *hidden, "1"])
