"""The step of released mode as one compiled graph, for `--train.compile on`: the same game, less time between products.

The nets, both losses, their gradients and both updates are one graph of torch.compile. Random numbers are drawn before
it, from the game's stream and in the order in which `released_step` draws them, so both play the same game to rounding.
"""

import shutil
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vjp

from advnets import objectives
from advnets.config import Config, TrainConfig
from advnets.errors import InputError
from advnets.nets.dropout import Asked, Drawn, drawn
from advnets.training.batches import Batches
from advnets.training.game import Game, Player
from advnets.training.step import SMALLEST_SEED

Weights = dict[str, Tensor]
Rates = Sequence[Tensor]
Move = Callable[[Game, Batches], None]


def require_compiler(config: Config, device: torch.device, processes: int) -> None:
    """Raise InputError where a step is to be compiled and cannot be: no C++ compiler, a GPU, several processes."""
    if config.train.compile == "off":
        return
    lacks = (
        "there is no C++ compiler" * (not any(map(shutil.which, ("g++", "clang++", "c++"))))
        or f"the device is {device.type}" * (device.type != "cpu")
        or f"there are {processes} processes" * (processes > 1)
    )
    if lacks:
        raise InputError(
            f"--train.compile is on and {lacks}, allowed: one process on a CPU, with g++ or clang++ on the path; leave "
            "--train.compile out"
        )


def compiled_step(game: Game) -> Move:
    """Return `released_step` of this game as one graph, which the first call compiles.

    That call raises InputError where the compiler fails.
    """
    players = game.generator, game.discriminator
    weights: list[Weights] = [dict(player.net.named_parameters()) for player in players]
    shapes = _shapes(game)
    graph = torch.compile(_graph(game), fullgraph=True, dynamic=False)
    coarse = [Coarse() if game.config.train.precision == "bf16-mixed" else None for _ in players]

    def step(game: Game, batches: Batches) -> None:
        train, device = game.config.train, game.random.device
        real = batches[game.stage_step]
        latents = game.latents(len(real))
        numbers = [[drawn(shape, game.random, device) for shape in of_net] for of_net in shapes]
        epoch = game.epoch(batches.per_epoch)
        rates = [torch.tensor(p.rates(train, game.stage_step, epoch), dtype=game.dtype) for p in players]
        played = [own.of(exact) if own else exact for own, exact in zip(coarse, weights, strict=True)]
        state = [(exact, _velocities(player)) for exact, player in zip(weights, players, strict=True)]
        with torch.no_grad():
            game.sums += _told(graph, state, played, real, latents, numbers, rates)
        game.summed += 1
        for own, exact in zip(coarse, weights, strict=True):
            if own:
                own.seen(exact)
        for player in players:
            player.limit()
        game.follow()

    return step


def _told(graph: Callable[..., Tensor], *given: object) -> Tensor:
    """Call the graph; a failure of the compiler, which comes before anything has moved, becomes one line."""
    try:
        return graph(*given)
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # its import takes seconds

        if not isinstance(error, TorchDynamoException):
            raise
        raise InputError(
            f"--train.compile is on and torch.compile fails here ({type(error).__name__}), allowed: a machine where it "
            "works; leave --train.compile out, or mend the C++ compiler"
        ) from error


class Coarse:
    """The weights in bfloat16, which a step makes of the new ones while they are at hand; made anew after others did.

    Whether others (a checkpoint, a limit of column norms) changed the weights is told by their version counters.
    """

    def __init__(self) -> None:
        self.weights: Weights = {}
        self.versions: list[int] = []

    def of(self, exact: Weights) -> Weights:
        """Return those of these weights."""
        if self.versions != [weight._version for weight in exact.values()]:
            self.weights = {name: weight.detach().to(torch.bfloat16) for name, weight in exact.items()}
        return self.weights

    def seen(self, exact: Weights) -> None:
        """Take note that they belong to these weights."""
        self.versions = [weight._version for weight in exact.values()]


def _graph(game: Game) -> Callable[..., Tensor]:
    """Return the step as a function of tensors: it moves weights and velocities, and returns the MEASURES."""
    generator, discriminator, train = game.generator.net, game.discriminator.net, game.config.train
    coarse = train.precision == "bf16-mixed"

    def step(
        state: Sequence[tuple[Weights, Weights]],
        played: Sequence[Weights],
        real: Tensor,
        latents: Tensor,
        numbers: Sequence[Sequence[Tensor]],
        rates: Rates,
    ) -> Tensor:
        def play(weights: Weights) -> Tensor:
            made: Tensor = functional_call(generator, weights, (latents, Drawn(numbers[0])))
            return made

        def judge(weights: Weights, fake: Tensor) -> Tensor:
            both = torch.cat([real, fake])
            logits: Tensor = functional_call(discriminator, weights, (both, Drawn(numbers[1]), None, len(real)))
            return logits

        with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            fake, back_to_g = vjp(play, played[0])[:2]
            logits, back_to_d = vjp(judge, played[1], fake)[:2]
        d_seed, ratio, measures = _losses(logits.to(game.dtype), len(real), train)
        d_gradient, of_fake = back_to_d(d_seed.to(logits.dtype))
        scaled = of_fake * ratio.reshape(-1, *[1] * (fake.dim() - 1))
        (g_gradient,) = back_to_g(scaled.to(fake.dtype))
        for index, gradients in enumerate((g_gradient, d_gradient)):
            _move(*state[index], gradients, rates[index])
            if coarse:
                for name, weight in played[index].items():
                    weight.copy_(state[index][0][name])
        return measures

    return step


def _losses(logits: Tensor, half: int, train: TrainConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of D's loss by the logits, what turns that by a fake into G's, and the MEASURES."""

    def of_d(logits: Tensor) -> Tensor:
        return objectives.released_discriminator_loss(logits[:half], logits[half:]).mean()

    def of_g(logits: Tensor) -> Tensor:
        return objectives.generator_loss(logits[half:], train.minimax_weight, train.non_saturating_weight).mean()

    d_loss, back_d = vjp(of_d, logits)[:2]
    g_loss, back_g = vjp(of_g, logits)[:2]
    one = torch.ones_like(d_loss)
    (d_seed,), (g_seed,) = back_d(one), back_g(one)
    d_seed = torch.cat([d_seed[:half], d_seed[half:].clamp_min(SMALLEST_SEED / half)])
    real, fake = logits[:half], logits[half:]
    value = objectives.value(real, fake).mean()
    measures = torch.stack([value, d_loss, g_loss, real.sigmoid().mean(), fake.sigmoid().mean()])
    return d_seed, g_seed[half:] / d_seed[half:], measures.to(torch.float32)


def _move(weights: Weights, velocities: Weights, gradients: Weights, rates: Tensor) -> None:
    """Take torch's step of momentum, v = μv + g, p −= lr·v, with rates = (lr, μ)."""
    for name, weight in weights.items():
        velocity = velocities[name]
        velocity.copy_(velocity * rates[1] + gradients[name])
        weight.sub_(velocity * rates[0])


def _velocities(player: Player) -> Weights:
    """Return the optimiser's velocities by the names of the weights; they begin at zero."""
    found = {}
    for name, weight in player.net.named_parameters():
        state = player.optimiser.state[weight]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(weight)
        found[name] = state["momentum_buffer"]
    return found


@torch.no_grad()
def _shapes(game: Game) -> list[list[tuple[int, ...]]]:
    """Shapes of the numbers that decide on dropout in G, then in D, for one minibatch."""
    batch, asked = game.config.train.batch_size, (Asked(), Asked())
    fake = game.generator.net(torch.zeros(batch, game.config.noise.dimension, dtype=game.dtype), asked[0])
    game.discriminator.net(torch.cat([fake, fake]), asked[1])
    return [one.shapes for one in asked]
