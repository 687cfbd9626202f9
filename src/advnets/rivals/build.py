"""From a configuration to the rival that it describes."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import CAEConfig, Config, GSNConfig, RBMConfig, VAEConfig
from advnets.errors import InputError
from advnets.rivals.cae import StackedCAE
from advnets.rivals.dbn import DBN
from advnets.rivals.gsn import GSN
from advnets.rivals.rival import Rival
from advnets.rivals.vae import VAE


def build_rival(config: Config, size: int, mean: Float[Tensor, "size"], random: torch.Generator) -> Rival:
    """Build a model of `size` numbers with fresh weights; `mean` is the mean training example."""
    match config.rival:
        case RBMConfig() as rbm:
            return DBN(rbm, size, mean, random, chains=config.train.batch_size)
        case CAEConfig() as cae:
            return StackedCAE(cae, size, mean, random)
        case GSNConfig() as gsn:
            return GSN(gsn, size, mean, random)
        case VAEConfig() as vae:
            return VAE(vae, size, mean, random)
        case None:
            raise ValueError("adversarial nets are no rival of themselves")


def lowest(config: Config, model: nn.Module, layers: int) -> tuple[Rival, Config]:
    """Return the model that the lowest layers of a stack are by themselves, and its configuration.

    They are as they were when they had been trained, since those above leave them alone. Raises InputError for a model
    that is no stack, or has fewer layers.
    """
    hidden = getattr(config.rbm or config.cae, "hidden", ())
    if not isinstance(model, Rival) or not 1 <= layers <= len(hidden):
        raise InputError(
            f"layers is {layers} and the model is {config.recipe}, allowed: 1 up to the layers of a stack, dbn or cae; "
            "leave it out"
        )
    lower = dataclasses.replace(
        config,
        rbm=config.rbm and dataclasses.replace(config.rbm, hidden=hidden[:layers]),
        cae=config.cae and dataclasses.replace(config.cae, hidden=hidden[:layers]),
    )
    mean = model.get_buffer("mean")
    alone, whole = build_rival(lower, len(mean), mean, torch.Generator()), model.state_dict()
    alone.load_state_dict({key: whole[key] for key in alone.state_dict()})
    return alone, lower
