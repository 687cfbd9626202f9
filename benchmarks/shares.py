"""What an evaluation takes by one process and by two, measure by measure, and that the numbers are the same.

    ADVNETS_DATA=... python benchmarks/shares.py RUN [--samples 500] [--centres 20000] [--metrics fid kid] [--json FILE]

Two evaluations of a run, by one process and by two, with one thread each and a cache of its own that knows the features
and no zero; without reference rows. `processor_seconds` are those that the first process computes for: on machines that
do nothing else the time a measure takes, but for the network. They do not tell what two processes gain on the cores of
one machine, where one process with two threads is what they are up against. Exit 1 where numbers differ by more than
1e-9 of them.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from advnets.cli.measuring import sharing
from advnets.data import load
from advnets.data.places import cache
from advnets.evaluation.evaluate import Plan, evaluate
from advnets.evaluation.features import feature_net
from advnets.evaluation.likelihood import HeldOut
from advnets.evaluation.streamed import curve
from advnets.evaluation.subjects import of_run
from advnets.runs import Run

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
PLANS = {"one": 1, "two": 2}
METRICS = ("parzen", "kid", "precision_recall", "nearest_neighbour", "classes", "memorisation", "duplicates")
AGREEMENT = 1e-9


def measure(arguments):
    """Take every measure by itself, in as many processes as there are; the first prints seconds and numbers."""
    subject = of_run(Run(arguments.run))
    data = load(subject.data, offline=True)
    seconds, processor, numbers = {}, {}, {}

    def timed(name, function):
        begin, worked = time.perf_counter(), time.process_time()
        numbers[name] = function()
        seconds[name] = round(time.perf_counter() - begin, 2)
        processor[name] = round(time.process_time() - worked, 2)

    with sharing(arguments.devices) as first:
        for name in arguments.metrics:
            plan = Plan((name,), arguments.samples, redraws=1, references=())
            timed(name, lambda plan=plan, name=name: evaluate(subject, data, plan)[name])
        if arguments.centres:
            timed("centres", lambda: curve(subject, HeldOut.of(data), arguments.centres))
    if first:
        print(json.dumps({"seconds": seconds, "processor_seconds": processor, "numbers": numbers}))


def largest_difference(one, other):
    """Return the largest relative difference of numbers; infinite where anything else differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((largest_difference(one[key], other[key]) for key in one), default=0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max(map(largest_difference, one, other), default=0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) / max(abs(one), abs(other), 1e-3)
    return 0 if one == other else float("inf")


def run_plan(devices):
    with tempfile.TemporaryDirectory() as folder:
        if (cache() / "features").exists():
            shutil.copytree(cache() / "features", Path(folder, "advnets", "features"))
        done = subprocess.run(
            [sys.executable, *sys.argv, "--devices", str(devices)],
            env={**os.environ, **ONE_THREAD, "XDG_CACHE_HOME": folder},
            stdout=subprocess.PIPE,
            check=True,
        )
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--centres", type=int, default=20_000)
    parser.add_argument("--metrics", nargs="*", default=METRICS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.devices:
        measure(arguments)
        return
    feature_net(load(of_run(Run(arguments.run)).data, offline=True))  # once, for all three
    found = {name: run_plan(devices) for name, devices in PLANS.items()}
    difference = max(largest_difference(found["one"]["numbers"], one["numbers"]) for one in found.values())
    result = {
        "run": arguments.run.name,
        "samples": arguments.samples,
        "centres": arguments.centres,
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        **{key: {name: one[key] for name, one in found.items()} for key in ("processor_seconds", "seconds")},
        "largest_difference": difference,
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(difference > AGREEMENT)


if __name__ == "__main__":
    main()
