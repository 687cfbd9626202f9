"""`advnets train` and `advnets evaluate` with `--devices N`, and under torchrun."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from advnets.cli.measuring import sharing
from advnets.config import DataConfig
from advnets.data import load
from advnets.errors import InputError
from advnets.evaluation import shares
from advnets.evaluation.features import feature_net
from advnets.runs import Run
from advnets.training import processes
from processes import command, torchrun

from .conftest import SMALL, Command

_SECONDS = 60


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("digits --devices 0", "--devices is 0 and --nodes 1, allowed: 1 or more; leave them out"),
        ("digits --devices 3", "batch_size is 100, allowed with 3 processes: a multiple of 3; set --train.batch_size"),
        ("digits --nodes 2", "--nodes is 2 and MASTER_ADDR, MASTER_PORT, NODE_RANK are not set, allowed: address and"),
        (
            "dbn --data digits --devices 2 --rbm.layer_steps 2",
            "dbn is trained by one process, allowed: games; leave --devices",
        ),
        ("digits-semi-supervised --devices 2", "digits-semi-supervised is trained by one process, allowed: games"),
        ("digits --strategy fsdp", "strategy"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_in_a_line(advnets: Command, line: str, said: str) -> None:
    done = advnets(f"train {line} --steps 5")
    assert done.status == 2 and done.err.count("\n") == 1 and said in done.err
    assert not Path("runs").exists()


def test_torchrun_goes_on_with_the_run_in_out(advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    done = advnets("train digits --steps 24 --out run")
    assert done.status == 0 and "going on with run at step 20" in done.err
    assert Run(trained).checkpoint_steps()[-1] == 24
    refused = advnets("train digits --steps 24")
    assert refused.status == 2 and "torchrun may start again and --out is not given, allowed: --out DIR" in refused.err


def test_two_processes_speak_as_one(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    process = command(["train", "--steps", "20", "--devices", "2", "--json", *SMALL.split()], tmp_path, out, err)
    process.join(_SECONDS)
    assert process.exitcode == 0, err.read_text()
    assert json.loads(out.read_text())["run"] == "runs/digits-1"
    assert err.read_text().count("2 processes, each with 50 of the 100 examples of a minibatch") == 1
    assert err.read_text().count("finished at step 20") == 1
    run = Run(tmp_path / "runs" / "digits-1")
    assert run.status()["state"] == "finished" and run.read()["machine"]["processes"] == 2


@pytest.fixture
def fresh(cache: Path, tmp_path: Path) -> Path:
    """A cache that knows the features of digits, and no zero or reference row."""
    feature_net(load(DataConfig("digits")))
    shutil.copytree(cache / "advnets" / "features", tmp_path / "fresh" / "advnets" / "features")
    return tmp_path / "fresh"


def alike(one: Any, other: Any) -> None:
    """Hold that numbers of an evaluation differ by rounding, counts and words not at all."""
    match one:
        case dict():
            assert {*one} == {*other}
            for key in one:
                alike(one[key], other[key])
        case list():
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                alike(left, right)
        case float():
            assert other == pytest.approx(one, rel=1e-9, abs=1e-12)
        case _:
            assert one == other


def test_three_processes_measure_as_one(
    advnets: Command, trained: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3  # which divide neither the samples nor the blocks of centres
    plan = "evaluate run --samples 300 --redraws 1 --centres 3000 --json"
    kept = tmp_path / "kept"
    shutil.copytree(fresh, kept)
    those = torchrun([*plan.split(), "--out", "together"], tmp_path, count, XDG_CACHE_HOME=str(fresh))
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))
    alone = json.loads(advnets(plan).out)
    for one in those:
        one.join(_SECONDS)
    said = [(tmp_path / f"err-{rank}").read_text() for rank in range(count)]
    assert [one.exitcode for one in those] == [0] * count, said
    together = json.loads((tmp_path / "out-0").read_text())
    assert {"parzen", "fid", "kid", "precision_recall", "nearest_neighbour", "ndb", "classes", "duplicates"} <= {*alone}
    assert [point["centres"] for point in alone["parzen"]["streamed"]] == [1000, 3000]
    alike(alone, together)
    files = [sorted(file.name for file in Path(folder).rglob("*.json")) for folder in (fresh, kept)]
    assert files[0] == files[1] and len(files[0]) > 10, "zeros and references are kept as one process keeps them"
    for rank in range(1, count):
        assert not (tmp_path / f"out-{rank}").read_text() and not said[rank], "the first alone speaks"
    assert sorted(file.name for file in (tmp_path / "together").iterdir()) == ["evaluation.html", "evaluation.json"]


def test_two_processes_score_as_one(advnets: Command, trained: Path, tmp_path: Path) -> None:
    plan = "evaluate run --samples 100 --redraws 0 --metrics parzen fid --centres 3000 --json"
    alone = json.loads(advnets(plan).out)
    shown = advnets(plan.replace("--json", "")).out
    streamed = alone["parzen"]["streamed"]
    assert all(f"{one['nats']:.1f} ± " in shown and f"{one['centres']:,} centres" in shown for one in streamed)
    out, err = tmp_path / "out", tmp_path / "err"
    process = command([*plan.split(), "--devices", "2"], tmp_path, out, err)
    process.join(_SECONDS)
    assert process.exitcode == 0, err.read_text()
    alike(alone, json.loads(out.read_text()))


@pytest.mark.parametrize("lost", ["last", "first"])
def test_a_lost_process_ends_the_evaluation_in_a_line(lost: str, trained: Path, tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    plan = "evaluate run --samples 100 --redraws 0 --centres 10000000 --devices 3 --out made --json"
    process = command(plan.split(), tmp_path, out, err)
    assert process.pid is not None
    waited = time.monotonic() + _SECONDS
    while not (err.exists() and "centres: " in err.read_text()) and time.monotonic() < waited:
        time.sleep(0.1)
    others = children(process.pid)
    assert len(others) == 2, err.read_text()
    os.kill(others[-1] if lost == "last" else process.pid, signal.SIGKILL)
    process.join(_SECONDS)
    while any(map(running, others)) and time.monotonic() < waited:
        time.sleep(0.1)
    assert not any(map(running, others)), "no process is left behind"
    said = [line for line in err.read_text().splitlines() if not line.startswith("centres: ")]
    if lost == "last":
        assert process.exitcode == 2
        (line,) = said
        assert line.startswith("advnets: error: another process of the run is gone (it ended with status -9), allowed:")
    else:
        assert process.exitcode == -signal.SIGKILL and not said
    assert not out.read_text() and not (tmp_path / "made").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_what_is_wrong_with_the_measured_is_said_by_the_first_alone(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    started = SimpleNamespace(kill=lambda: killed.append(1))
    fabric = SimpleNamespace(global_rank=rank, world_size=2, is_global_zero=rank == 0)
    monkeypatch.setattr(processes, "started", lambda devices, nodes: fabric)
    monkeypatch.setattr(processes, "children", lambda fabric: [started])
    monkeypatch.setattr(processes, "counters", lambda fabric, own: lambda counter, amount: amount)
    error = InputError("samples are not finite")
    with pytest.raises(SystemExit if rank else InputError) as raised, sharing(2) as first:
        assert first == (rank == 0) and shares.share().of == 2
        raise error
    assert raised.value.code == 2 if rank else raised.value is error
    assert killed == [1] and shares.share() == shares.ALONE
    with sharing(2):
        pass
    assert killed == [1], "what has gone well ends by itself"


def children(number: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def running(number: int) -> bool:
    """Tell whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
