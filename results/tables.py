"""Write the tables of README.md and docs/ from the files beside this one.

    python results/tables.py [--check]

A table stands between <!-- table NAME --> and <!-- end -->; nothing in between is typed by hand.
"""

import functools
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import installs_table
import speed_tables

from advnets.reproduce import rivals as rival_rows
from advnets.reproduce import section7 as extensions
from advnets.reproduce import table1 as adversarial
from advnets.reproduce import table2 as families
from advnets.reproduce.section7 import efficiency as coordination

ROOT = Path(__file__).parents[1]
QUALITIES = ("precision", "recall", "density", "coverage")
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
    found = read("helvetica.json")
    columns = [*found["runs"], found["real"]]
    yield ["", *(f"{one['generator_steps']} of G for each of D" for one in found["runs"]), found["real"]["caption"]]
    for name, words in names.items():
        yield [words, *(f"{one[name]:.2f}" for one in columns)]
    for name, words in (("d_real", "D(x), last 100 steps"), ("d_fake", "D(G(z)), last 100 steps")):
        yield [words, *(f"{one[name]:.2f}" for one in found["runs"]), ""]


def inference() -> Iterator[list[str]]:
    head = ["generator", "E predicts", "weight of real examples", "G(E(x)): squared error", "E(G(z)): squared error"]
    yield [*head, "correlation", "1-NN by codes", "updates, seconds"]
    for run in read("inference.json")["runs"]:
        name = f"`{run['recipe']}`"
        for one in run["encoders"]:
            what, errors = one["target"], (one["reconstruction_mse"], one["latent_mse"], one["correlation"])
            what, weight = ("z, trained with G", "") if what == "pair" else (what, f"{one['reconstruction']:g}")
            numbers = [f"{errors[0]:.4f}", f"{errors[1]:.3f}", f"{errors[2]:.3f}", f"{100 * one['accuracy']:.2f} %"]
            yield [name, what, weight, *numbers, f"{one['steps']:,}, {one['seconds']:.0f}"]
        beside = {"mean_image": "no net: the mean example", "nearest_sample": "no net: the nearest of 10,000 samples"}
        for key, words in beside.items():
            yield [name, words, "", f"{run['baseline_mse'][key]:.4f}", "", "", "", ""]
        yield [name, "nothing: E's first weights", "", "", "", "", f"{100 * run['untrained_accuracy']:.2f} %", ""]
        yield [name, "no net: raw pixels", "", "", "", "", f"{100 * run['raw_accuracy']:.2f} %", ""]
    published = {"BiGAN": "97.39", "latent regressor": "97.44", "autoencoder": "97.58"}
    for words, share in published.items():
        yield [f"MNIST, Donahue et al. 2017: {words}", "", "", "", "", "", f"{share} %", ""]


def section7(budget: str) -> Iterator[list[str]]:
    yield from ([*row] for row in extensions.claims(read(f"section7-{budget}.json")))


def efficiency(budget: str) -> Iterator[list[str]]:
    yield from ([*row] for row in coordination.table(read(f"section7-{budget}.json")["efficiency"]))


def theory() -> Iterator[list[str]]:
    yield ["tag", "claim", "computed", "residual"]
    for one in read("theory.json")["claims"]:
        claim, computed = (one[name].replace("|", "\\|") for name in ("claim", "computed"))
        yield [one["tag"], claim, computed, f"{one['residual']:.0e}"]


def table1() -> Iterator[list[str]]:
    yield from map(list, adversarial.table(read("table1.json")))


def rivals() -> Iterator[list[str]]:
    found = read("rivals.json")
    yield from map(list, rival_rows.table(found["rivals"], found["references"]))


def table2() -> Iterator[list[str]]:
    yield from map(list, families.table(read("table2.json")["columns"]))


def nats() -> Iterator[list[str]]:
    columns = read("table1.json")["columns"]
    yield ["MNIST, nats, the paper's grid of bandwidths", "seeds", "raw weights", "averaged weights"]
    yield ["the paper", "", "225 ± 2", ""]
    names = {"mnist": "the released settings", "mnist-best": "the same nets, larger steps"}
    for recipe, words in names.items():
        epochs = columns[recipe]["steps"] // columns[recipe]["steps_per_epoch"]
        rows = {row["weights"]: row for row in columns[recipe]["rows"] if row["grid"] == "legacy"}
        cells = (spread(rows[weights]) for weights in ("raw", "average"))
        yield [f"`{recipe}`: {words}, {epochs} epochs", str(rows["raw"]["n"]), *cells]
    images = columns["mnist"]["references"]["training_images"]["legacy"]["nats"]
    yield ["training images in the place of samples", "", f"{images:.1f}", ""]


def epochs() -> Iterator[list[str]]:
    yield ["epochs", "weights", "seeds", "test, fine grid", "test, legacy grid"]
    for one in read("table1.json")["columns"]["mnist"]["epochs"]:
        yield [str(one["epoch"]), one["weights"], str(one["n"]), spread(one["fine"]), spread(one.get("legacy"))]


def laws() -> Iterator[list[str]]:
    column = read("table1.json")["columns"]["mnist"]
    yield [
        "weights",
        "grid",
        "law",
        "fitted to",
        "rms residual, nats",
        f"{adversarial.PAPER['mnist'][0]:.0f} nats after",
    ]
    for weights, grids in column["laws"].items():
        for grid, found in grids.items():
            for name, law in found.items():
                formula = (
                    f"{law['a']:.0f} + {law['b']:.1f}·log(epochs)".replace("-", "−")
                    if name == "logarithm"
                    else f"{law['limit']:.0f} − {law['c']:.0f}·epochs^−{law['p']:.2f}"
                )
                reached = f"about {_rounded(law['epochs_to_goal'])} epochs" if law["epochs_to_goal"] else "never"
                fitted = "{} to {} epochs".format(*law["fitted"])
                yield [weights, grid, formula, fitted, f"{law['residual']:.1f}", reached]


def _rounded(number: float) -> str:
    """Two digits: a fit of three numbers to seven points is worth no more."""
    return f"{float(f'{number:.2g}'):,.0f}"


def best() -> Iterator[list[str]]:
    yield ["seed", "steps", "test, fine grid", "test, legacy grid", "225 on validation, legacy grid, after"]
    for one in read("table1.json")["columns"]["mnist-best"]["seeds"]:
        chosen, reached = one["chosen"]["average"], one["to_goal"]["average"]
        grids = (f"{chosen[grid]['nats']:.1f} ± {chosen[grid]['standard_error']:.1f}" for grid in ("fine", "legacy"))
        after = f"{reached['step']:,} steps" if reached else "never"
        yield [str(one["seed"]), f"{chosen['step']:,}", *grids, after]


def quality() -> Iterator[list[str]]:
    found = read("quality.json")
    yield ["10,000 samples of", "weights", "nats, fine grid", "Fréchet distance", *QUALITIES]
    for one in [*found["rows"], {**found["real"], "recipe": "training images", "weights": ""}]:
        name = f"`{one['recipe']}`, seed {one['seed']}, step {one['step']:,}" if "step" in one else one["recipe"]
        shares = (f"{one[measure]:.2f}" for measure in QUALITIES)
        yield [name, one["weights"], f"{one['nats']:.1f}", f"{one['fid']:.1f}", *shares]


def doctor() -> Iterator[list[str]]:
    runs = read("doctor.json")
    yield ["run", "seeds under 30", "30 to 44", "held out", "verdicts there"]
    cases = sorted({one["case"] for one in runs} - {"good"})
    rows = {f"`{name}`": [one for one in runs if (one["kind"], one["case"]) == ("broken", name)] for name in cases}
    kinds = {
        "**all broken runs**": "broken",
        "**good runs without a false alarm**": "good",
        "meant to be good, ended badly": "spoilt",
        "meant to be broken, ended well": "escaped",
    }
    rows |= {words: [one for one in runs if one["kind"] == kind] for words, kind in kinds.items()}
    for words, those in rows.items():
        parts = [[one for one in those if one["seed"] in seeds] for seeds in _SEEDS]
        said = Counter(one["verdict"] for one in parts[-1]).most_common()
        rights = [f"**{_right(part)}**" if "**" in words else _right(part) for part in parts]
        yield [words, *rights, ", ".join(f"{verdict} {count}" for verdict, count in said)]


_SEEDS = (range(30), range(30, 50), range(50, 100))
"""Of the doctor's library: the first two groups were seen when its rules were made, the last was not."""


def _right(runs: list[dict[str, Any]]) -> str:
    return f"{sum(one['right'] for one in runs)} of {len(runs)}" if runs else ""


def spread(one: dict[str, Any] | None) -> str:
    """Mean ± deviation over seeds, or the error over test images of a single one."""
    if one is None:
        return "not measured"
    several = one["deviation"] is not None
    return f"{one['nats']:.1f} " + (f"± {one['deviation']:.1f}" if several else f"(error {one['standard_error']:.1f})")


def fuzz() -> Iterator[list[str]]:
    head = ["target", "seconds", "executions", "coverage", "features", "seeds accepted"]
    yield [*head, "crashes", "inputs kept", "crashes kept from before"]
    for name, one in read("fuzz.json")["targets"].items():
        numbers = [f"{one[key]:,}" for key in ("seconds", "executions", "coverage", "features")]
        kept = (str(one[key]) for key in ("crashes", "kept", "crashes_kept"))
        yield [f"`{name}`", *numbers, f"{one['seeds_accepted']} of {one['seeds']}", *kept]


def completion() -> Iterator[list[str]]:
    head = ["", "hidden", "filled by", "PSNR, one", "PSNR, mean of them", "class kept", "sd of a hidden pixel"]
    yield head
    for recipe, runs in read("completion.json")["images"].items():
        seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
        for mask, fills in runs[0]["masks"].items():
            for fill in fills:
                rows = [run["masks"][mask][fill] for run in runs]
                several = rows if fill.startswith("advnets") else rows[:1]  # the others have no seed
                digits = {"psnr": 1, "psnr_mean": 1, "agreement": 3, "diversity": 3}
                numbers = [mean_and_sd([row[name] for row in several], places) for name, places in digits.items()]
                if rows[0]["each"] == 1:
                    numbers[-1] = ""
                what = mask.replace("random:", "share ")
                yield [f"`{recipe}`, {runs[0]['steps']:,} steps{seeds}", what, fill, *numbers]


def mean_and_sd(values: list[float], places: int) -> str:
    """Write the mean, and behind ± the standard deviation where there are several."""
    sd = f" ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{places}f}{sd}"


def completion_tables() -> Iterator[list[str]]:
    found = read("completion.json")["tables"]
    yield [
        "root mean square error",
        *(f"{name}, {one[0]['rows']} × {one[0]['columns']}" for name, one in found.items()),
    ]
    for fill in next(iter(found.values()))[0]["rmse"]:
        cells = ["/".join(f"{seed['rmse'][fill]:.2f}" for seed in one) for one in found.values()]
        yield [fill, *cells]


def semi() -> Iterator[list[str]]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from semi_supervised import table

    yield from table(read("semi-supervised.json")["rows"])


def growth() -> Iterator[list[str]]:
    found, names = read("growth.json"), {"batch": "minibatch", "width": "width"}
    yield ["y against", "a", "b", "p", "smallest, largest"]
    for axis, words in names.items():
        for what, unit in (("milliseconds", "ms"), ("mib", "MiB")):
            a, b, p = found["laws"][axis][what]
            ends = [f"{found[axis][end][what]:,.0f} {unit} at {found[axis][end]['size']:g}" for end in (0, -1)]
            yield [f"{unit} against {words}", f"{a:.1f}", f"{b:.3g}", f"**{p:.2f}**", ", ".join(ends)]


def streaming() -> Iterator[list[str]]:
    found = read("streaming.json")
    yield ["", "ms a step, each round", "largest resident size", "limit, with pages of files"]
    for arm, words in (("packed", f"{found['bytes'] / 1e9:.0f} GB, packed"), ("memory", "MNIST, in memory")):
        each = ", ".join(f"{one['milliseconds']:.1f}" for one in found[arm])
        limit = f"{found[arm][0]['limit_mib']:,} MiB" if "limit_mib" in found[arm][0] else ""
        yield [words, each, f"{max(one['resident_mib'] for one in found[arm]):,} MiB", limit]


SPEED = ("peers", "recipes", "start", "evaluation", "processes")


def speed(name: str) -> Iterator[list[str]]:
    yield from getattr(speed_tables, name)(read("speed.json"))


def compiled() -> Iterator[list[str]]:
    yield ["recipe", "threads", "plain, ms a step", "compiled", "times plain (quartiles)", "largest resident size"]
    for name, row in read("compiled.json")["recipes"].items():
        plain, own = row["milliseconds"].values()
        middle, (low, high) = row["over_ours"].values()
        size = " and ".join(f"{one:,}" for one in row["mib"].values())
        numbers = [f"{plain:.1f}", f"{own:.1f}", f"**{middle:.2f}** ({low:.2f} to {high:.2f})"]
        yield [f"`{name}`", str(row["threads"]), *numbers, f"{size} MiB"]


def centres() -> Iterator[list[str]]:
    yield ["samples", "nats", "best σ"]
    for one in read("curve.json")["streamed"]:
        yield [f"{one['centres']:,}", f"{one['nats']:.1f} ± {one['standard_error']:.1f}", f"{one['bandwidth']:.3f}"]


def shares() -> Iterator[list[str]]:
    found = read("shares.json")["processor_seconds"]
    yield ["", "one process, s", "first of two, s", "ratio"]
    for name, alone in found["one"].items():
        own = found["two"][name]
        yield [
            f"`--centres {read('shares.json')['centres']}`" if name == "centres" else f"`{name}`",
            f"{alone:.1f}",
            f"{own:.1f}",
            f"{own / alone:.2f}",
        ]


TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    "best": best,
    "centres": centres,
    "compiled": compiled,
    "completion": completion,
    "completion-tables": completion_tables,
    "doctor": doctor,
    "efficiency": lambda: efficiency("quick"),
    "efficiency-mnist": lambda: efficiency("full"),
    "epochs": epochs,
    "figure1": figure1,
    "fuzz": fuzz,
    "growth": growth,
    "helvetica": helvetica,
    "inference": inference,
    "semi-supervised": semi,
    "installs": lambda: installs_table.installs(read("installs.json")),
    "laws": laws,
    "nats": nats,
    "quality": quality,
    "rivals": rivals,
    "section7-quick": lambda: section7("quick"),
    "section7-full": lambda: section7("full"),
    **{f"speed-{name}": functools.partial(speed, name) for name in SPEED},
    "shares": shares,
    "streaming": streaming,
    "table1": table1,
    "table2": table2,
    "theory": theory,
}


def table(name: str) -> str:
    head, *rows = TABLES[name]()
    lines = [head, ["---"] * len(head), *rows]
    under = NOTES[name]() if name in NOTES else ()
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "".join(f"\n{note}\n" for note in under)


NOTES: dict[str, Callable[[], Iterator[str]]] = {
    "table1": lambda: adversarial.notes(read("table1.json")),
    "rivals": lambda: rival_rows.notes(read("rivals.json")["references"]),
    "table2": lambda: families.notes(read("table2.json")["small_machines"]),
    "efficiency": lambda: coordination.notes(read("section7-quick.json")["efficiency"]),
    "efficiency-mnist": lambda: coordination.notes(read("section7-full.json")["efficiency"]),
}
"""What belongs under a table, a paragraph each."""


def filled(text: str) -> str:
    """Return a page with every marked table made anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", text)


def main() -> int:
    """Rewrite the pages, or with --check say which are stale."""
    stale = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        if filled(text) != text:
            stale.append(page)
            if "--check" not in sys.argv:
                page.write_text(filled(text))
    print("\n".join(f"{'stale' if '--check' in sys.argv else 'rewrote'}: {page.relative_to(ROOT)}" for page in stale))
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
