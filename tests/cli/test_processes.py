"""`advnets train --devices N`, and under torchrun."""

import json
from pathlib import Path

import pytest

from advnets.runs import Run
from processes import command

from .conftest import SMALL, Command

_SECONDS = 60


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("digits --devices 0", "--devices is 0 and --nodes 1, allowed: 1 or more; leave them out"),
        ("digits --devices 3", "batch_size is 100, allowed with 3 processes: a multiple of 3; set --train.batch_size"),
        ("digits --nodes 2", "--nodes is 2 and MASTER_ADDR, MASTER_PORT, NODE_RANK are not set, allowed: address and"),
        ("dbn --devices 2 --rbm.layer_steps 2", "dbn is trained by one process, allowed: games; leave --devices"),
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


def test_two_processes_score_as_one(advnets: Command, trained: Path, tmp_path: Path) -> None:
    plan = "evaluate run --samples 100 --redraws 0 --metrics parzen --centres 4000 --json"
    alone = json.loads(advnets(plan).out)["parzen"]["streamed"]
    shown = advnets(plan.replace("--json", "")).out
    assert all(f"{one['nats']:.1f} ± " in shown and f"{one['centres']:,} centres" in shown for one in alone)
    assert [one["centres"] for one in alone] == [1000, 3000, 4000]
    out, err = tmp_path / "out", tmp_path / "err"
    process = command([*plan.split(), "--devices", "2"], tmp_path, out, err)
    process.join(_SECONDS)
    assert process.exitcode == 0, err.read_text()
    together = json.loads(out.read_text())["parzen"]["streamed"]
    for one, other in zip(alone, together, strict=True):
        assert one["bandwidth"] == other["bandwidth"] and one["nats"] == pytest.approx(other["nats"], abs=1e-9)
