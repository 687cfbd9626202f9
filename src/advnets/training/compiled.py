"""The step of released mode for `--train.compile on`: the same game, with zeros skipped and less memory moved.

Forward and backward passes of both nets are written out (`advnets.training.explicit`), so that a weight moves within
the product that makes its gradient, and zeros (after dropout and rectifiers, in gradients) are not multiplied
(`advnets.training.kernels`, compiled from C++). Random numbers come from the game's stream in the order in which
`released_step` draws them, so both play the same game to rounding.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import Config, TrainConfig
from advnets.errors import InputError
from advnets.training import kernels
from advnets.training.batches import Batches
from advnets.training.explicit import State, Weights, backward, forward, layers_of
from advnets.training.game import Game, Player
from advnets.training.kernels import losses
from advnets.training.step import SMALLEST_SEED

Move = Callable[[Game, Batches], None]


def require_compiler(config: Config, device: torch.device, processes: int) -> None:
    """Compile what a step needs. Raise InputError where there is no compiler, or it fails; a GPU; several processes."""
    if config.train.compile == "off":
        return
    lacks = (
        f"there is no C++ compiler{kernels.where_sought()}" * (kernels.compiler() is None)
        or f"the device is {device.type}" * (device.type != "cpu")
        or f"there are {processes} processes" * (processes > 1)
    )
    if lacks:
        raise InputError(
            f"--train.compile is on and {lacks}, allowed: one process on a CPU, with g++ or clang++ on the path; leave "
            "--train.compile out"
        )
    try:
        kernels.prepare()
    except kernels.CompilerError as error:
        raise InputError(
            f"--train.compile is on and the C++ compiler fails here ({error}), allowed: a machine where it works; "
            "leave --train.compile out, or mend the compiler"
        ) from error


def compiled_step(game: Game) -> Move:
    """Return `released_step` of this game with its backward pass written out; `require_compiler` comes first."""
    train, nets = game.config.train, [game.generator.net, game.discriminator.net]
    for net in nets if game.average is None else [*nets, game.average.module]:
        _lay_out(net, train)
    generator, discriminator = (_Side(player, train) for player in (game.generator, game.discriminator))

    @torch.no_grad()
    def step(game: Game, batches: Batches) -> None:
        real, epoch = batches[game.stage_step].flatten(1), game.epoch(batches.per_epoch)
        of_g, of_d = (side.state(game.stage_step, epoch) for side in (generator, discriminator))
        fake, passed_g = forward(generator.layers, of_g.played, game.latents(len(real)), game.random)
        logits, passed_d = forward(discriminator.layers, of_d.played, torch.cat([real, fake]), game.random)
        logits = logits.squeeze(1).to(game.dtype)
        seed, ratio, measures = losses(
            logits, len(real), train.minimax_weight, train.non_saturating_weight, SMALLEST_SEED
        )
        game.moved = True
        of_fake = backward(discriminator.layers, of_d, passed_d, seed.unsqueeze(1), fixed=len(real))
        assert of_fake is not None  # some rows are not fixed
        backward(generator.layers, of_g, passed_g, of_fake * ratio.unsqueeze(1))
        for side in (generator, discriminator):
            side.moved()
        game.follow()
        game.sums += measures
        game.summed += 1

    return step


def _by_columns(weight: Float[Tensor, "above below"]) -> Float[Tensor, "above below"]:
    """Return the same numbers, column after column in memory."""
    return weight.t().contiguous().t()


def _lay_out(net: nn.Module, train: TrainConfig) -> None:
    """Put weights in memory as they are multiplied best."""
    for layer in layers_of(net):
        if layer.by_columns and train.precision != "bf16-mixed":
            weight = net.get_parameter(f"{layer.name}.weight")
            weight.data = _by_columns(weight.data)


class _Side:
    """A player with what its steps need: layers, weights, and these in bfloat16 where they are multiplied so.

    A step makes the latter of the new weights while they are at hand. They are made anew after others (a checkpoint, a
    limit of column norms) have changed the weights, which version counters tell.
    """

    def __init__(self, player: Player, train: TrainConfig) -> None:
        self.player, self.train, self.layers = player, train, layers_of(player.net)
        self.parameters = dict(player.net.named_parameters())
        self.weights: Weights = {name: one.detach() for name, one in self.parameters.items()}
        self.coarse: Weights = {}
        self.versions: list[int] = []

    def state(self, step: int, epoch: int) -> State:
        """Return what this step moves, and how far."""
        played = self.weights
        if self.train.precision == "bf16-mixed":
            if self.versions != self._versions():
                self.coarse = {name: weight.to(torch.bfloat16) for name, weight in self.weights.items()}
            played = self.coarse
        return State(self.weights, played, self._velocities(), *self.player.rates(self.train, step, epoch))

    def moved(self) -> None:
        """Take note that the weights in bfloat16 are those of now, then limit column norms."""
        self.versions = self._versions()
        self.player.limit()

    def _versions(self) -> list[int]:
        return [weight._version for weight in self.weights.values()]

    def _velocities(self) -> Weights:
        """Return the optimiser's velocities by the names of the weights; they begin at zero."""
        found = {}
        for name, weight in self.parameters.items():
            state = self.player.optimiser.state[weight]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(weight)
            elif state["momentum_buffer"].stride() != weight.stride():  # as a checkpoint has it
                state["momentum_buffer"] = _by_columns(state["momentum_buffer"])
            found[name] = state["momentum_buffer"]
        return found
