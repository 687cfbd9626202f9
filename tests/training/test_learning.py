"""That the game learns, in seconds."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

from advnets import recipes
from advnets.config import Config, DataConfig
from advnets.data import load
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.training import train
from training import games
from training.games import tiny


@pytest.mark.slow
def test_gaussian_recipe_finds_mean_and_sd(tmp_path):
    config = recipes.get("gaussian")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=1200))
    train(config, load(config.data), Run(tmp_path / "run"))
    x = load_sampler(Run(tmp_path / "run")).draw(20_000, seed=1)
    assert x.mean() == pytest.approx(3.0, rel=0.05)
    assert x.std() == pytest.approx(0.5, rel=0.05)


def spread(x):
    """Mean distance between two examples."""
    return torch.pdist(x[:300].flatten(1)).mean().item()


def independent(real):
    """Images with the right pixels, each drawn by itself."""
    columns = real.flatten(1)
    rows = torch.rand(columns.shape, generator=torch.Generator().manual_seed(0)).argsort(0)
    return columns.gather(0, rows)[:300]


@pytest.mark.slow
def test_digits_become_as_various_as_the_data_and_near_to_them(tmp_path):
    config = recipes.get("digits")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2000, average_decay=0.99))
    data = load(config.data)
    real = torch.from_numpy(data.train.x)
    train(config, data, Run(tmp_path / "run"))
    samples = torch.from_numpy(load_sampler(Run(tmp_path / "run")).draw(300))
    nearest = [torch.cdist(x.flatten(1), real.flatten(1)).amin(1).mean().item() for x in (samples, independent(real))]
    assert spread(samples) > 0.5 * spread(real)
    assert nearest[0] < 0.7 * nearest[1]


@pytest.mark.slow
def test_a_table_of_columns_is_learned_by_auto(tmp_path):
    np.save(tmp_path / "table.npy", load_breast_cancer().data)
    own = DataConfig(str(tmp_path / "table.npy"))
    data = load(own)
    config = recipes.auto(Config(data=own), data.shape, len(data.train.x), unit=False)
    train(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=1500)), data, Run(tmp_path / "run"))
    x = load_sampler(Run(tmp_path / "run"), "raw").draw(300)
    real = load_breast_cancer().data
    middle, width = real.mean(0), real.std(0)
    assert np.abs((x.mean(0) - middle) / width).mean() < 0.5
    assert spread(torch.from_numpy((x - middle) / width)) == pytest.approx(
        spread(torch.from_numpy((real - middle) / width)), rel=0.35
    )


def test_golden_curve_of_a_tiny_recipe(tmp_path):
    """Twenty steps; a refactor may not move them."""
    run = Run(tmp_path / "run")
    train(tiny(steps=20, log_every=5, learning_rate=0.5), games.data(), run)
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    golden = {
        "value": [-1.3913158, -1.3877096, -1.3870332, -1.3865403],
        "generator_loss": [0.6890773, 0.6948285, 0.6944336, 0.6895794],
        "d_real": [0.4995837, 0.4984819, 0.4990288, 0.5016965],
    }
    for name, expected in golden.items():
        assert [line[name] for line in lines] == pytest.approx(expected, rel=1e-5), name
