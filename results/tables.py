"""Write the tables of docs/ from the files beside this one.

    python results/tables.py [--check]

A table stands between <!-- table NAME --> and <!-- end -->; nothing in between is typed by hand.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end -->)", re.S)


def read(name: str) -> Any:
    return json.loads((ROOT / "results" / name).read_text())


def figure1() -> Iterator[list[str]]:
    yield ["seed", "(b) \\|D − D*\\|", "(b) TV", "(c) TV", "(d) \\|D − 1/2\\|", "(d) TV", "(d) mean, sd of p_g"]
    for one in read("figure1.json")["seeds"]:
        b, c, d = (one["panels"][panel] for panel in "bcd")
        numbers = [b["d_error"], b["total_variation"], c["total_variation"], d["d_from_half"], d["total_variation"]]
        yield [str(one["seed"]), *(f"{number:.3f}" for number in numbers), f"{d['mean']:.2f}, {d['sd']:.2f}"]


def helvetica() -> Iterator[list[str]]:
    names = {
        "recall": "test images that lie among the samples",
        "coverage": "test images with a sample near",
        "distance": "mean distance of two samples, over that of two test images",
        "near": "samples nearly equal to another one",
        "fake_accuracy": "nearest neighbours of samples that are samples",
    }
    healthy, collapsed = read("helvetica.json")["runs"]
    yield ["", "1 update of G", "30 updates of G"]
    for name, words in names.items():
        yield [words, f"{healthy[name]:.2f}", f"{collapsed[name]:.2f}"]


def theory() -> Iterator[list[str]]:
    yield ["tag", "claim", "computed", "residual"]
    for one in read("theory.json")["claims"]:
        claim, computed = (one[name].replace("|", "\\|") for name in ("claim", "computed"))
        yield [one["tag"], claim, computed, f"{one['residual']:.0e}"]


def epochs() -> Iterator[list[str]]:
    yield ["epochs", "weights", "validation", "test, fine grid", "test, legacy grid"]
    for one in read("mnist-epochs.json")["rows"]:
        grids = (f"{one[grid]['nats']:.1f} ± {one[grid]['standard_error']:.1f}" for grid in ("fine", "legacy"))
        yield [str(one["epoch"]), one["weights"], f"{one['validation_nats']:.1f}", *grids]


TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    "epochs": epochs,
    "figure1": figure1,
    "helvetica": helvetica,
    "theory": theory,
}


def table(name: str) -> str:
    head, *rows = TABLES[name]()
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def filled(text: str) -> str:
    """Return a page with every marked table made anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", text)


def main() -> int:
    """Rewrite the pages, or with --check say which are stale."""
    stale = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text()
        if filled(text) != text:
            stale.append(page)
            if "--check" not in sys.argv:
                page.write_text(filled(text))
    print("\n".join(f"{'stale' if '--check' in sys.argv else 'rewrote'}: {page.relative_to(ROOT)}" for page in stale))
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
