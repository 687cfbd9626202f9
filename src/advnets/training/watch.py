"""What a run knows of its own verdicts, and the way back to where it was well."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advnets import doctor, verdicts
from advnets.config import Config
from advnets.errors import InputError
from advnets.runs import Run, read_json, reporting, write_json
from advnets.training import checkpoint
from advnets.training.game import Game
from advnets.training.saved import read_counts

ROLLBACKS = 6
"""Most rollbacks of a run; the next bad verdict ends it."""


@dataclass
class Watch:
    """The lines of a run's log in the present stage, with the verdict on them."""

    config: Config
    lines: list[dict[str, Any]] = field(default_factory=list)
    verdict: doctor.Verdict | None = None
    stopped: bool = False
    """Whether the verdict on the last line has to end the run."""

    def see(self, line: dict[str, Any]) -> None:
        """Judge anew with one more line."""
        self.lines.append(line)
        self.verdict = verdicts.judge(self.lines, self.config)
        self.stopped = self.config.train.on_bad != "warn" and self.verdict is not None and self.verdict.bad

    def until(self, step: int) -> list[dict[str, Any]]:
        """Lines up to a step."""
        return [line for line in self.lines if line["step"] <= step]

    def told(self) -> dict[str, str | None]:
        """What status.json says of the verdict."""
        if self.verdict is None:
            return {"verdict": None}
        return {"verdict": self.verdict.name, "evidence": self.verdict.evidence, "advice": self.verdict.advice}


def new_watch(run: Run, config: Config) -> Watch:
    """Read the log of a run that goes on, after it was cut back to the checkpoint; without signals there is no need."""
    lines = verdicts.lines_of(run, config) if config.train.signals == "on" else []
    return Watch(config, lines, verdicts.judge(lines, config))


def rollbacks(run: Run) -> list[dict[str, Any]]:
    """The rollbacks of a run, oldest first: at which step, with which verdict, to which step.

    Raises InputError for a damaged rollbacks.json.
    """
    file = _file(run)
    if not file.is_file():
        return []
    made = read_json(file).get("rollbacks")
    if not isinstance(made, list) or len(made) > ROLLBACKS or not all(map(_is_rollback, made)):
        raise InputError(f"{file} is damaged, allowed: a list of objects with at, verdict, to; restore it from a copy")
    return made


def _is_rollback(one: object) -> bool:
    """Tell whether this is an object with two steps and a verdict."""
    if not isinstance(one, dict) or one.get("verdict") not in list(doctor.ADVICE):
        return False
    steps = one.get("at"), one.get("to")
    return all(type(step) is int and step >= 0 for step in steps)


def slow(game: Game, rollbacks: int) -> None:
    """Halve both players' learning rates once for every rollback."""
    for player in (game.generator, game.discriminator):
        player.slowed *= 0.5**rollbacks


def roll_back(game: Game, run: Run, watch: Watch) -> bool:
    """Bring a game back to its last checkpoint with a good verdict and halve its learning rates; tell whether it did.

    It does not where settings say otherwise, a smaller step does not help, or there were ROLLBACKS of them. Later
    checkpoints and lines of the log are dropped; rollbacks.json tells of it. Killed half-way, the run goes on from
    that checkpoint at the rates before, gets the same bad verdict and rolls back again.
    """
    verdict = watch.verdict.name if watch.verdict else "diverged"
    made = rollbacks(run)
    if watch.config.train.on_bad != "rollback" or verdict in doctor.LASTING or len(made) >= ROLLBACKS:
        return False
    step = _last_good(game, run, watch, made)
    if step is None:
        return False
    made.append({"at": game.step, "verdict": verdict, "to": step})
    folder = run.verified_checkpoint(step)
    assert folder is not None  # it is among the run's checkpoints
    run.drop_checkpoints_after(step)
    checkpoint.restore(game, folder)
    counts = read_counts(folder)
    run.cut_log(counts["log_bytes"])
    run.cut_validations(step, counts.get("validation_bytes"))
    with reporting(f"cannot write {_file(run)}", "checkpoints are intact"):
        write_json(_file(run), {"rollbacks": made})
    slow(game, 1)
    watch.lines, watch.stopped = watch.until(step), False
    watch.verdict = verdicts.judge(watch.lines, watch.config)
    run.write_status(step, "running", **watch.told())
    return True


def _last_good(game: Game, run: Run, watch: Watch, made: list[dict[str, Any]]) -> int | None:
    """Step of the last checkpoint of this stage that was not bad when it was written.

    Where the last rollback did not get beyond where it came from, one from before that where it went.
    """
    steps = [s for s in run.checkpoint_steps() if read_counts(run.checkpoint(s))["stage"] == game.stage]
    if made and game.step <= made[-1]["at"]:
        steps = [step for step in steps if step < made[-1]["to"]] or steps
    for step in reversed(steps):
        verdict = verdicts.judge(watch.until(step), watch.config)
        if verdict is None or not verdict.bad:
            return step
    return None


def _file(run: Run) -> Path:
    return run.path / "rollbacks.json"
