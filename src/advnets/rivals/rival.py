"""What the training loop and the sampler ask of every rival."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Rival(nn.Module, ABC):
    """A model of vectors, trained in one or more greedy stages, that draws samples by a Markov chain.

    A state of the chain is one tensor whose first axis counts chains. Deterministic given `random`: nothing else is
    drawn from. A chain begins at noise, pixels that are drawn independently of each other, never at data.
    """

    stages: int = 1

    @abstractmethod
    def part(self, stage: int) -> nn.Module:
        """Return the part of the model that stage 0, 1, … trains; the parts below it stay as they are."""

    @abstractmethod
    def loss(self, x: Float[Tensor, "batch d"], stage: int, random: torch.Generator) -> Float[Tensor, ""]:
        """Return the number whose gradient trains the part of a stage, a mean over the minibatch."""

    @abstractmethod
    def start(self, chains: int, random: torch.Generator) -> Float[Tensor, "chains *state"]:
        """Draw first states of chains, from noise."""

    @abstractmethod
    def move(self, state: Float[Tensor, "chains *state"], random: torch.Generator) -> Float[Tensor, "chains *state"]:
        """Make one step of every chain."""

    @abstractmethod
    def means(self, state: Float[Tensor, "chains *state"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Return the mean of x given the states."""

    @abstractmethod
    def pixels(self, state: Float[Tensor, "chains *state"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Draw x given the states."""
