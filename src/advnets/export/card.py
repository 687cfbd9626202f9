"""The model card of a generator: what it is, its data, its scores by which protocol, how to use it, its limits."""

from typing import Any

from advnets.disk import read_json
from advnets.errors import plain
from advnets.export.parts import data_name
from advnets.parameters import parameter_counts
from advnets.runs import Run
from advnets.sampling import Sampler
from advnets.training.facts import version

_LIMITS = """- It draws what the training data look like, with their gaps and their bias, and knows nothing else.
- Samples may be near copies of training examples: `advnets evaluate RUN --metrics memorisation` measures how near.
- A Parzen likelihood ranks models of one protocol and no others; k-means centroids and training images
  as samples can score as well (references). It does not tell whether samples look good.
- Parts of the data may be missing from the samples (mode collapse), which the likelihood may not show."""


def about(run: Run) -> dict[str, Any]:
    """Collect what a run knows of its data, its training and its scores, without paths of the machine."""
    content, status = run.read(), run.status()
    data = content.get("data") or {}
    kept = ("shape", "train", "validation", "test", "fingerprint")
    found: dict[str, Any] = {
        "data": {name: data.get(name) for name in kept},
        "state": status.get("state"),
        "verdict": status.get("verdict"),
        "versions": content.get("versions") or {},
    }
    file = run.path / "evaluation.json"
    if file.is_file():
        scores = read_json(file)
        found["evaluation"] = {name: scores.get(name) for name in ("parzen", "references", "subject", "protocol")}
    return found


def text(sampler: Sampler, known: dict[str, Any]) -> str:
    """Write the card in the hub's markdown, of a generator and of what `about` collected."""
    config = sampler.config
    images = len(sampler.shape) == len("chw")
    data, count = known.get("data") or {}, parameter_counts(config, sampler.shape)["generator"]
    lines = [
        "---",
        "library_name: advnets",
        *(["pipeline_tag: unconditional-image-generation"] if images and not config.condition else []),
        "tags:",
        "- gan",
        "- generative-adversarial-network",
        "---",
        "",
        f"# {config.recipe}: a generator of {'images' if images else 'rows'}",
        "",
        f"The generator G of adversarial nets (Goodfellow et al. 2014), trained by advnets {_trainer(known)} with its "
        f"recipe `{config.recipe}`: {count:,} parameters, step {sampler.step:,}, {sampler.weights} weights, seed "
        f"{config.seed}, {config.train.mode} mode. {_ended(known)}",
        "",
        "## Data",
        "",
        f"`{data_name(config)}`, examples of {' × '.join(map(str, sampler.shape))}"
        + (f", {data['train']:,} of them to train with." if isinstance(data.get("train"), int) else "."),
        *_classes(sampler),
        "",
        "## Scores",
        "",
        *_scores(known.get("evaluation")),
        "",
        "## Use",
        "",
        "```python",
        "from advnets.export.hub import PretrainedGenerator",
        "",
        "generator = PretrainedGenerator.from_pretrained(FOLDER_OR_REPOSITORY)",
        f"x = generator.sample(64, seed=0)  # (64, {', '.join(map(str, sampler.shape))})"
        + (", in [0, 1]" if images else ", in the data's own units"),
        *_of_class(sampler),
        "```",
        "",
        "## Limits",
        "",
        _LIMITS,
        "",
    ]
    return "\n".join(plain(line) if "\n" not in line else line for line in lines)


def _of_class(sampler: Sampler) -> list[str]:
    names = sampler.conditions.names if sampler.conditions else ()
    return [f'x = generator.sample(64, seed=0, of_class="{plain(names[-1])}")'] if names else []


def _trainer(known: dict[str, Any]) -> str:
    versions = known.get("versions")
    return str((versions.get("advnets") if isinstance(versions, dict) else None) or version("advnets"))


def _ended(known: dict[str, Any]) -> str:
    verdict = known.get("verdict")
    return f"`advnets doctor` called the run {verdict} at its end." if verdict else "The run has no verdict."


def _classes(sampler: Sampler) -> list[str]:
    if sampler.conditions is None:
        return []
    if sampler.conditions.masks:
        return ["", "It fills in what is not known of an example; `sample` draws whole ones."]
    names = ", ".join(sampler.conditions.names[:20])
    return ["", f"It draws p(x | c), c a class: {names}." if names else "It draws p(x | c), c numbers beside the data."]


def _scores(evaluation: Any) -> list[str]:
    """Return a table of the run's own score and its references, or that there is none."""
    parzen = evaluation.get("parzen") if isinstance(evaluation, dict) else None
    if not isinstance(parzen, dict):
        return ["Not evaluated when this was written: `advnets evaluate RUN`."]
    subject, protocol = evaluation.get("subject") or {}, evaluation.get("protocol") or {}
    rows = {"this generator": parzen}
    rows |= {name.replace("_", " "): one for name, one in (evaluation.get("references") or {}).items()}
    found = [
        f"Parzen-window log-likelihood of {parzen.get('test_points')} test examples, {parzen.get('centres')} samples "
        f"as centres, bandwidth chosen on validation data ({parzen.get('grid')} grid), step {subject.get('step')}, "
        f"protocol {protocol.get('version')}; nats, with the standard error over test examples.",
        "",
        "| samples | nats |",
        "| --- | --- |",
    ]
    for name, one in rows.items():
        if isinstance(one, dict) and isinstance(one.get("nats"), int | float):
            error = one.get("standard_error")
            found.append(f"| {name} | {one['nats']:.1f}" + (f" ± {error:.1f} |" if error is not None else " |"))
    return found
