"""What both players are told beside z and x: c of p(x | c), or the known part of an example and its mask."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from advnets import masks, objectives
from advnets.training.game import Game
from advnets.training.processes import average

Rows = Float[Tensor, "batch numbers"]
Examples = Float[Tensor, "batch *shape"]


@dataclass(frozen=True)
class Given:
    """Beside z for G and beside x for D, a row for each example of a minibatch, and what is missing of these."""

    generator: Rows | None
    """c, or x⊙m and then m, with m = 1 where x is known."""
    discriminator: Float[Tensor, "batch told"] | None
    """c, or m + o − 1 with o = 1 where the data have a number: 1 known, 0 hidden, −1 missing."""
    observed: Examples | None = None
    """o; None where the data are whole."""
    hidden: Examples | None = None
    """o − m, for masks: what G fills in and the data tell."""

    def seen(self, x: Examples) -> Examples:
        """Return what D sees of x: 0 for what the data lack at that place, as in the example (AmbientGAN)."""
        return x if self.observed is None else x * self.observed


def of_masks(x: Examples, known: Examples, observed: Rows | None) -> Given:
    """Return what masks `known` leave of examples x, whose numbers that are not observed are 0."""
    there = None if observed is None else observed.view_as(x)
    known = known.to(x) if there is None else known.to(x) * there
    hidden = (1 - known) if there is None else there - known
    told = known if there is None else known + there - 1
    return Given(torch.cat([(x * known).flatten(1), known.flatten(1)], dim=1), told.flatten(1), there, hidden)


def given(game: Game, real: Examples, c: Rows | None) -> Given:
    """Return what is told of a minibatch with c; where the run is one of masks, these are drawn from the game's stream.

    c is then what is observed of the examples, None where they are whole.
    """
    kinds = game.conditions.masks if game.conditions else ()
    if not kinds:
        return Given(c, c)
    return of_masks(real, masks.draw(kinds, len(real), tuple(real.shape[1:]), game.random), c)


def reconstruction(game: Game, fake: Examples, real: Examples, told: Given) -> Tensor | None:
    """Return the weighted squared error of the mean completion, for which others are drawn; None without a weight."""
    weight = game.config.train.reconstruction_weight
    if not weight or told.hidden is None:
        return None
    other = game.generator.net(game.latents(len(real), told.generator), game.random)
    loss = weight * objectives.reconstruction_loss(fake, other, real, told.hidden)
    if game.fabric.world_size == 1:
        return loss
    hidden = told.hidden.sum().clamp_min(1.0)
    return loss * hidden / average(game.fabric, hidden)  # so that every hidden number of the minibatch counts alike
