"""Train over two machines of two processes each, lose one in mid-run, and go on; needs root and `ip` (iproute2).

    sudo python benchmarks/machines.py [--steps 400] [--folder DIR]

The machines are two network namespaces joined by a virtual cable. All processes of one are killed once a checkpoint is
there; then both commands are given again, and both machines score the run. Exit 1 where the end is not that of one
process that was never stopped, or the scores are not those of one process.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file
from shares import largest_difference

MACHINES = ("advnets-a", "advnets-b")
ADDRESSES = ("10.99.0.1", "10.99.0.2")
PORT = 29511
SCORES = ["--samples", "300", "--redraws", "1", "--centres", "4000"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def cable():
    """Two network namespaces with a virtual cable between them."""
    ends = ("advnets-va", "advnets-vb")
    try:
        for machine in MACHINES:
            ip("netns", "add", machine)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for machine, end, address in zip(MACHINES, ends, ADDRESSES, strict=True):
            ip("link", "set", end, "netns", machine)
            ip("-n", machine, "addr", "add", f"{address}/24", "dev", end)
            ip("-n", machine, "link", "set", end, "up")
            ip("-n", machine, "link", "set", "lo", "up")
        yield ends
    finally:
        for machine in MACHINES:
            subprocess.run(["ip", "netns", "del", machine], check=False)


def begin(number, end, words, log):
    """Give the command on one machine."""
    where = ["ip", "netns", "exec", MACHINES[number], *TORCHRUN, "--nnodes", "2", "--nproc_per_node", "2"]
    meet = ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"{ADDRESSES[0]}:{PORT}", "--rdzv_id", "advnets"]
    host = ["--rdzv_conf", f"is_host={1 - number}", "--local_addr", ADDRESSES[number]]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": end, "OMP_NUM_THREADS": "1"}
    command = [*where, *meet, *host, "-m", "advnets", *words]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def wait_for(path, seconds=300):
    limit = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > limit:
            sys.exit(f"{path} did not appear in {seconds} s")
        time.sleep(0.1)


def kill(machine):
    """Kill all processes of a machine at once."""
    pids = subprocess.run(["ip", "netns", "pids", machine], capture_output=True, text=True, check=True).stdout.split()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def last(log):
    """The line that says why the run ended."""
    return next((line for line in log.read_text().splitlines() if line.startswith("advnets: error")), "no line")


def apart(one, other, steps):
    """Largest difference of a loss and of a weight of two runs."""
    lines = [list(map(json.loads, (run / "log.jsonl").read_text().splitlines())) for run in (one, other)]
    losses = max(abs(a[key] - b[key]) for a, b in zip(*lines, strict=True) for key in ("value", "generator_loss"))
    nets = [load_file(run / "checkpoints" / f"step-{steps}" / "generator.safetensors") for run in (one, other)]
    return losses, max(float((nets[0][key] - nets[1][key]).abs().max()) for key in nets[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    words = ["train", "digits", "--steps", str(arguments.steps), "--train.precision", "64-true"]
    words += ["--train.checkpoint_every", str(arguments.steps // 8), "--train.log_every", "20", "--out"]
    together, alone = folder / "together", folder / "alone"
    folder.mkdir(parents=True, exist_ok=True)
    for run in (together, alone):
        shutil.rmtree(run, ignore_errors=True)
    with cable() as ends, (folder / "a.log").open("w") as a, (folder / "b.log").open("w") as b:

        def both():
            return [begin(number, ends[number], [*words, str(together)], log) for number, log in ((0, a), (1, b))]

        first = both()
        wait_for(together / "checkpoints" / f"step-{arguments.steps // 4}")
        kill(MACHINES[1])
        time.sleep(5)
        kill(MACHINES[0])  # its torchrun waits for the other
        for one in first:
            one.wait()
        print("machine b lost:", last(folder / "a.log"))
        status = [one.wait() for one in both()]
        score = ["evaluate", str(together), *SCORES, "--out"]
        scoring = [begin(n, ends[n], [*score, str(folder / "scored-together")], log) for n, log in ((0, a), (1, b))]
        status += [one.wait() for one in scoring]
    print("both commands again:", status, (together / "status.json").read_text().split('"state": "')[1].split('"')[0])
    subprocess.run([sys.executable, "-m", "advnets", *words, str(alone)], check=True, capture_output=True)
    losses, weights = apart(alone, together, arguments.steps)
    print(f"beside one process that was never stopped: losses differ by {losses:.1e}, weights by {weights:.1e}")
    afresh = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}  # as both machines
    command = [sys.executable, "-m", "advnets", *score, str(folder / "scored-alone")]
    subprocess.run(command, check=True, capture_output=True, env=afresh)
    files = [folder / f"scored-{name}" / "evaluation.json" for name in ("together", "alone")]
    scores = largest_difference(*(json.loads(file.read_text()) for file in files))
    print(f"scores by both machines beside those by one process: differ by {scores:.1e} of them")
    return int(any(status) or losses > 1e-5 or weights > 1e-5 or scores > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
