"""The runs of `advnets sweep`: what Optuna proposes, processes that train it, and what came of each.

DIR/sweep.json     what was asked for
DIR/study.log      the trials, in Optuna's journal: lines of JSON
DIR/runs/          a run for each trial and seed
DIR/summary.json   what came of them
"""

import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from advnets import disk, locks
from advnets.cli.interruption import Interruption, catching
from advnets.cli.varying import Plan, Varied, brief, shown
from advnets.config import Config
from advnets.doctor import GOOD
from advnets.errors import InputError, plain
from advnets.runs import Run

ROUND = 4
"""Trials in a range that are proposed together, whatever --jobs is, so that this does not change which are tried."""
_PAUSE = 0.02  # seconds between two looks at the processes
_UNSCORED = -1e29  # nats; a generator that cannot be scored gets less
_LONGEST = 200  # characters of a reason
_STATES = ("finished", "diverged", "stopped")  # those that last; what failed otherwise is tried again


@dataclass(frozen=True)
class Trial:
    """One choice of settings, to be trained once a seed."""

    number: int
    words: list[str]
    config: Config
    settings: dict[str, Any]
    runs: list[Run]

    def command(self, seed: int) -> list[str]:
        """The words after `advnets train` that begin the run of a seed, or go on with it."""
        run = self.runs[seed]
        more = ["--seed", str(seed), "--out", str(run.path), "--json", *(["--resume"] if run.exists() else [])]
        return [*self.words, *more]


@dataclass(frozen=True)
class Sweep:
    """A sweep in a folder."""

    plan: Plan
    folder: Path
    seeds: int
    jobs: int
    say: Callable[[str], None]
    failures: dict[Path, str] = field(default_factory=dict)
    """Why runs of this process have no end."""


Job = tuple[Trial, int]


def library() -> Any:
    """Import Optuna; raises InputError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            "sweeps are kept by Optuna, which is not installed, allowed: with it; pip install 'advnets[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextlib.contextmanager
def opened(folder: Path, asked: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of a sweep; raises InputError where it holds something else, or another sweep."""
    file = folder / "sweep.json"
    if folder.exists() and not file.is_file() and not (folder.is_dir() and {*os.listdir(folder)} <= {".lock"}):
        raise InputError(
            f"{folder} exists already and holds no sweep, allowed: a new or empty folder; name another with --out"
        )
    with disk.reporting(f"cannot make the folder {folder}", fix="name another with --out"):
        disk.make_folder(folder)
    with locks.held(folder / ".lock", f"is sweeping in {folder}"):
        before = disk.read_json(file) if file.is_file() else asked
        wrong = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
        if wrong:
            raise InputError(
                f"{folder} holds another sweep ({wrong[0]} is {_asked(before.get(wrong[0]))} there and "
                f"{_asked(asked.get(wrong[0]))} here), allowed: the same command again; name another folder with --out"
            )
        with disk.reporting(f"cannot write {file}"):
            disk.write_json(file, asked)
        yield


def swept(sweep: Sweep) -> tuple[list[Trial], int | None]:
    """Train every trial; return those there are, and the exit status of an interruption if one came before the end."""
    study = _study(sweep.folder / "study.log")
    trials: list[Trial] = []
    size = sweep.plan.count if sweep.plan.is_grid else ROUND
    with catching() as interruption:
        while len(trials) < sweep.plan.count:
            numbers = range(len(trials), min(len(trials) + size, sweep.plan.count))
            together = [_trial(study, sweep, number) for number in numbers]
            trials += together
            left = [(trial, seed) for trial in together for seed in range(sweep.seeds) if not _ended(trial, seed)]
            _train(sweep, left, interruption)
            if interruption() and not all(_ended(trial, seed) for trial, seed in left):
                return trials, interruption.exit_status
            for trial in together:
                _tell(study, trial, outcome(sweep, trial))
    return trials, None


def _study(file: Path) -> Any:
    """Open the study; raises InputError for a damaged journal."""
    optuna = library()
    try:
        whole = file.read_bytes().rfind(b"\n") + 1 if file.is_file() else 0
        if file.is_file() and whole < file.stat().st_size:
            disk.cut(file, whole)  # a line that was being written when the machine stopped
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
        if whole:
            study = optuna.load_study(study_name="sweep", storage=storage)
        else:
            study = optuna.create_study(study_name="sweep", storage=storage, direction="maximize")
        _ = study.trials
    except (LookupError, ValueError, TypeError, AttributeError, AssertionError, RecursionError):
        raise _damaged(file) from None
    return study


def _damaged(file: Path) -> InputError:
    return InputError(f"{file} is damaged, allowed: the journal as Optuna wrote it; restore it from a copy")


def _sampler(number: int) -> Any:
    return library().samplers.TPESampler(seed=number)


def _trial(study: Any, sweep: Sweep, number: int) -> Trial:
    """Return a trial of the study, or add it as the next one."""
    plan, optuna = sweep.plan, library()
    if number == len(study.trials):
        distributions = {one.name: _distribution(one) for one in plan.varied}
        values = plan.grid()[number] if plan.is_grid else _proposal(study, distributions, number)
        running = optuna.trial.TrialState.RUNNING
        study.add_trial(optuna.trial.create_trial(state=running, params=values, distributions=distributions))
    params = study.trials[number].params
    words = {one.name: _word(one, params.get(one.name), sweep.folder) for one in plan.varied}
    tokens, config = plan.trial(words)
    name = _name(number, words)
    runs = [Run(sweep.folder / "runs" / f"{name}-seed{seed}") for seed in range(sweep.seeds)]
    return Trial(number, tokens, config, dict(shown(config, plan.varied)), runs)


def _proposal(study: Any, distributions: dict[str, Any], number: int) -> dict[str, Any]:
    """Ask TPE, aside and seeded by the trial's number: a sweep that was stopped goes on as if it had not been."""
    aside = library().create_study(direction="maximize", sampler=_sampler(number))
    aside.add_trials(study.trials)
    proposed: dict[str, Any] = aside.ask(distributions).params
    return proposed


def _distribution(one: Varied) -> Any:
    kinds = library().distributions
    if not one.is_range:
        return kinds.CategoricalDistribution(one.choices)
    low, high = one.choices
    if one.whole:
        return kinds.IntDistribution(int(low), int(high), log=one.log)
    return kinds.FloatDistribution(float(low), float(high), log=one.log)


def _word(one: Varied, value: object, folder: Path) -> str:
    """Write a value of the study as the command line takes it; raises InputError for one that was not proposed."""
    proposed = type(value) in (int, float) if one.is_range else value in one.choices
    if not proposed:
        raise _damaged(folder / "study.log")
    return str(value)


def _name(number: int, words: dict[str, str]) -> str:
    """A name for a folder: the trial's number, which makes it one of its kind, and its settings to be read."""
    settings = "-".join(f"{name.rpartition('.')[2]}-{value}" for name, value in words.items())
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9.+-]+', '_', settings)[:80]}"


def _tell(study: Any, trial: Trial, result: dict[str, Any]) -> None:
    """Tell the study what a trial is worth: pruned where it has no value, which TPE takes for the worst there is."""
    if not all(one["state"] in _STATES for one in result["seeds"]):
        return  # to be tried again
    state = library().trial.TrialState.PRUNED if result["value"] is None else None
    study.tell(trial.number, result["value"], state=state, skip_if_finished=True)


def _ended(trial: Trial, seed: int) -> bool:
    return _state(trial, seed) in _STATES


def _state(trial: Trial, seed: int) -> str | None:
    """State of a run; None where it has not begun, `stopped` where a bad verdict ended it for good."""
    run = trial.runs[seed]
    status = run.status() if run.exists() else {}
    state, verdict = status.get("state"), status.get("verdict")
    if state == "interrupted" and trial.config.train.on_bad != "warn" and verdict and verdict not in GOOD:
        return "stopped"
    if state == "finished" and status.get("step") != trial.config.train.steps:
        return "interrupted"
    return str(state) if state else None


def outcome(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    """Say what came of a trial: the mean over its seeds if all of them have a likelihood, and each of them."""
    seeds = [_of_seed(sweep, trial, seed) for seed in range(sweep.seeds)]
    nats = [one["nats"] for one in seeds if one["nats"] is not None]
    whole = len(nats) == len(seeds)
    return {
        "settings": trial.settings,
        "value": statistics.fmean(nats) if whole else None,
        "sd": statistics.stdev(nats) if whole and len(nats) > 1 else None,
        "seeds": seeds,
    }


def _of_seed(sweep: Sweep, trial: Trial, seed: int) -> dict[str, Any]:
    run, state = trial.runs[seed], _state(trial, seed)
    status = run.status() if run.exists() else {}
    nats = max((line["nats"] for line in run.validations()), default=None) if state == "finished" else None
    reason = sweep.failures.get(run.path) if state not in _STATES else None
    if state in ("diverged", "stopped"):
        reason = f"{state} at step {status.get('step')}"
    elif state == "finished" and (nats is None or nats < _UNSCORED):
        nats, reason = None, "its samples cannot be scored"
    told = "failed" if reason and state not in _STATES else state
    return {"run": str(run.path), "nats": nats, "verdict": status.get("verdict"), "state": told, "reason": reason}


# Processes


@dataclass(frozen=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    errors: IO[bytes]


def start(words: list[str], threads: int, errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start `advnets train WORDS`, which says on `errors` what it has to say; OMP_NUM_THREADS stays if it is set."""
    return subprocess.Popen(
        [sys.executable, "-m", "advnets", "train", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={"OMP_NUM_THREADS": str(threads), **os.environ},
        start_new_session=True,  # Ctrl-C reaches this process, which passes it on once; a second one would kill
    )


def _train(sweep: Sweep, jobs: Sequence[Job], interruption: Interruption) -> None:
    """Train runs, so many at a time; after a signal begin no more, and pass it on to those there are."""
    waiting, running, done = [*jobs], dict[int, tuple[Job, _Child]](), 0
    passed_on = False
    try:
        while running or (waiting and not interruption()):
            while waiting and len(running) < sweep.jobs and not interruption():
                child = _begun(sweep, *waiting[0])
                running[child.process.pid] = (waiting.pop(0), child)
            if interruption() and not passed_on:
                passed_on = True
                _signal((child for _, child in running.values()), interruption.number or signal.SIGTERM)
            for pid in [pid for pid, (_, child) in running.items() if child.process.poll() is not None]:
                job, child = running.pop(pid)
                done += 1
                _conclude(sweep, job, child, None if interruption() else f"{done} of {len(jobs)}")
            time.sleep(_PAUSE)
    finally:
        left = [child for _, child in running.values()]
        _signal(left, signal.SIGTERM)
        for child in left:
            child.process.wait()
            child.errors.close()


def _begun(sweep: Sweep, trial: Trial, seed: int) -> _Child:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed once the process has ended
    try:
        return _Child(start(trial.command(seed), max(1, cores // sweep.jobs), errors), errors)
    except BaseException:
        errors.close()
        raise


def _signal(children: Iterable[_Child], number: int) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)


def _conclude(sweep: Sweep, job: Job, child: _Child, which: str | None) -> None:
    """Note why a run has no end, if it has none, and say in a line what came of it."""
    trial, seed = job
    with child.errors as errors:
        errors.seek(0)
        said = errors.read().decode(errors="replace").splitlines()
    if not _ended(trial, seed):
        sweep.failures[trial.runs[seed].path] = _reason(said, child.process.returncode)
    if which:
        one = _of_seed(sweep, trial, seed)
        told = one["reason"] if one["nats"] is None else f"{one['nats']:.4g} nats"
        settings = ", ".join(f"{name} {brief(value)}" for name, value in trial.settings.items())
        sweep.say(f"{which}: {settings}, seed {seed}: {told}")


def _reason(said: Sequence[str], status: int) -> str:
    """Say why a process ended: its error, or its number."""
    errors = [line for line in said if line.startswith("advnets: error: ")]
    if errors:
        return plain(errors[-1].removeprefix("advnets: error: "))[:_LONGEST]
    return f"ended by signal {-status}" if status < 0 else f"ended with status {status}"


def _asked(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
