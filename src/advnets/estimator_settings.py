"""From the parameters of AdversarialNets to a configuration."""

import dataclasses
import json
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from advnets import recipes
from advnets.config import ConditionConfig, Config, belongs, check, flatten, from_json, to_json
from advnets.errors import InputError

NAME = "(array)"  # of the data in config.json: neither a path nor a data set, so that no others are read by mistake
_DECIDED = {"recipe", "seed", "train.steps", "train.device", "data.name", "data.size", "data.colour", "data.fold"}
_DECIDED |= {"semi.labels", "semi.classes"}


def settled(
    recipe: str, settings: Mapping[str, Any] | None, decided: Mapping[str, Any], sized: Config | None = None
) -> Config:
    """Put settings and what parameters decide on the recipe's configuration, or on the one that auto has sized.

    Sizes that a recipe has from its own data are left to X and y. Raises InputError for what is not allowed.
    """
    games = [name for name, one in recipes.RECIPES.items() if one.config.rival is None]
    if recipe not in ("auto", *games):
        raise InputError(f"recipe is {recipe!r}, allowed: auto, {', '.join(games)}; name one")
    if not isinstance(settings, Mapping | None):
        example = '{"train.learning_rate": 0.05}'
        raise InputError(f"settings is {settings!r}, allowed: None or a mapping; write settings={example}")
    base = sized or (Config("auto") if recipe == "auto" else recipes.get(recipe))
    given = dict(settings or {})
    if base.is_game and base.condition is None and any(str(name).startswith("condition.") for name in given):
        base = dataclasses.replace(base, condition=ConditionConfig())
    known = {name for name in flatten(base) if belongs(base, name)} - _DECIDED
    if unknown := [name for name in given if name not in known]:
        allowed = "what advnets train --dry-run lists for the recipe, but for what parameters, X or y decide"
        raise InputError(f"settings name {unknown[0]!r}, allowed: {allowed}; rename it or leave it out")
    open_ = {"condition.size": None} if base.condition else {"semi.labels": None} if base.semi else {}
    config = override(base, {**open_, **given, **decided})
    if config.condition and config.condition.kind == "masks":
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, missing="hide"))
    return config


def override(config: Config, settings: Mapping[str, Any]) -> Config:
    """Put settings by dotted name on a configuration; raises InputError for values that are not allowed."""
    content = to_json(config)
    for name, value in settings.items():
        *path, last = name.split(".")
        part = content
        for step in path:
            part = part[int(step)] if step.isdigit() else part[step]
        part[last] = plain(value)
    return check(from_json(Config, content))


def plain(value: Any) -> Any:
    """Turn numpy's numbers and arrays, tuples and the like into what JSON has."""
    return json.loads(json.dumps(value, default=lambda item: item.tolist() if hasattr(item, "tolist") else str(item)))


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return a whole number itself, or draw one as scikit-learn does."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def whole(count: object, name: str) -> int:
    """Return a number of samples; raises InputError unless it is whole and 1 or more."""
    if not isinstance(count, Integral) or count < 1:
        raise InputError(f"{name} is {count!r}, allowed: a whole number, 1 or more; set {name}")
    return int(count)
