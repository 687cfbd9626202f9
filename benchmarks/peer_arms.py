"""The nets of recipe `mnist`, trained by other libraries as their users would: the arms of peers.py.

Each arm is a function of MNIST's training images (n, 784) and of Turns, from which it gets the right to every step. It
trains for ever: minibatches of 100, momentum of .5, learning rates of .1 for G and .05 for D, one step of each player.
Libraries are imported by the arms that need them, so that each runs in an environment with its own.

vegans     VanillaGAN.fit: G, then D, on the same z, each by a pass back that keeps the graph. 0.4.0 asks its loader's
           iterator for .next(), which torch dropped in 1.13; the loader here has it. `secure` is off: it refuses nets
           that do not begin with a layer of torch's own.
torchgan   Trainer with its minimax losses on logits. An epoch of 0.1.0 ends in TypeError: make_grid() got an unexpected
           keyword argument 'range', as torchvision calls that value_range now; the one epoch here never ends.
jax        one compiled function moves D, then G against the moved D with fresh noise; optax.sgd; memory of the weights
           reused.
jax-fused  one compiled function with one minibatch of fakes and one dropout mask for both players, as in `released`
           mode; the compiler may merge what both losses share.
keras-torch  keras.Model with a train_step of its own and fit() on the torch backend, as Keras's guide "Customizing what
           happens in `fit()` with PyTorch" trains a GAN.

Both torch libraries import torchvision for grids of pictures. Where it was built for another torch, so that its
operators are missing, the two that its import stumbles over are declared, without a body; neither library calls them.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

BATCH, LATENT, RATES, MOMENTUM = 100, 100, {"generator": 0.1, "discriminator": 0.05}, 0.5
SIZES = {"generator": (LATENT, 1200, 1200, 784), "discriminator": (784, 240, 240, 1)}
PIECES, KEEP = 5, (0.8, 0.5, 0.5)


class Turns(Protocol):
    def start(self, parameters: dict[str, int], weights: Callable[[], list[np.ndarray]]) -> None:
        """Say that all is made: how many parameters each net has, and how to look at the weights."""

    def step(self, wait: Callable[[], object] = lambda: None) -> None:
        """Return when another step may be taken; `wait` returns when those before have been computed."""


def declare_operators() -> None:
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        boxes = "Tensor dets, Tensor scores, float iou_threshold"
        torch.library.define("torchvision::nms", f"({boxes}) -> Tensor")
        torch.library.define("torchvision::qnms", f"({boxes}) -> Tensor")


def paced_loader(images: np.ndarray, turns: Turns) -> Any:
    """A DataLoader of one endless epoch."""
    import torch
    from torch.utils.data import DataLoader

    class Batches:
        def __init__(self, new_epoch: Callable[[], Iterator[torch.Tensor]]) -> None:
            self.new_epoch, self.batches = new_epoch, new_epoch()

        def __iter__(self) -> "Batches":
            return self

        def __next__(self) -> torch.Tensor:
            turns.step()
            try:
                return next(self.batches)
            except StopIteration:
                self.batches = self.new_epoch()
                return next(self.batches)

        next = __next__

    class Loader(DataLoader):
        def __iter__(self) -> Batches:
            return Batches(super().__iter__)

    return Loader(torch.from_numpy(images), batch_size=BATCH, shuffle=True, drop_last=True)


def start_torch(turns: Turns, generator: Any, discriminator: Any) -> None:
    nets = {"generator": generator, "discriminator": discriminator}
    turns.start(
        {name: sum(weights.numel() for weights in net.parameters()) for name, net in nets.items()},
        lambda: [weights.detach().numpy().copy() for net in nets.values() for weights in net.parameters()],
    )


def vegans(images: np.ndarray, turns: Turns) -> None:
    declare_operators()
    import torch
    import tutorial_nets
    from vegans.GAN import VanillaGAN

    settings = {name: {"lr": rate, "momentum": MOMENTUM} for name, rate in RATES.items()}
    gan = VanillaGAN(
        tutorial_nets.generator(),
        tutorial_nets.discriminator(),
        x_dim=784,
        z_dim=LATENT,
        optim=torch.optim.SGD,
        optim_kwargs={"Generator": settings["generator"], "Adversary": settings["discriminator"]},
        device="cpu",
        folder=None,
        secure=False,
    )
    start_torch(turns, gan.generator, gan.adversary)
    gan.fit(paced_loader(images, turns), epochs=1, batch_size=BATCH)


def torchgan(images: np.ndarray, turns: Turns) -> None:
    declare_operators()
    import torch
    import tutorial_nets
    from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
    from torchgan.models import Discriminator, Generator
    from torchgan.trainer import Trainer

    class Images(Generator):
        def __init__(self) -> None:
            super().__init__(LATENT)
            self.net = tutorial_nets.generator()

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.net(z)

    class Logits(Discriminator):
        def __init__(self) -> None:
            super().__init__(784)
            self.net = tutorial_nets.discriminator(logit=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

    models = {
        name: {"name": net, "optimizer": {"name": torch.optim.SGD, "args": {"lr": RATES[name], "momentum": MOMENTUM}}}
        for name, net in (("generator", Images), ("discriminator", Logits))
    }
    folder = tempfile.mkdtemp()
    trainer = Trainer(
        models,
        [MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss()],
        device=torch.device("cpu"),
        epochs=1,
        checkpoints=f"{folder}/model",
        recon=folder,
    )
    start_torch(turns, trainer.generator, trainer.discriminator)
    trainer(paced_loader(images, turns))


def jax_nets() -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Weights of both nets, G(z), and D's logits of x with dropout by a key."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)

    def layer(below: int, above: int, bound: float) -> dict[str, Any]:
        return {"w": jnp.asarray(rng.uniform(-bound, bound, (below, above)), jnp.float32), "b": jnp.zeros(above)}

    pieces = (PIECES, PIECES, 1)
    sizes_g, sizes_d = SIZES["generator"], SIZES["discriminator"]
    nets = {
        "generator": [layer(below, above, 0.05) for below, above in pairwise(sizes_g)],
        "discriminator": [
            layer(below, above * count, 0.005) for (below, above), count in zip(pairwise(sizes_d), pieces, strict=True)
        ],
    }

    def generate(layers: Any, z: Any) -> Any:
        for one in layers[:-1]:
            z = jax.nn.relu(z @ one["w"] + one["b"])
        return jax.nn.sigmoid(z @ layers[-1]["w"] + layers[-1]["b"])

    def judge(layers: Any, x: Any, key: Any) -> Any:
        for number, (one, keep) in enumerate(zip(layers, KEEP, strict=True)):
            x = jnp.where(jax.random.bernoulli(jax.random.fold_in(key, number), keep, x.shape), x / keep, 0)
            x = x @ one["w"] + one["b"]
            if number < len(KEEP) - 1:
                x = x.reshape(len(x), -1, PIECES).max(2)
        return x

    return nets, generate, judge


def jax_step(fused: bool, nets: Any, generate: Any, judge: Any) -> tuple[Any, Callable[..., Any]]:
    """State of a training, and the compiled function that takes it, a minibatch and a key to the next."""
    import jax
    import optax

    optimisers = {name: optax.sgd(rate, momentum=MOMENTUM) for name, rate in RATES.items()}
    state = (nets, {name: optimisers[name].init(weights) for name, weights in nets.items()})
    bound = 3**0.5

    def loss_of_d(layers: Any, real: Any, fake: Any, key: Any) -> Any:
        mask_real, mask_fake = jax.random.split(key)
        logits_real, logits_fake = judge(layers, real, mask_real), judge(layers, fake, mask_fake)
        return jax.nn.softplus(-logits_real).mean() + jax.nn.softplus(logits_fake).mean()

    def loss_of_g(layers: Any, discriminator: Any, z: Any, key: Any) -> Any:
        return jax.nn.softplus(-judge(discriminator, generate(layers, z), key)).mean()

    def moved(name: str, gradient: Any, memory: Any, weights: Any) -> tuple[Any, Any]:
        updates, memory = optimisers[name].update(gradient, memory)
        return optax.apply_updates(weights, updates), memory

    def step(state: Any, real: Any, key: Any) -> Any:
        (nets, memories), keys = state, jax.random.split(key, 4)
        g, d = nets["generator"], nets["discriminator"]
        z_d, z_g = (jax.random.uniform(key, (BATCH, LATENT), minval=-bound, maxval=bound) for key in keys[:2])
        loss_d, gradient_d = jax.value_and_grad(loss_of_d)(d, real, generate(g, z_d), keys[2])
        new_d, memory_d = moved("discriminator", gradient_d, memories["discriminator"], d)
        against = (d, z_d, jax.random.split(keys[2])[1]) if fused else (new_d, z_g, keys[3])
        loss_g, gradient_g = jax.value_and_grad(loss_of_g)(g, *against)
        new_g, memory_g = moved("generator", gradient_g, memories["generator"], g)
        new = {"generator": new_g, "discriminator": new_d}
        return (new, {"generator": memory_g, "discriminator": memory_d}), (loss_d, loss_g)

    return state, jax.jit(step, donate_argnums=0)


def shuffled(images: np.ndarray) -> Iterator[np.ndarray]:
    """Minibatches, epoch after epoch."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            yield images[order[start : start + BATCH]]


def train_jax(fused: bool, images: np.ndarray, turns: Turns) -> None:
    import jax

    nets, generate, judge = jax_nets()
    state, step = jax_step(fused, nets, generate, judge)
    counts = {name: sum(weights.size for weights in jax.tree.leaves(net)) for name, net in nets.items()}
    turns.start(counts, lambda: [np.array(weights) for weights in jax.tree.leaves(state[0])])
    key = jax.random.key(0)
    for number, real in enumerate(shuffled(images)):
        turns.step(lambda state=state: jax.block_until_ready(state))
        state, _ = step(state, real, jax.random.fold_in(key, number))


def keras_torch(images: np.ndarray, turns: Turns) -> None:
    os.environ["KERAS_BACKEND"] = "torch"  # read when keras is imported
    from keras_arm import train

    train(images, turns)


ARMS: dict[str, Callable[[np.ndarray, Turns], None]] = {
    "vegans": vegans,
    "torchgan": torchgan,
    "jax": lambda images, turns: train_jax(False, images, turns),
    "jax-fused": lambda images, turns: train_jax(True, images, turns),
    "keras-torch": keras_torch,
}
