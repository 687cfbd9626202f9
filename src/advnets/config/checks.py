"""What settings may be, alone and together."""

import math
import re
from typing import Any

from advnets.config.sections import Config
from advnets.config.values import flatten, spell
from advnets.errors import InputError

_EVERY = ("train.sample_every", "train.checkpoint_every", "train.keep_every", "train.validate_every")
_DRAWING = ("chain.chains", "chain.burn_in", "chain.thinning", "chain.pixels")
FREE_ON_RESUME = ("train.steps", *_EVERY, "train.signals", "train.on_bad", "train.device", *_DRAWING)
_GAME = {
    *("noise", "generator", "discriminator", "second_stage", "condition"),
    *("train.mode", "train.k", "train.generator_steps", "train.rest_above"),
    *("train.minimax_weight", "train.non_saturating_weight"),
    *("train.discriminator_learning_rate", "train.average_decay", "train.on_bad", "train.reconstruction_weight"),
    "train.validate_every",
}
"""Settings, and whole sections of them, that adversarial nets have and rivals do not."""
_PARTS = {"condition", "rbm", "cae", "gsn", "vae", "chain", "semi"}
"""Sections that only some runs have."""
_SEMI_LACKS = {
    *(_GAME - {"noise", "train.discriminator_learning_rate"}),
    *("train.optimiser", "train.momentum", "train.final_momentum", "train.momentum_epochs", "train.signals"),
}
"""What runs with few labels do not have: their nets have sections of their own, and their rule is Adam."""


def belongs(config: Config, name: str) -> bool:
    """Tell whether a setting means anything for what a run trains."""
    section = name.partition(".")[0]
    if section in _PARTS:
        return getattr(config, section) is not None
    lacking = _SEMI_LACKS if config.semi else _GAME if config.rival else set()
    return not {section, name} & lacking


# The loosest bounds that still make sense: name -> (test, what is allowed).
_ALLOWED: dict[str, tuple[Any, str]] = {
    "seed": (lambda v: 0 <= v < 2**63, "an integer from 0 to 2^63 - 1"),
    "data.size": (lambda v: v is None or 1 <= v <= 4096, "1 to 4096 pixels"),
    "data.contrast_scale": (lambda v: v > 0, "a number above 0"),
    "data.held_out": (lambda v: 0 < v < 0.5, "a share above 0 and below 0.5"),
    "data.fold": (lambda v: 0 <= v <= 5, "0 to 5"),
    "noise.dimension": (lambda v: v >= 1, "1 or more"),
    "generator.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
    "generator.activations": (len, "one or more names"),
    "generator.hidden_biases": (len, "one or more numbers"),
    "generator.init_range": (lambda v: v > 0, "a number above 0"),
    "generator.output_init_range": (lambda v: v is None or v > 0, "a number above 0"),
    "generator.output_sparse": (lambda v: v >= 0, "0 or more"),
    "generator.keep": (lambda v: len(v) > 0 and all(0 < p <= 1 for p in v), "probabilities above 0 and up to 1"),
    "generator.maps": (lambda v: v is None or min(v) >= 1, "three sizes of 1 or more"),
    "generator.kernel": (lambda v: v >= 1, "1 or more"),
    "generator.stride": (lambda v: v >= 1, "1 or more"),
    "discriminator.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
    "discriminator.pieces": (lambda v: v >= 1, "1 or more"),
    "discriminator.keep": (lambda v: len(v) > 0 and all(0 < p <= 1 for p in v), "probabilities above 0 and up to 1"),
    "discriminator.init_range": (lambda v: v > 0, "a number above 0"),
    "discriminator.convolutions.channels": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.pieces": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.kernel": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.padding": (lambda v: v >= 0, "0 or more"),
    "discriminator.convolutions.pool": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.pool_stride": (lambda v: v >= 1, "1 or more"),
    "train.steps": (lambda v: v >= 1, "1 or more"),
    "train.batch_size": (lambda v: v >= 1, "1 or more"),
    "train.k": (lambda v: v >= 1, "1 or more"),
    "train.generator_steps": (lambda v: v >= 1, "1 or more"),
    "train.rest_above": (lambda v: -1 < v <= 1, "a number above -1 and up to 1"),
    "train.minimax_weight": (lambda v: v >= 0, "0 or more"),
    "train.non_saturating_weight": (lambda v: v >= 0, "0 or more"),
    "train.reconstruction_weight": (lambda v: v >= 0, "0 or more"),
    "train.learning_rate": (lambda v: v > 0, "a number above 0"),
    "train.discriminator_learning_rate": (lambda v: v is None or v > 0, "a number above 0"),
    "train.decay_per_update": (lambda v: v >= 1, "1 or more (1 is no decay)"),
    "train.minimum_learning_rate": (lambda v: v > 0, "a number above 0"),
    "train.momentum": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "train.final_momentum": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "train.momentum_epochs": (lambda v: v >= 1, "1 or more"),
    "train.adam_betas": (lambda v: all(0 <= b < 1 for b in v), "two numbers from 0 up to, not including, 1"),
    "generator.max_column_norm": (lambda v: v is None or v > 0, "a number above 0"),
    "discriminator.max_column_norm": (lambda v: v is None or v > 0, "a number above 0"),
    "train.average_decay": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "train.log_every": (lambda v: v >= 1, "1 or more"),
    "train.sample_every": (lambda v: v >= 1, "1 or more"),
    "train.checkpoint_every": (lambda v: v >= 1, "1 or more"),
    "train.keep_every": (lambda v: v >= 0, "0 or more"),
    "train.validate_every": (lambda v: v >= 0, "0 or more"),
    **{
        f"{rival}.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units")
        for rival in ("rbm", "cae", "gsn", "vae")
    },
    "rbm.layer_steps": (lambda v: v >= 1, "1 or more"),
    "rbm.gibbs_steps": (lambda v: v >= 1, "1 or more"),
    "rbm.weight_decay": (lambda v: v >= 0, "0 or more"),
    "cae.layer_steps": (lambda v: v >= 1, "1 or more"),
    "cae.contraction": (lambda v: v >= 0, "0 or more"),
    "cae.sampling_noise": (lambda v: v >= 0, "0 or more"),
    "gsn.walkback": (lambda v: v >= 1, "1 or more"),
    "gsn.corruption": (lambda v: 0 <= v <= 1, "0 to 1"),
    "gsn.hidden_noise": (lambda v: v >= 0, "0 or more"),
    "vae.latent": (lambda v: v >= 1, "1 or more"),
    "semi.labels": (lambda v: v is None or v >= 1, "1 or more, or None for all"),
    "semi.classes": (lambda v: v >= 2, "2 or more"),
    "semi.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
    "semi.generator_hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
    "semi.input_noise": (lambda v: v >= 0, "0 or more"),
    "semi.hidden_noise": (lambda v: v >= 0, "0 or more"),
    "semi.unlabelled_weight": (lambda v: v >= 0, "0 or more"),
    "semi.adam_epsilon": (lambda v: v > 0, "a number above 0"),
    "semi.average_decay": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "chain.chains": (lambda v: v >= 1, "1 or more"),
    "chain.burn_in": (lambda v: 0 <= v <= 10**6, "0 to 1000000"),
    "chain.thinning": (lambda v: 1 <= v <= 10**6, "1 to 1000000"),
    "condition.size": (lambda v: v is None or 1 <= v <= 100_000, "1 to 100000"),
    "condition.masks": (lambda v: len(v) > 0 and len({*v}) == len(v), "one or more names, each once"),
    "condition.rounds": (lambda v: 1 <= v <= 1000, "1 to 1000"),
    "condition.generator_units": (lambda v: len(v) in (0, 2) and min(v, default=1) >= 1, "none, or two of 1 or more"),
    "condition.discriminator_pieces": (lambda v: v >= 1, "1 or more"),
    "condition.discriminator_units": (
        lambda v: len(v) in (0, 2) and min(v, default=1) >= 1,
        "none, or two of 1 or more",
    ),
    "second_stage.after": (lambda v: v >= 1, "1 or more"),
    "second_stage.activations": (len, "one or more names"),
    "second_stage.hidden_biases": (len, "one or more numbers"),
    "second_stage.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
}


def check(config: Config) -> Config:
    """Return config unchanged; raises InputError that names the first setting out of range."""
    for name, value in flatten(config).items():
        test, allowed = _ALLOWED.get(re.sub(r"\.\d+\.", ".", name), (None, ""))
        numbers = [v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, int | float)]
        if not all(abs(v) < (1e37 if isinstance(v, float) else 2**63) for v in numbers) or (test and not test(value)):
            allowed = allowed or "numbers within 1e37, whole ones within 2^63"
            raise InputError(f"--{name} is {spell(value)}, allowed: {allowed}; set --{name}")
    _check_together(config)
    _check_rival(config)
    return config


def _check_rival(config: Config) -> None:
    """Refuse a run of two models, and a stack whose top layer gets no steps."""
    named = [name for name in ("rbm", "cae", "gsn", "vae", "semi") if getattr(config, name) is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} are both set, allowed: one model a run; leave one out")
    _check_semi(config)
    if config.rival and config.train.precision == "bf16-mixed":
        raise InputError(
            f"--train.precision is bf16-mixed, allowed for {named[0]}: 32-true, 64-true or auto; leave it out"
        )
    below = (config.layer_steps or 0) * (len(config.rival.hidden) - 1) if config.rival else 0
    if below >= config.train.steps:
        raise InputError(
            f"--train.steps is {config.train.steps} and the layers below the top take {below}, allowed: more than "
            f"that; set --steps above {below}, or --{named[0]}.layer_steps lower"
        )


def _check_semi(config: Config) -> None:
    """Refuse fewer labels than classes, and a single example as a minibatch, which has no spread to normalise."""
    semi = config.semi
    if semi is not None and semi.labels is not None and semi.labels < semi.classes:
        raise InputError(
            f"--semi.labels is {semi.labels}, allowed: one of each class at least, {semi.classes}; set --semi.labels"
        )
    if semi is not None and config.train.batch_size < 2:
        raise InputError(f"--train.batch_size is {config.train.batch_size}, allowed: 2 or more; set --train.batch_size")


def _check_compiled(config: Config) -> None:
    """Refuse to compile what another step plays, or what has no need of it."""
    train = config.train
    if train.compile == "off":
        return
    others = {
        "the model is a rival": config.rival is not None,
        "semi is set": config.semi is not None,
        "condition is set": config.condition is not None,
        "second_stage is set": config.second_stage is not None,
        "the nets have convolutions": bool(config.generator.maps or config.discriminator.convolutions),
        f"--train.mode is {train.mode}": train.mode != "released",
        f"--train.optimiser is {train.optimiser}": train.optimiser != "momentum",
        f"--train.rest_above is {train.rest_above:g}": train.rest_above < 1,
    }
    for what, is_so in others.items():
        if is_so:
            raise InputError(
                f"--train.compile is on and {what}, allowed: released mode of fully connected nets by momentum, "
                "without conditions and stages; leave --train.compile out"
            )


def _check_filling(config: Config) -> None:
    """Refuse what only completions have without masks, and a linear map above sigmoids, which end at 0 and 1."""
    condition = config.condition
    if condition is None:
        return
    if condition.kind != "masks" and (condition.centre, condition.linear, condition.rounds) != ("off", "off", 1):
        raise InputError(
            f"--condition.centre, linear or rounds is set and --condition.kind is {condition.kind}, allowed: with "
            "masks only; set --condition.kind masks, or leave them out"
        )
    if condition.linear == "on" and config.generator.output != "linear":
        raise InputError(
            f"--condition.linear is on and --generator.output is {config.generator.output}, allowed: linear; set "
            "--generator.output linear, or --condition.linear off"
        )


def _check_together(config: Config) -> None:
    """Refuse settings that are fine alone and senseless together."""
    train, noise = config.train, config.noise
    if noise.low >= noise.high:
        raise InputError(
            f"--noise.low is {noise.low}, allowed: a number below --noise.high, {noise.high}; set --noise.low"
        )
    if train.minimax_weight == train.non_saturating_weight == 0:
        raise InputError(
            "--train.minimax_weight and --train.non_saturating_weight are both 0, allowed: at least one above 0; "
            "set --train.non_saturating_weight 1"
        )
    if train.on_bad != "warn" and train.signals == "off":
        raise InputError(f"--train.on_bad is {train.on_bad}, allowed without signals: warn; set --train.signals on")
    if train.mode == "released" and train.k != 1:
        raise InputError(f"--train.k is {train.k}, allowed in released mode: 1; for k updates add --mode paper")
    if train.mode == "released" and train.generator_steps != 1:
        raise InputError(
            f"--train.generator_steps is {train.generator_steps}, allowed in released mode: 1; "
            "for more add --mode paper"
        )
    masks = config.condition is not None and config.condition.kind == "masks"
    if train.reconstruction_weight and not masks:
        raise InputError(
            f"--train.reconstruction_weight is {train.reconstruction_weight:g} and there are no masks, allowed: 0; set "
            "--condition.kind masks, or leave it out"
        )
    _check_filling(config)
    _check_compiled(config)
    if config.condition and config.second_stage:
        raise InputError(
            "condition and second_stage are both set, allowed: one of them; leave --second_stage or --condition out"
        )
    if config.condition and config.condition.discriminator_units and config.discriminator.convolutions:
        raise InputError(
            "--condition.discriminator_units is set above convolutions, allowed: none, which puts c beside their "
            "output; leave it out"
        )
    if config.generator.maps and (config.generator.max_column_norm or config.generator.output_sparse):
        raise InputError(
            "--generator.max_column_norm or --generator.output_sparse is set for a transposed convolution, allowed: "
            "with fully connected layers only; leave it out, or set --generator.maps None"
        )
    if config.generator.maps and math.prod(config.generator.maps) != config.generator.hidden[-1]:
        raise InputError(
            f"--generator.maps {spell(config.generator.maps)} holds {math.prod(config.generator.maps)} units, "
            f"allowed: as many as the last hidden layer, {config.generator.hidden[-1]}; set --generator.hidden"
        )
