"""The tables of docs/speed.md that benchmarks/table.py measures; tables.py fills them in."""

from collections.abc import Iterator
from typing import Any

ARMS = {
    "ours": "advnets, `mnist`",
    "ours-compiled": "the same with `--train.compile on`",
    "ours-bf16": "the same with `--precision bf16-mixed`",
    "ours-bf16-compiled": "the same with both",
    "products": "the bare matrix products of a step",
    "products-bf16": "the same in bfloat16",
    "tutorial": "a tutorial's loop, PyTorch",
    "vegans": "vegans, `VanillaGAN.fit`",
    "torchgan": "torchgan, `Trainer`",
    "keras-torch": "Keras on torch, `fit` with a `train_step`",
    "jax": "JAX and optax, one compiled step, players in turn",
    "jax-fused": "the same, both players on the same fakes and masks",
}


def peers(found: dict[str, Any]) -> Iterator[list[str]]:
    yield ["", "ms a step", "times ours (quartiles)", "largest resident size", "versions"]
    for name, one in found["peers"]["arms"].items():
        middle, (low, high) = one["over_ours"]["median"], one["over_ours"]["quartiles"]
        ratio = "" if name == "ours" else f"**{middle:.2f}** ({low:.2f} to {high:.2f})"
        versions = ", ".join(f"{library} {version}" for library, version in one["libraries"].items())
        yield [ARMS[name], f"{one['median']:.1f}", ratio, f"{one['mib']:,} MiB", versions]
    for name, why in found["peers"]["failed"].items():
        yield [ARMS[name], f"does not run: {why}", "", "", ""]


def recipes(found: dict[str, Any]) -> Iterator[list[str]]:
    head = ["recipe", "parameters", "minibatch", "threads", "ms a step", "a tutorial's", "bare products"]
    yield [*head, "largest resident size"]
    by_turns = {found["peers"]["recipe"]: found["peers"]} | found["bounds"]
    for row in found["recipes"]:
        name = f"`{row['recipe']}`"
        if "failed" in row:
            yield [name, "", "", "", "its data are not here", "", "", ""]
            continue
        arms = by_turns.get(row["recipe"], {}).get("arms", {})
        beside = [f"{arms[arm]['over_ours']['median']:.2f} times" if arms else "" for arm in ("tutorial", "products")]
        time = f"{row['milliseconds']:,.1f}" if row["milliseconds"] < 100 else f"{row['milliseconds']:,.0f}"
        sizes = [f"{row[what]:,}" for what in ("parameters", "minibatch", "threads")]
        yield [name, *sizes, time, *beside, f"{row['mib']:,} MiB"]


def start(found: dict[str, Any]) -> Iterator[list[str]]:
    yield ["command", "seconds", "largest resident size"]
    for row in found["start"]:
        yield [f"`{row['command']}`", f"{row['seconds']:.2f}", f"{row['mib']:,} MiB"]


def evaluation(found: dict[str, Any]) -> Iterator[list[str]]:
    yield ["measure", "seconds", "largest resident size"]
    for row in found["evaluation"]:
        yield [f"`{row['measure']}`", f"{row['seconds']:.1f}", f"{row['mib']:,} MiB"]


def processes(found: dict[str, Any]) -> Iterator[list[str]]:
    yield ["`mnist`", "ms a step", "times one process with all threads", "largest resident size of the first"]
    whole = {row["case"]: row["milliseconds"] for row in found["processes"]}.get("1 process, all threads")
    for row in found["processes"]:
        ratio = f"{row['milliseconds'] / whole:.2f}" if whole else ""
        yield [row["case"], f"{row['milliseconds']:.1f}", ratio, f"{row['mib']:,} MiB"]
