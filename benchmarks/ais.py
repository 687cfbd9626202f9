"""Log-likelihood of a trained generator by annealed importance sampling, and the gap of its bounds on simulated data.

    python benchmarks/ais.py RUN [--sigma .05 .1 .2 .3] [--part test] [--examples 50] [--steps 500] [--chains 8]
                             [--leapfrog 5] [--seed 0] [--schedule sigmoid] [--json FILE]

One line a noise level σ, in nats, in the units that the nets see: log p_σ(x) of data, what it would be for the
generator's own samples plus noise (lower and upper bound), the gap between these bounds, and what it cost. Choose σ on
--part validation. --schedule sigmoid anneals by the schedule of Wu et al. (2017) in the place of ours.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from advnets.data import load
from advnets.evaluation import ais
from advnets.evaluation.observation import GaussianPixels
from advnets.runs import Run
from advnets.sampling import load_sampler


def sigmoid_schedule(energies: Tensor, steps: int) -> Tensor:
    """β rises as a sigmoid from −4 to 4, cut to [0, 1]: the same for every example."""
    heights = torch.linspace(-4, 4, steps + 1, dtype=torch.float64).sigmoid()
    betas = (heights - heights[0]) / (heights[-1] - heights[0])
    return betas[:, None].to(energies.device).expand(-1, len(energies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.3])
    parser.add_argument("--part", choices=["validation", "test"], default="test")
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--leapfrog", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schedule", choices=["ours", "sigmoid"], default="ours")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.schedule == "sigmoid":
        ais._schedule = sigmoid_schedule

    sampler = load_sampler(Run(options.run))
    net, prior = sampler.net.to(options.device), sampler.config.noise
    x = getattr(load(sampler.config.data), options.part).x[: options.examples]
    settings = {name: getattr(options, name) for name in ("steps", "chains", "leapfrog", "seed")}
    print(f"{options.run}, step {sampler.step}, {sampler.weights}; {len(x)} {options.part} examples; {settings}")
    print("  sigma        log p(x)  median ESS      simulated: lower .. upper             gap  accepted  seconds")
    rows = []
    for sigma in options.sigma:
        start = time.perf_counter()
        found = ais.annealed_importance_sampling(net, prior, x, observation=GaussianPixels(sigma), **settings)
        bounds = ais.bdmc(net, prior, observation=GaussianPixels(sigma), examples=options.examples, **settings)
        seconds = time.perf_counter() - start
        size = sorted(found.effective_sample_sizes)[len(x) // 2]
        print(
            f"{sigma:7.3f}  {found.mean:8.2f} ± {found.standard_error:5.2f}  {size:10.1f}  "
            f"{bounds.lower:8.2f} .. {bounds.upper:8.2f} ± {bounds.upper_standard_error:5.2f}  "
            f"{bounds.gap:6.2f} ± {bounds.gap_standard_error:5.2f}  {found.acceptance:.2f} {bounds.acceptance:.2f}  "
            f"{seconds:7.1f}",
            flush=True,
        )
        rows.append({"data": dataclasses.asdict(found), "simulated": dataclasses.asdict(bounds), "seconds": seconds})
    if options.json:
        about = {"run": str(options.run), "step": sampler.step, "weights": sampler.weights, "part": options.part}
        about |= {"schedule": options.schedule, "torch": torch.__version__, "threads": torch.get_num_threads()}
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
