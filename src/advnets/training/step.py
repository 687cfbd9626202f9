"""One step of the game, in the two forms in which the paper's experiments exist."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets import objectives
from advnets.training.batches import Batches
from advnets.training.game import Game
from advnets.training.given import given, reconstruction
from advnets.training.processes import average

Logits = Float[Tensor, " batch"]
SMALLEST_SEED = 1e-20  # far under the rounding of any gradient it is added to, and its inverse is finite


def paper_step(game: Game, batches: Batches) -> None:
    """Algorithm 1: k ascents of D on V, each on fresh noise, then one descent of G on fresh noise.

    More descents of G (`generator_steps`) are no part of it: they let G run ahead of D, the Helvetica scenario. Nor is
    a D that stops before its k-th ascent, because it tells the minibatches apart well enough (`rest_above`).
    """
    train, generator, discriminator = game.config.train, game.generator, game.discriminator
    for update in range(train.k):
        number = game.stage_step * train.k + update
        real = batches[number]
        told = given(game, real, batches.condition(number))
        with game.fabric.autocast():
            with torch.no_grad():
                fake = told.seen(generator.net(game.latents(len(real), told.generator), game.random))
            both = judge(discriminator.play, torch.cat([real, fake]), game, told.discriminator)
            real_logits, fake_logits = both.split(len(real))
            loss = objectives.discriminator_loss(real_logits, fake_logits).mean()
        if _rests(game, both):
            break
        loss.backward()
        game.update(discriminator, batches.per_epoch, again=update > 0)
    discriminator.net.requires_grad_(False)
    for update in range(train.generator_steps):
        with game.fabric.autocast():
            fake = generator.play(game.latents(len(real), told.generator), game.random)
            logits = judge(discriminator.net, told.seen(fake), game, told.discriminator)
            g_loss = objectives.generator_loss(logits, train.minimax_weight, train.non_saturating_weight).mean()
            missed = reconstruction(game, fake, real, told)
        (g_loss if missed is None else g_loss + missed).backward()
        game.update(generator, batches.per_epoch, again=update > 0)
    discriminator.net.requires_grad_(True)
    measure(game, real_logits.detach(), fake_logits.detach(), loss.detach(), g_loss.detach())


def released_step(game: Game, batches: Batches) -> None:
    """Both players move at once, on the same fakes and the same dropout masks, by one pass through D.

    The logit l of a fake enters both losses, so the gradient of G's loss by the fake image is that of D's loss
    times (∂L_G/∂l) / (∂L_D/∂l), for the non-saturating loss (σ(l) − 1) / (σ(l)/2): one number per sample. The error
    of completions, which D has no part in, adds its own gradient.
    """
    real = batches[game.stage_step]
    told = given(game, real, batches.condition(game.stage_step))
    with game.fabric.autocast():
        fake = game.generator.play(game.latents(len(real), told.generator), game.random)
        seen = told.seen(fake)
        image = seen.detach().requires_grad_()
        both = torch.cat([real, image])
        logits = judge(game.discriminator.play, both, game, told.discriminator, fixed=len(real))
        missed = reconstruction(game, fake, real, told)
    d_loss, d_seed, g_loss, g_seed = _seeds(game, logits.detach())
    d_seed[len(real) :].clamp_min_(SMALLEST_SEED / len(real))
    logits.backward(d_seed.to(logits.dtype))
    ratio = (g_seed / d_seed)[len(real) :].reshape(-1, *[1] * (image.dim() - 1))
    assert image.grad is not None  # it was a leaf of the backward pass
    gradient = (image.grad * ratio).to(seen.dtype)
    torch.autograd.backward([seen] if missed is None else [seen, missed], [gradient, None][: 1 + (missed is not None)])
    logits = logits.detach()
    if _rests(game, logits):
        game.discriminator.net.zero_grad(set_to_none=True)
    else:
        game.update(game.discriminator, batches.per_epoch)
    game.update(game.generator, batches.per_epoch)
    measure(game, logits[: len(real)], logits[len(real) :], d_loss, g_loss)


def judge(
    discriminator: nn.Module,
    x: Float[Tensor, "n *shape"],
    game: Game,
    c: Float[Tensor, "batch c"] | None,
    fixed: int = 0,
) -> Float[Tensor, " n"]:
    """Return D's logits of examples, of samples, or of both; either kind has the c of the minibatch beside it.

    The first `fixed` of x, the examples, get no gradient.
    """
    beside = None if c is None else c.repeat(len(x) // len(c), 1)
    logits: Tensor = discriminator(x, game.random, beside, fixed)
    return logits


@torch.no_grad()
def _rests(game: Game, logits: Logits) -> bool:
    """Tell whether D tells data, then fakes, apart by more than it has to: mean D(x) − D(G(z)) > rest_above."""
    above = game.config.train.rest_above
    if above >= 1:
        return False
    d_real, d_fake = logits.sigmoid().chunk(2)
    return bool(average(game.fabric, d_real.mean() - d_fake.mean()) > above)


def _seeds(game: Game, logits: Logits) -> tuple[Tensor, Logits, Tensor, Logits]:
    """Both players' mean losses and their gradients by the logits of data, then fakes."""
    train, half = game.config.train, len(logits) // 2
    logits = logits.to(game.dtype).requires_grad_()
    real_logits, fake_logits = logits.split(half)
    d_loss = objectives.released_discriminator_loss(real_logits, fake_logits).mean()
    g_loss = objectives.generator_loss(fake_logits, train.minimax_weight, train.non_saturating_weight).mean()
    (d_seed,) = torch.autograd.grad(d_loss, logits)
    (g_seed,) = torch.autograd.grad(g_loss, logits)
    return d_loss.detach(), d_seed, g_loss.detach(), g_seed


@torch.no_grad()
def measure(game: Game, real_logits: Logits, fake_logits: Logits, d_loss: Tensor, g_loss: Tensor) -> None:
    """Add this step's V, losses, D(x) and D(G(z)) to the sums for the log; what is not finite stays in them."""
    value = objectives.value(real_logits, fake_logits).mean()
    d_real, d_fake = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()
    game.sums += torch.stack([value, d_loss, g_loss, d_real, d_fake]).to(game.sums.dtype)
    game.summed += 1
