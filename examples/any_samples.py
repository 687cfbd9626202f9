"""Score samples of any program by the paper's protocol, with the rows that say what such a score is worth.

python examples/any_samples.py [SAMPLES]    seconds; writes mixture.npz
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from advnets.evaluation import ParzenWindow

count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
x = load_digits().images.reshape(-1, 64) / 16
train, validation, test = x[:1200], x[1200:1500], x[1500:]

mixture = GaussianMixture(20, covariance_type="diag", reg_covar=1e-3, random_state=0).fit(train)
samples = np.clip(mixture.sample(count)[0], 0, 1)
for name, centres in {"a mixture of 20 Gaussians": samples, "the training images": train}.items():
    window = ParzenWindow().fit(centres, validation)  # the bandwidth is chosen on validation data
    nats = window.score_samples(test)
    error = nats.std(ddof=1) / np.sqrt(len(nats))
    print(f"{nats.mean():.1f} ± {error:.1f} nats, bandwidth {window.bandwidth_:.3f}: {name}")

np.savez("mixture.npz", samples=samples.reshape(-1, 8, 8))
print("more measures: advnets evaluate mixture.npz --data digits")
