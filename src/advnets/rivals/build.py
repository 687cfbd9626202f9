"""From a configuration to the rival that it describes."""

import torch
from jaxtyping import Float
from torch import Tensor

from advnets.config import CAEConfig, Config, GSNConfig, RBMConfig, VAEConfig
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
