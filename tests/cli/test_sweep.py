"""`advnets sweep`: runs are those of `advnets train`, one that was stopped ends as if it had not been, and refusals."""

import contextlib
import io
import itertools
import json
import math
import os
import re
import shutil
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from advnets import recipes
from advnets.cli import sweeping
from advnets.cli.main import main
from advnets.runs import Run

from .conftest import Command, Done, contents

LISTED = "sweep digits --out DIR --vary train.learning_rate=0.05,0.1 --seeds 2 --steps 10 SMALL"
RANGE = "sweep digits --out DIR --vary train.learning_rate=0.001:10:log --seeds 1 --trials"
Start = Callable[[list[str], int, IO[bytes]], Any]


class Ended:
    """A process that has ended, which shows only at the second look."""

    pids = itertools.count(1)

    def __init__(self, status: int) -> None:
        self.pid, self.returncode, self.looks = next(self.pids), status, 0
        self.signals: list[int] = []

    def poll(self) -> int | None:
        self.looks += 1
        return self.returncode if self.looks > 1 else None

    def wait(self) -> int:
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


def here(words: list[str], threads: int, errors: IO[bytes]) -> Ended:
    """Train in this process instead of another."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(["train", *words])
    errors.write(said.getvalue().encode())
    return Ended(status)


def scored(words: list[str], threads: int, errors: IO[bytes]) -> Ended:
    """Make a finished run whose likelihood depends on its learning rate alone, best at .2."""
    given = dict(itertools.pairwise(words))
    run, steps = Run(Path(given["--out"])), int(given["--train.validate_every"])
    run.create(recipes.get("digits"), {})
    nats = -(math.log(float(given.get("--train.learning_rate", 1)) / 0.2) ** 2)
    run.append(run.validation, {"step": steps, "nats": nats})
    run.write_status(steps, "finished", "healthy")
    return Ended(0)


def never(words: list[str], threads: int, errors: IO[bytes]) -> Ended:
    raise AssertionError(f"there is nothing to train: {words}")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[[Start], None]:
    """Say how runs are trained; in this process, to begin with."""
    monkeypatch.setattr(sweeping, "start", here)
    return lambda how: monkeypatch.setattr(sweeping, "start", how)


def stopping(after: int, how: Start) -> Start:
    """Like `how`, but Ctrl-C comes after so many runs."""
    left = itertools.count(after - 1, -1)

    def begin(words: list[str], threads: int, errors: IO[bytes]) -> Any:
        process = how(words, threads, errors)
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return process

    return begin


def result(done: Done, status: int = 0) -> dict[str, Any]:
    """The JSON object of a sweep, without the name of its folder."""
    assert done.status == status, done
    told = json.loads(done.out)
    written: dict[str, Any] = json.loads(done.out.replace(f'"{told["sweep"]}/', '"DIR/')) | {"sweep": "DIR"}
    assert json.loads(Path(told["sweep"], "summary.json").read_text()) == told
    return written


def assert_refused(done: Done, *words: str) -> None:
    assert (done.status, done.out) == (2, ""), done
    assert re.fullmatch(r"advnets: error: [^\n]+\n", done.err), done.err
    assert "bug" not in done.err
    for word in words:
        assert word in done.err


def test_a_grid_trains_what_train_trains_and_again_nothing(
    advnets: Command, tmp_path: Path, start: Callable[[Start], None]
) -> None:
    line = LISTED.replace("DIR", "one")
    done = advnets(line)
    assert done.status == 0
    assert [words.partition(":")[0] for words in done.err.splitlines()] == [f"{n} of 4" for n in (1, 2, 3, 4)]
    told = result(advnets(f"{line} --json"))

    runs = sorted((tmp_path / "one" / "runs").iterdir())
    assert len(runs) == 4
    alone = advnets("train digits --steps 10 SMALL --train.learning_rate .1 --seed 1 --out alone")
    assert alone.status == 0
    for name in ("log.jsonl", "samples.png", "checkpoints/step-10/generator.safetensors"):
        assert (tmp_path / "alone" / name).read_bytes() == (runs[3] / name).read_bytes()

    for trial, together in zip(
        sorted(told["trials"], key=lambda t: t["seeds"][0]["run"]), (runs[:2], runs[2:]), strict=True
    ):
        nats = [max(line["nats"] for line in Run(run).validations()) for run in together]
        assert [one["nats"] for one in trial["seeds"]] == nats
        assert (trial["value"], trial["sd"]) == (statistics.fmean(nats), statistics.stdev(nats))
        assert f"{trial['value']:.3f} ± {trial['sd']:.3f}" in done.out
    values = [trial["value"] for trial in told["trials"]]
    assert values == sorted(values, reverse=True) and told["best"]["value"] == values[0]

    before = contents(tmp_path / "one" / "runs")
    start(never)
    again = advnets(line)
    assert (again.status, again.out, again.err) == (0, done.out, "")
    assert contents(tmp_path / "one" / "runs") == before

    start(here)
    shutil.rmtree(runs[2])  # is made again, with two at a time, and half a run gone on with
    shutil.rmtree(runs[1])
    half = f"train digits --steps 5 SMALL --train.learning_rate 0.05 --seed 1 --out {runs[1].relative_to(tmp_path)}"
    assert advnets(half).status == 0
    assert result(advnets(f"{line} --json --jobs 2")) == told
    for run in runs[1:3]:
        after = contents(run / "checkpoints" / "step-10")
        assert after and after.items() <= before.items()


def test_a_setting_that_diverges_is_told_and_the_others_go_on(advnets: Command, start: Callable[[Start], None]) -> None:
    line = "sweep digits --out s --vary train.learning_rate=1e9,0.1 --seeds 1 --steps 10 SMALL"
    done = advnets(line)
    assert done.status == 0
    assert re.search(r"^0\.1 +-\d+\.\d+ +1 ", done.out, re.M)
    assert re.search(r"^1e\+09 +none +0 of 1 +diverged$", done.out, re.M)
    assert "000-learning_rate-1e9-seed0: diverged at step 5" in done.out
    start(never)
    told = result(advnets(f"{line} --json"))
    assert [trial["value"] is None for trial in told["trials"]] == [False, True]
    assert told["trials"][1]["seeds"][0]["state"] == "diverged"


def test_nothing_with_a_value(advnets: Command, start: Callable[[Start], None]) -> None:
    done = advnets("sweep --out s --vary train.learning_rate=1e9 --seeds 1 --steps 10 SMALL --json")
    assert result(done, status=1)["best"] is None


def test_a_sweep_that_was_stopped_ends_as_if_it_had_not_been(advnets: Command, start: Callable[[Start], None]) -> None:
    start(scored)
    for line, rounds in ((f"{LISTED} --json", (1,)), (f"{RANGE} 6 --json", (2, 3))):
        whole = result(advnets(line.replace("DIR", f"whole{rounds[0]}")))
        for after in rounds:
            start(stopping(after, scored))
            stopped = advnets(line.replace("DIR", f"stopped{rounds[0]}"))
            assert (stopped.status, stopped.out) == (130, "")
            assert "give the same command again to go on" in stopped.err.splitlines()[-1]
        start(scored)
        assert result(advnets(line.replace("DIR", f"stopped{rounds[0]}"))) == whole


def test_a_range_is_searched_alike_however_many_at_a_time(advnets: Command, start: Callable[[Start], None]) -> None:
    start(scored)
    told = [result(advnets(f"{RANGE} 16 --json --jobs {jobs}".replace("DIR", f"with{jobs}"))) for jobs in (1, 3)]
    assert told[0] == told[1]
    by_number = sorted(told[0]["trials"], key=lambda trial: trial["seeds"][0]["run"])
    rates = [trial["settings"]["train.learning_rate"] for trial in by_number]
    assert len({*rates}) == 16 and all(0.001 <= rate <= 10 for rate in rates)
    far = [abs(math.log(rate / 0.2)) for rate in rates]
    assert statistics.median(far[12:]) < statistics.median(far[:10]) / 2, "it is a search"


def test_whole_numbers_and_lists_beside_a_range(advnets: Command, start: Callable[[Start], None]) -> None:
    start(scored)
    line = "sweep --out s --seeds 1 --trials 6 --json --vary noise.dimension=2:9 train.optimiser=adam,momentum"
    settings = [trial["settings"] for trial in result(advnets(line))["trials"]]
    assert all(type(one["noise.dimension"]) is int and 2 <= one["noise.dimension"] <= 9 for one in settings)
    assert {one["train.optimiser"] for one in settings} == {"adam", "momentum"}


def test_a_run_that_crashes_is_told_and_tried_again(
    advnets: Command, tmp_path: Path, start: Callable[[Start], None]
) -> None:
    def crashing(words: list[str], threads: int, errors: IO[bytes]) -> Ended:
        if "0.1" not in words:
            return scored(words, threads, errors)
        errors.write(b"step 5\nadvnets: error: the disk is full; free space\n" if "1" in words else b"")
        return Ended(2 if "1" in words else -9)

    start(crashing)
    done = advnets(LISTED.replace("DIR", "s"))
    assert done.status == 0
    assert "seed0: ended by signal 9\n" in done.out and "seed1: the disk is full; free space\n" in done.out
    states = '"state":[0-9]'
    assert len(re.findall(states, (tmp_path / "s" / "study.log").read_text())) == 3, "two begun, one of them told"
    start(scored)
    told = result(advnets(f"{LISTED} --json".replace("DIR", "s")))
    assert all(trial["value"] is not None for trial in told["trials"])


def test_a_signal_reaches_the_runs_and_they_write_a_checkpoint(advnets: Command, tmp_path: Path) -> None:
    runs = [Run(tmp_path / "s" / "runs" / f"000-k-1-seed{seed}") for seed in (0, 1)]

    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while not (all(run.log.exists() for run in runs) or over.is_set()) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    over = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    done = advnets("sweep --out s --vary train.k=1 --seeds 2 --jobs 2 --steps 20000 SMALL")
    over.set()
    thread.join()
    assert (done.status, done.out) == (143, ""), done
    for run in runs:
        assert run.status()["state"] == "interrupted"
        assert run.status()["step"] == run.checkpoint_steps()[-1] > 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("", ["--vary is missing", "SETTING=V1,V2"]),
        ("--vary train.k", ["'train.k'", "SETTING=V1,V2"]),
        ("--vary train.k=1 digits", ["'digits'", "RECIPE right after"]),
        ("--vary train.learning_rat=.1,.2", ["did you mean --train.learning_rate?"]),
        ("--vary learning_rate=.1,.2", ["did you mean --train.learning_rate?"]),
        ("--vary train.learning_rate=.1,fast", ["--train.learning_rate", "'fast'", "a number"]),
        ("--vary train.learning_rate=.1,-1", ["--train.learning_rate", "above 0"]),
        ("--vary train.learning_rate=.1,,.2", ["train.learning_rate", "between commas"]),
        ("--vary train.learning_rate=.1,.1", ["each once"]),
        ("--vary train.batch_size=100,5000", ["--train.batch_size", "5000", "1197"]),
        ("--vary train.k=1,2", ["--train.k is 2", "--mode paper"]),
        ("--vary vae.latent=5,6", ["--vae.latent does not fit the recipe digits"]),
        ("--vary train.learning_rate=.01:1", ["--trials is missing", "--trials N"]),
        ("--vary train.learning_rate=1:.1 --trials 3", ["1:.1", "LOW below HIGH"]),
        ("--vary train.learning_rate=0:1:log --trials 3", ["above 0 with :log"]),
        ("--vary generator.hidden=10:20 --trials 3", ["ranges of single numbers"]),
        ("--vary train.batch_size=1:5000 --trials 3", ["--train.batch_size is 5000"]),
        ("--vary train.learning_rate=.1,.2 --trials 3", ["--trials is 3", "leave it out"]),
        ("--vary train.learning_rate=.1:.2 --trials 0", ["--trials is 0", "1 to 1000"]),
        ("--vary train.learning_rate=.1 --train.learning_rate .2", ["--train.learning_rate is given both"]),
        ("--vary steps=10,20 --steps 10", ["--train.steps is given both"]),
        ("--vary train.k=1 train.k=2", ["train.k twice"]),
        ("--vary train.k=1 --jobs 0", ["--jobs is 0"]),
        ("--vary train.k=1 --jobs two", ["--jobs", "'two'", "whole number"]),
        ("--vary train.k=1 --seeds 0", ["--seeds is 0"]),
        ("--vary train.k=1 --seed 3", ["--seed is no option of a sweep", "--seeds N"]),
        ("--vary seed=1,2", ["seed", "--seeds N"]),
        ("--vary out=a,b", ["out is no setting"]),
        ("--vary help=a,b", ["help is no setting"]),
        ("--vary train.k=1 --resume", ["--resume", "same command again"]),
        ("--vary train.k=1 --evaluate", ["--evaluate", "validation data"]),
        ("--vary train.k=1 --dry-run", ["--dry-run is no option"]),
        ("--vary train.k=1 --train.validate_every 0", ["--train.validate_every is 0"]),
        ("--vary train.k=1 --train.validate_every 20 --steps 10", ["--train.validate_every is 20"]),
        ("--vary train.k=1 --qqqq", ["--qqqq"]),
    ],
)
def test_wrong_usage(
    advnets: Command, tmp_path: Path, start: Callable[[Start], None], words: str, named: list[str]
) -> None:
    start(never)
    assert_refused(advnets(f"sweep digits --out s {words}"), *named)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("sweep digits --vary train.k=1", ["--out is missing"]),
        ("sweep dgits --out s --vary train.k=1", ["did you mean digits?"]),
        ("sweep vae --out s --vary train.batch_size=10", ["vae", "adversarial nets"]),
        ("sweep digits-semi-supervised --out s --vary train.batch_size=10", ["adversarial nets"]),
    ],
)
def test_wrong_usage_of_recipes(advnets: Command, tmp_path: Path, line: str, named: list[str]) -> None:
    assert_refused(advnets(line), *named)
    assert contents(tmp_path) == {}


def test_without_optuna(advnets: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert_refused(advnets(LISTED.replace("DIR", "s")), "Optuna", "pip install 'advnets[sweep]'")
    assert contents(tmp_path) == {}


def test_a_folder_that_holds_something_else(advnets: Command, tmp_path: Path, start: Callable[[Start], None]) -> None:
    start(scored)
    line = LISTED.replace("DIR", "s")
    assert advnets(line).status == 0
    before = contents(tmp_path)
    for old, new, named in (
        ("0.05,0.1", "0.05,0.2", ["vary is train.learning_rate=0.05,0.1 there and train.learning_rate=0.05,0.2 here"]),
        ("--seeds 2", "--seeds 3", ["seeds is 2 there and 3 here"]),
        ("--steps 10", "--steps 20", ["options is", "same command"]),
        ("digits", "mnist", ["recipe is digits there and mnist here"]),
    ):
        if new != "mnist" or os.environ.get("ADVNETS_DATA"):
            assert_refused(advnets(line.replace(old, new)), *named, "--out")
    assert_refused(advnets(line.replace("--out s", "--out s/runs")), "holds no sweep")
    assert contents(tmp_path) == before


def test_a_damaged_study(advnets: Command, tmp_path: Path, start: Callable[[Start], None]) -> None:
    start(scored)
    line, file = f"{LISTED} --json".replace("DIR", "s"), tmp_path / "s" / "study.log"
    told = result(advnets(line))
    good = file.read_bytes()
    file.write_bytes(good + b'{"op_code":4,"wor')  # the power went while it was written
    assert result(advnets(line)) == told
    assert file.read_bytes() == good
    for bad in (
        b'{"op_code":99,"worker_id":"w","study_id":0}\n',
        good + b"[" * 100_000 + b"\n" + good,
        b"[]\n",
        b"\xff\xfe\n",
        good.replace(b'\\"0.05\\"', b'\\"0.05 --out x\\"'),
        good[:200] + b"\n" + good[200:],
    ):
        file.write_bytes(bad)
        assert_refused(advnets(line), "study.log is damaged")


def test_a_sweep_is_held_by_one_process(advnets: Command, tmp_path: Path, start: Callable[[Start], None]) -> None:
    start(scored)
    assert advnets(LISTED.replace("DIR", "s")).status == 0
    with sweeping.locks.held(tmp_path / "s" / ".lock", "is sweeping in s"):
        assert_refused(advnets(LISTED.replace("DIR", "s")), "another process is sweeping in s")
