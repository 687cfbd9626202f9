"""The ranking of evaluated runs; runs that were measured differently are not ranked."""

import math
from typing import Any

from advnets.errors import InputError
from advnets.runs import Run, read_json

_BY_CHANCE = {"seed"}  # moves a number by chance only, which the standard error covers


def rank(targets: list[Run]) -> dict[str, Any]:
    """Order runs by Parzen likelihood; raises InputError, naming the fields, where their protocols differ."""
    results = [(target, _evaluation(target)) for target in targets]
    first, protocol = results[0][0], results[0][1]["protocol"]
    for target, result in results[1:]:
        other = result["protocol"]
        names = [name for name in {**protocol, **other} if protocol.get(name) != other.get(name)]
        if different := [name for name in names if name not in _BY_CHANCE]:
            both = "; ".join(
                f"{name} is {_short(protocol.get(name))} and {_short(other.get(name))}" for name in different
            )
            raise InputError(
                f"{first.path} and {target.path} were measured differently ({both}), allowed: one protocol; evaluate "
                "them again with the same options"
            )
    rows = sorted((_row(target, result) for target, result in results), key=lambda row: -float(row["nats"]))
    best = rows[0]
    for row in rows:
        row["behind"] = best["nats"] - row["nats"]
        row["tied"] = row["behind"] <= 2 * math.hypot(best["standard_error"], row["standard_error"])
    return {"ranking": rows, "protocol": protocol}


def _evaluation(target: Run) -> dict[str, Any]:
    target.read()
    file = target.path / "evaluation.json"
    if not file.is_file():
        raise InputError(
            f"{target.path} was not evaluated yet, allowed: runs with evaluation.json; "
            f"say advnets evaluate {target.path}"
        )
    result = read_json(file)
    if not isinstance(result.get("protocol"), dict):
        raise InputError(f"{file} is damaged, allowed: what advnets evaluate wrote; evaluate the run again")
    return result


def _row(target: Run, result: dict[str, Any]) -> dict[str, Any]:
    score = result.get("parzen")
    names = ("nats", "standard_error", "bandwidth")
    if not isinstance(score, dict) or any(not isinstance(score.get(name), int | float) for name in names):
        raise InputError(
            f"{target.path} has no Parzen likelihood to rank by, allowed: runs evaluated with --metrics parzen; "
            f"say advnets evaluate {target.path}"
        )
    return {"run": str(target.path), **{name: score[name] for name in names}, "subject": result.get("subject")}


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
