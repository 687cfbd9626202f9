"""Table 2: what each family of models finds hard, the paper's words beside measurements of ours on MNIST."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from advnets import recipes
from advnets.config import ChainConfig, Config
from advnets.data import DataSet
from advnets.errors import NotMeasurable
from advnets.evaluation.mixing import mixing
from advnets.parameters import parameter_counts
from advnets.reproduce import explicit, rivals, table2_figures
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.costs import training_cost
from advnets.reproduce.curves import SAMPLES, minutes, remembered
from advnets.reproduce.runs import lasting, trained
from advnets.reproduce.table1 import LENGTHS
from advnets.runs import Run
from advnets.sampling import Sampler, load_sampler

_WATCHED = {"quick": (20, 400), "full": (50, 2_000)}  # chains, and steps of each
_INDEPENDENT = (50, 200)  # of models without a chain

Found = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """A column of the table: the paper's words, and the recipe that stands for the family."""

    name: str
    recipe: str
    training: str
    inference: str
    sampling: str
    likelihood: str
    design: str


_NO_LIKELIHOOD = "not represented explicitly; Parzen windows"
_FREE = "any differentiable function"
_AUTOENCODER = ("mixing is traded for reconstruction", "by a Markov chain", "needs a Markov chain", _NO_LIKELIHOOD)
FAMILIES = (
    Family(
        "deep directed",
        "vae",
        "needs inference",
        "learned, approximate",
        "no difficulty",
        "intractable; by AIS",
        "extremely difficult for nearly all models",
    ),
    Family(
        "deep undirected",
        "dbn",
        "needs inference, and a Markov chain for the gradient of log Z",
        "variational",
        "needs a Markov chain",
        "intractable; by AIS",
        "has to be careful, for several properties at once",
    ),
    Family("generative autoencoder", "gsn", *_AUTOENCODER, _FREE),
    Family("generative autoencoder", "cae", *_AUTOENCODER, _FREE),
    Family(
        "adversarial",
        "mnist-best",
        "D has to keep up with G (Helvetica)",
        "learned, approximate",
        "no difficulty",
        _NO_LIKELIHOOD,
        _FREE,
    ),
)
"""The paper's words in short."""


def reproduce(plan: Plan) -> Artefact:
    """Train every family's model, those of table1 where they are there, and measure what the paper says of it."""
    columns, samplers, runs = [], {}, {}
    for family in FAMILIES:
        config = _config(plan, family.recipe)
        data = plan.load(config.data)
        run = runs[family.recipe] = trained(plan, config, data)
        plan.say(f"measuring {run.path}")
        sampler = samplers[f"{family.name}: {family.recipe}"] = load_sampler(run)
        columns.append(_measured(plan, family, run, sampler, data))
    small = remembered(runs["dbn"], f"machines that are {explicit.SMALL}", lambda: explicit.small_machines(data))
    watched = {name: one["mixing"] for name, one in zip(samplers, columns, strict=True)}
    files = table2_figures.draw(samplers, watched, plan.folder)
    summary = {"budget": plan.budget, "columns": columns, "small_machines": small}
    return Artefact(list(table(columns)), summary, files, holds=small["holds"], notes=list(notes(small)))


def _config(plan: Plan, recipe: str) -> Config:
    if recipe != "mnist-best":
        return rivals.config_of(recipe, plan.budget, 0)
    length = LENGTHS[plan.budget][recipe]
    return lasting(recipes.get(recipe), length.steps, keep_every=length.keep_every)


def _measured(plan: Plan, family: Family, run: Run, sampler: Sampler, data: DataSet) -> Found:
    config, step = sampler.config, sampler.step
    layers = max((line.layers for line in rivals.LINES if line.recipe == family.recipe), default=0)
    spent = minutes(run, step)
    cost = remembered(run, f"cost of step {step}", lambda: asdict(training_cost(sampler, data)))
    watch = _WATCHED[plan.budget] if config.has_chain else _INDEPENDENT
    mixed = remembered(run, f"mixing of step {step}, {watch}", lambda: _mixing(sampler, *watch))
    return {
        "family": family.name,
        "recipe": family.recipe,
        "run": run.path.name,
        "paper": {row: getattr(family, row) for row in ("training", "inference", "sampling", "likelihood", "design")},
        "parameters": parameter_counts(config, data.shape),
        "step": step,
        "epochs": step * config.train.batch_size / len(data.train.x),
        "minutes": spent,
        "cost": cost,
        "burn_in": (config.chain or ChainConfig()).burn_in if config.has_chain else 0,
        "chains": config.chain.chains if config.chain and config.has_chain else None,
        "mixing": mixed,
        "seconds": rivals.sampling_seconds(run, sampler, layers),
        "parzen": rivals.scored(plan, run, sampler, data, layers),
        "explicit": remembered(
            run, f"explicit, step {step}, {plan.budget}", lambda: explicit.likelihoods(sampler, data, plan.budget)
        ),
    }


def _mixing(sampler: Sampler, count: int, steps: int) -> Found:
    """Watch what so many chains show for so many steps after burn-in."""
    try:
        return asdict(mixing(sampler.trajectories(count, steps, sampler.config.seed)))
    except NotMeasurable as reason:
        return {"not_measured": str(reason)}


def table(columns: Sequence[Found]) -> Iterator[tuple[str, ...]]:
    """Print the paper's words of each family, and under them what was measured."""
    yield ("", *(f"{one['family']}: {one['recipe']}" for one in columns))
    for row, ours in (
        ("training", _training),
        ("inference", _inference),
        ("sampling", _sampling),
        ("likelihood", _likelihood),
        ("design", _design),
    ):
        yield (f"{row}, the paper", *(one["paper"][row] for one in columns))
        yield (f"{row}, measured", *(ours(one) for one in columns))


def _training(one: Found) -> str:
    timed = "not timed" if one["minutes"] is None else f"{one['minutes']:.0f} min"
    cost = one["cost"]
    return (
        f"{cost['needs']}, {cost['share']:.0%} of a step's {cost['milliseconds']:.0f} ms; {timed}, "
        f"{one['epochs']:.3g} epochs"
    )


def _inference(one: Found) -> str:
    gap: str | None = one["explicit"].get("inference")
    return gap or "no posterior: nothing to measure"


def _sampling(one: Found) -> str:
    cost, mixed = f"{one['seconds']:.1f} s for {SAMPLES:,}", one["mixing"]
    if one["chains"] is None:
        return f"{cost}, independent (measured: {mixed['steps_per_sample']:.2f} draws a sample)"
    burn_in = f"{one['chains']} chains, {one['burn_in']:,} steps of burn-in"
    if "steps_per_sample" not in mixed:
        return f"{cost}; {burn_in}; {mixed['not_measured']}"
    steps = f"{'' if mixed['settled'] else 'over '}{mixed['steps_per_sample']:.0f} steps a sample"
    return f"{cost}; {burn_in}; {steps}"


def _likelihood(one: Found) -> str:
    parzen = one["parzen"]
    score = f"Parzen {parzen['nats']:.1f} (error {parzen['standard_error']:.1f})" if "nats" in parzen else "no Parzen"
    return "; ".join([*one["explicit"].get("lines", ()), score])


def _design(one: Found) -> str:
    return f"not measured, a judgement; {sum(one['parameters'].values()):,} parameters here"


def notes(small: Found) -> Iterator[str]:
    """What has to stand under the table."""
    yield small["line"]
    yield "likelihoods other than Parzen's are of test images as bits, drawn once with the grey levels as means"
    yield "steps a sample: integrated autocorrelation time of all pixels, over chains of one seed"
