"""The `keras-torch` arm of peer_arms.py; a module of its own, for Keras's classes are made where it is imported."""

from typing import Any

import keras
import numpy as np
import torch
from keras import layers
from peer_arms import BATCH, KEEP, LATENT, MOMENTUM, PIECES, RATES, SIZES, Turns

BOUND = 3**0.5


class LargestPiece(layers.Layer):
    def call(self, x: Any) -> Any:
        return keras.ops.max(keras.ops.reshape(x, (-1, x.shape[-1] // PIECES, PIECES)), axis=2)


def generator() -> keras.Sequential:
    below, *hidden, above = SIZES["generator"]
    first = keras.initializers.RandomUniform(-0.05, 0.05)
    net = [layers.Dense(units, "relu", kernel_initializer=first) for units in hidden]
    return keras.Sequential(
        [keras.Input((below,)), *net, layers.Dense(above, "sigmoid", kernel_initializer=first)], name="generator"
    )


def discriminator() -> keras.Sequential:
    below, *hidden, above = SIZES["discriminator"]
    first = keras.initializers.RandomUniform(-0.005, 0.005)
    net: list[layers.Layer] = []
    for units, keep in zip(hidden, KEEP, strict=False):
        net += [layers.Dropout(1 - keep), layers.Dense(units * PIECES, kernel_initializer=first), LargestPiece()]
    net += [layers.Dropout(1 - KEEP[-1]), layers.Dense(above, kernel_initializer=first)]
    return keras.Sequential([keras.Input((below,)), *net], name="discriminator")


class Game(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = generator(), discriminator()
        self.seeds = keras.random.SeedGenerator(0)
        self.means = {name: keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss")}
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.means.values())

    def compile(self) -> None:
        super().compile()
        self.loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
        self.optimisers = {name: keras.optimizers.SGD(rate, momentum=MOMENTUM) for name, rate in RATES.items()}

    def fakes(self, count: int) -> torch.Tensor:
        return self.generator(keras.random.uniform((count, LATENT), -BOUND, BOUND, seed=self.seeds), training=True)

    def move(self, name: str, loss: torch.Tensor) -> None:
        weights = getattr(self, name).trainable_weights
        loss.backward()
        gradients = [one.value.grad for one in weights]
        with torch.no_grad():
            self.optimisers[name].apply(gradients, weights)

    def train_step(self, real: torch.Tensor) -> dict[str, Any]:
        count = real.shape[0]
        both = torch.cat([real, self.fakes(count).detach()])
        labels = torch.cat([torch.ones(count, 1), torch.zeros(count, 1)])
        self.zero_grad()
        d_loss = 2 * self.loss_of(labels, self.discriminator(both, training=True))  # a mean over real and fake
        self.move("discriminator", d_loss)
        self.zero_grad()
        g_loss = self.loss_of(torch.ones(count, 1), self.discriminator(self.fakes(count), training=True))
        self.move("generator", g_loss)
        self.means["d_loss"].update_state(d_loss.detach())
        self.means["g_loss"].update_state(g_loss.detach())
        return {name: mean.result() for name, mean in self.means.items()}


def train(images: np.ndarray, turns: Turns) -> None:
    class Paced(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            turns.step()

    game = Game()
    game.compile()
    counts = {name: getattr(game, name).count_params() for name in RATES}
    turns.start(counts, lambda: [np.array(weights) for name in RATES for weights in getattr(game, name).get_weights()])
    whole = images[: len(images) - len(images) % BATCH]
    game.fit(whole, batch_size=BATCH, epochs=10**6, verbose=0, callbacks=[Paced()])
