"""`advnets train`: from a recipe, a folder or an array to a run, and on from wherever a run stopped."""

import contextlib
import functools
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advnets.cli import settings
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, listing, say, sizes
from advnets.cli.training import launched, trained, with_precision
from advnets.config import Config, DataConfig, to_json
from advnets.data import CATALOGUE, DataSet, load
from advnets.errors import plain
from advnets.folders import next_folder, reserved
from advnets.history import last_line
from advnets.parameters import parameter_counts
from advnets.runs import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from advnets.training.outcome import Outcome


def run(tokens: list[str]) -> int:
    """Train and return the exit status.

    1 for a run that diverged or that a bad verdict stopped, 130 or 143 for one that a signal stopped.
    """
    tokens = settings.spelled_out(tokens)
    arguments = settings.restarted(settings.read(tokens))
    load_data = functools.partial(load, offline=arguments.offline, report=lambda line: print(line, file=sys.stderr))
    if arguments.resume:
        config, target = settings.resumed(arguments, tokens)
        if arguments.dry_run:
            return _dry_run(config, None, target.path, as_json=arguments.json)
        if _is_finished(config, target) and not arguments.evaluate:
            return _tell_finished(config, target, as_json=arguments.json)
        held = load_data(config.data)
        return _train(config, held, target, arguments, launched(config, arguments))
    if arguments.out:
        Run(arguments.out).require_free()
    config, data = settings.fresh(arguments, tokens, load_data)
    if arguments.dry_run:
        out = arguments.out or next_folder(settings.RUNS, config.recipe)
        return _dry_run(config, data, out, as_json=arguments.json)
    data = data or load_data(config.data)
    config = with_precision(config, data, arguments.devices * arguments.nodes)
    fabric = launched(config, arguments)
    with _folder(arguments, config, fabric) as path:
        return _train(config, data, Run(path), arguments, fabric)


@contextlib.contextmanager
def _folder(arguments: settings.Arguments, config: Config, fabric: "Fabric") -> Iterator[Path]:
    """Yield the folder of a new run, which the first of several processes finds for all."""
    from advnets.training.processes import told

    if arguments.out:
        yield arguments.out
    elif fabric.is_global_zero:
        with reserved(settings.RUNS, config.recipe) as path:
            told(fabric, str(path))
            yield path
    else:
        yield Path(told(fabric, ""))


def _dry_run(config: Config, data: DataSet | None, out: Path, *, as_json: bool) -> int:
    """Print what would be trained, after the checks that need no data."""
    parameters = counts(config, data)
    if as_json:
        emit({"config": to_json(config), "parameters": parameters, "out": str(out)})
        return DONE
    print(listing(config))
    print(f"parameters: {sizes(parameters)}")
    say(f"run folder: {out} (nothing written)")
    return DONE


def counts(config: Config, data: DataSet | None) -> dict[str, int]:
    """Count parameters; raises InputError where nets or minibatch do not fit the data."""
    import torch

    from advnets.conditions import resolved
    from advnets.nets.build import build_discriminator, build_generator
    from advnets.seeds import stream
    from advnets.training.batches import Batches

    if config.condition and config.condition.size is None:
        data = data or load(config.data, offline=True)
        config = resolved(config, data)
    shape, examples = _size(config.data, data)
    parameters = parameter_counts(config, shape, stage=2 if config.second_stage else 1)
    if examples is not None:
        Batches(torch.empty(examples, 0), config.train.batch_size, config.seed)
    if config.is_game:
        with torch.device("meta"):  # no memory for weights
            build_generator(config, shape, torch.zeros(shape), stream(0, "weights"))
            build_discriminator(config, shape, stream(0, "weights"))
    return parameters


def _size(config: DataConfig, data: DataSet | None) -> tuple[tuple[int, ...], int | None]:
    """Return the shape of an example and the number of training examples, read only where the catalogue cannot tell."""
    entry = CATALOGUE.get(config.name)
    if data is None and entry and config.size is None and config.colour == "auto":
        return entry.shape, entry.sizes[0] if entry.sizes else None
    data = data or load(config, offline=True)
    return data.shape, data.examples


def _is_finished(config: Config, target: Run) -> bool:
    """Tell whether there is nothing to do: no step to make, and no setting to change."""
    return (
        config == target.config()
        and target.status().get("state") == "finished"
        and target.checkpoint_steps()[-1:] == [config.train.steps]
    )


def _tell_finished(config: Config, target: Run, *, as_json: bool) -> int:
    steps = config.train.steps
    if as_json:
        emit(_result(target, steps, 0.0))
    else:
        say(f"{target.path} is finished at step {steps}; for more: {_resume_command(target)} --steps {2 * steps}")
    return DONE


def _train(config: Config, data: DataSet, target: Run, arguments: settings.Arguments, fabric: "Fabric") -> int:
    step = [0, *target.checkpoint_steps()][-1]
    going_on = [f"going on with {target.path} at step {step}"] if arguments.resume else []
    outcome, interrupted = trained(
        config,
        data,
        target,
        resume=arguments.resume,
        opening=[*going_on, *_sharing(config, fabric)],
        smaller="make --train.batch_size, --generator.hidden or --discriminator.hidden smaller",
        fabric=fabric,
        tracker=arguments.tracker,
    )
    if not fabric.is_global_zero:
        return DONE
    status = _conclude(config, target, outcome, interrupted, as_json=arguments.json)
    evaluation = _evaluate(data, target) if arguments.evaluate and outcome.state == "finished" else None
    if arguments.json:
        emit({**_result(target, outcome.step, outcome.seconds), "evaluation": evaluation})
    elif evaluation:
        print(_score(evaluation))
    return status


def _sharing(config: Config, fabric: "Fabric") -> list[str]:
    """Say how many processes there are, if there are several."""
    count, batch = fabric.world_size, config.train.batch_size
    told = f"{count} processes, each with {batch // count} of the {batch} examples of a minibatch"
    return [told] if count > 1 else []


def _evaluate(data: DataSet, target: Run) -> dict[str, Any]:
    """Score a finished run by Parzen windows, and training images beside it."""
    from advnets.cli.evaluate import write
    from advnets.cli.measuring import showing as showing_measures
    from advnets.evaluation import folds
    from advnets.evaluation.evaluate import Plan, evaluate
    from advnets.evaluation.subjects import of_run

    subject = of_run(target)
    plan = Plan(metrics=("parzen",), redraws=0, references=("training_images",))
    with showing_measures() as progress:
        result = evaluate(subject, data, plan, folds=folds.of(data, subject.data, load), progress=progress)
    write(result, subject, data, target.path)
    return result


def _score(evaluation: dict[str, Any]) -> str:
    ours, real = evaluation["parzen"], evaluation["references"]["training_images"]
    if "nats" not in ours or "nats" not in real:
        return f"  score    none: {ours.get('not_measured', real.get('not_measured'))}"
    return (
        f"  score    {ours['nats']:.1f} ± {ours['standard_error']:.1f} nats on test data (training images in place of "
        f"samples: {real['nats']:.1f}); more with advnets evaluate"
    )


def _conclude(config: Config, target: Run, outcome: "Outcome", interrupted: int, *, as_json: bool) -> int:
    """Say how training ended and what can be done next; return the exit status."""
    out = sys.stderr if as_json else sys.stdout
    match outcome.state:
        case "diverged":
            print(_divergence(config, target, outcome.step), file=sys.stderr)
            return BAD_ANSWER
        case "interrupted" if outcome.stopped and outcome.verdict:
            verdict = outcome.verdict
            print(
                f"stopped at step {outcome.step}, checkpoint written, because {verdict.name}: {verdict.evidence}; "
                f"{verdict.advice}; to go on all the same: {_resume_command(target)} --train.on_bad warn",
                file=sys.stderr,
            )
            return BAD_ANSWER
        case "interrupted":
            print(f"stopped at step {outcome.step}, checkpoint written; to go on: {_resume_command(target)}", file=out)
            return interrupted
    folder = plain(shlex.quote(str(target.path)))
    more = "" if config.rival else "classify" if config.semi else "interpolate"
    lines = f"           advnets {more} {folder}\n" if more else ""
    print(
        f"finished at step {outcome.step} after {outcome.seconds:.1f} s{_judged(outcome)}\n"
        f"  run      {plain(str(target.path))}\n"
        f"  samples  {plain(str(target.path / 'samples.png'))}\n"
        f"  next     advnets sample {folder} --n 64\n"
        f"{lines}           {_resume_command(target)} --steps {2 * outcome.step}",
        file=out,
    )
    return BAD_ANSWER if outcome.stopped else DONE


def _judged(outcome: "Outcome") -> str:
    verdict = outcome.verdict
    return f", {verdict.name}: {verdict.evidence}" if verdict else ""


def _divergence(config: Config, target: Run, step: int) -> str:
    line = last_line(target)
    wrong = [name for name, value in line.items() if value is None and name != "momentum"]
    what = f"the mean {', '.join(wrong)}" if line.get("step") == step and wrong else "a weight"
    kept = target.checkpoint_steps()[-1:]
    checkpoint = f"the checkpoint of step {kept[0]} is kept" if kept else "there was no checkpoint yet"
    return (
        f"diverged: at step {step} {what} is no finite number; {checkpoint} in {plain(str(target.path))}; "
        f"start another run with --train.learning_rate below {config.train.learning_rate:g}"
    )


def _result(target: Run, steps: int, seconds: float) -> dict[str, Any]:
    status = target.status()
    return {
        "run": str(target.path),
        "state": status.get("state"),
        "steps": steps,
        "seconds": round(seconds, 3),
        "verdict": status.get("verdict"),
        "evaluation": None,
    }


def _resume_command(target: Run) -> str:
    return f"advnets train --resume --out {plain(shlex.quote(str(target.path)))}"
