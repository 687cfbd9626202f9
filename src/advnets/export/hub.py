"""A run's generator in the layout of the Hugging Face hub: config.json, model.safetensors, and a model card.

FOLDER/config.json             settings, shape, scaling and step, in plain JSON values
FOLDER/model.safetensors       the weights of G
FOLDER/conditions.safetensors  p(c), where the run has a condition
FOLDER/README.md               the card
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download

from advnets import conditions, disk
from advnets.config import Config, check, from_json, to_json
from advnets.data.dataset import FloatArray, Scaling
from advnets.errors import InputError
from advnets.export import card
from advnets.export.parts import data_name, load_game
from advnets.nets.build import build_generator
from advnets.nets.files import load_net, require_size, write_tensors
from advnets.nets.mlp import StackedGenerator
from advnets.parameters import parameter_counts
from advnets.runs import Run
from advnets.sampling import Sampler, Weights
from advnets.seeds import stream
from advnets.training.facts import version

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_AXES = (1, 3)  # of vectors, and of images


class PretrainedGenerator(ModelHubMixin, library_name="advnets", tags=["gan", "generative-adversarial-network"]):
    """The generator of a run, to be kept in a folder or on the hub: save_pretrained, from_pretrained, push_to_hub."""

    def __init__(self, sampler: Sampler, about: dict[str, Any]) -> None:
        self.sampler = sampler
        self.about = about
        """Data and scores, for the card."""

    @classmethod
    def of_run(cls, run: Run, weights: Weights = "auto") -> "PretrainedGenerator":
        """Take the generator of a run; raises InputError for a rival, which samples by a chain."""
        return cls(load_game(run, weights), card.about(run))

    def sample(self, count: int, seed: int = 0, of_class: str | None = None) -> FloatArray:
        """Draw what `advnets sample --n --seed` draws: images (n, c, h, w) in [0, 1], or rows in the data's units.

        `of_class` as `--class`, where the run has classes; raises InputError for another.
        """
        if of_class is None:
            return self.sampler.draw(count, seed)
        if self.sampler.conditions is None:
            raise InputError(f"of_class is {of_class} and there are no classes, allowed: None; leave it out")
        return self.sampler.draw_given(self.sampler.conditions.of_class(of_class).repeat(count, 1), seed)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Write the model card: what it is, from which data, how good by which protocol, and its limits."""
        return ModelCard(card.text(self.sampler, self.about))

    def _save_pretrained(self, save_directory: Path) -> None:
        sampler = self.sampler
        stage = 2 if isinstance(sampler.net, StackedGenerator) else 1
        settings = to_json(sampler.config)
        settings["data"]["name"] = data_name(sampler.config)
        content = {
            "advnets": version("advnets"),
            "settings": settings,
            "shape": list(sampler.shape),
            "scaling": sampler.scaling.to_json(),
            "class_names": list(sampler.conditions.names) if sampler.conditions else [],
            "step": sampler.step,
            "weights": sampler.weights,
            "stage": stage,
            "about": self.about,
        }
        with disk.whole(save_directory / WEIGHTS) as aside:
            write_tensors(sampler.net.state_dict(), aside)
        if sampler.conditions:
            with disk.whole(save_directory / conditions.FILE) as aside:
                sampler.conditions.write(aside)
        disk.replace(save_directory / CONFIG, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> "PretrainedGenerator":
        """Load a folder that save_pretrained wrote, or a repository of the hub; executes no code of it.

        Raises InputError for files that are damaged, or describe another thing than a generator of advnets.
        """
        where = Path(pretrained_model_name_or_path)

        def file(name: str) -> Path:
            if where.is_dir():
                return where / name
            return Path(
                hf_hub_download(
                    str(pretrained_model_name_or_path),
                    name,
                    revision=revision,
                    cache_dir=cache_dir,
                    token=token,
                    force_download=force_download,
                    local_files_only=local_files_only,
                )
            )

        return cls(*_read(file, str(where)))


def _read(file: Callable[[str], Path], where: str) -> tuple[Sampler, dict[str, Any]]:
    content = disk.read_json(file(CONFIG))
    config, shape, scaling = _described(content, where)
    step, weights, about = (content.get(name) for name in ("step", "weights", "about"))
    if type(step) is not int or type(weights) is not str or not isinstance(about, dict):
        raise _damaged(where)
    stage = 2 if content.get("stage") == 2 and config.second_stage else 1
    given = None
    if config.condition:
        given = conditions.of_file(file(conditions.FILE), config.condition, conditions.names(content))
    require_size(file(WEIGHTS), parameter_counts(config, shape, stage=stage)["generator"])
    net = build_generator(config, shape, torch.zeros(shape), stream(0, "weights"), stage=stage)
    load_net(net, file(WEIGHTS))
    return Sampler(config, net.eval(), scaling, step, weights, shape, given), about


def _described(content: dict[str, Any], where: str) -> tuple[Config, tuple[int, ...], Scaling]:
    """Read settings, shape and scaling of a file from outside; raises InputError for what describes no generator."""
    shape = content.get("shape")
    numbers = isinstance(shape, list) and all(type(size) is int and 0 < size < 2**20 for size in shape)
    if not numbers or len(shape or ()) not in _AXES or math.prod(shape or ()) > 2**28:
        raise _damaged(where)
    config: Config = check(from_json(Config, content.get("settings"), f"{where}: settings"))
    if config.rival or config.semi:
        raise _damaged(where)
    found = tuple(shape or ())
    return config, found, Scaling.from_json(content.get("scaling"), found)


def _damaged(where: str) -> InputError:
    return InputError(
        f"{where} does not describe a generator of advnets, allowed: what save_pretrained or advnets export wrote; "
        "fetch it again"
    )
