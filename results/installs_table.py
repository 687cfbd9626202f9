"""The table of docs/install.md that benchmarks/installs.py measures; tables.py fills it in."""

from collections.abc import Iterator
from typing import Any

SHOWN = ("torch", "numpy", "scikit-learn", "scipy", "tyro", "lightning-fabric")


def installs(found: dict[str, Any]) -> Iterator[list[str]]:
    yield ["CPython", "from", "dependencies", *SHOWN, "trains, samples, scores", "extras"]
    for row in found["rows"]:
        versions = [row.get("versions", {}).get(name, "") for name in SHOWN]
        failed = {name: one["outcome"] for name, one in row.get("extras", {}).items() if one["outcome"] != "works"}
        works = [f"`{name}`" for name in row.get("extras", {}) if name not in failed]
        extras = "; ".join([", ".join(works) + " work" if works else "", *(f"{n}: {why}" for n, why in failed.items())])
        outcome = "yes" if row["outcome"] == "works" else row["outcome"]
        yield [row["python"], row["from"], row["dependencies"], *versions, outcome, extras]
