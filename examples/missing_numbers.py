"""Fill in a table: one generator of what is missing given the rest, beside scikit-learn's imputers.

python examples/missing_numbers.py [STEPS]    five minutes
"""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # makes the next import possible
from sklearn.impute import IterativeImputer, SimpleImputer

from advnets import AdversarialNets

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
x = load_breast_cancer().data
x = (x - x.mean(0)) / x.std(0)
missing = np.random.default_rng(0).random(x.shape) < 0.2
gappy = np.where(missing, np.nan, x)

settings = {"condition.kind": "masks"}
model = AdversarialNets("auto", steps=steps, settings=settings, random_state=0).fit(gappy)
several = model.complete(gappy, n=50, random_state=0)  # (569, 50, 30): draws of p(missing | the rest)
filled = {
    "the mean of each column": SimpleImputer().fit_transform(gappy),
    "IterativeImputer": IterativeImputer(random_state=0, max_iter=20).fit_transform(gappy),
    "advnets, the mean of 50 draws": several.mean(1),
    "advnets, one draw": several[:, 0],
}
for name, one in filled.items():
    print(f"{np.sqrt(np.square((one - x)[missing]).mean()):.2f} standard deviations off: {name}")
