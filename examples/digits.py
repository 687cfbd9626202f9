"""Learn 8×8 digits, draw new ones, and score them: the estimator in ten lines.

python examples/digits.py [STEPS]        a minute on two cores; writes digits.png
"""

import sys

import numpy as np
from sklearn.datasets import load_digits

from advnets import AdversarialNets, pictures

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
images = load_digits().images / 16  # (1797, 8, 8), in [0, 1]
model = AdversarialNets("digits", steps=steps, random_state=0).fit(images[:1500])

samples = model.sample(64)
pictures.grid(samples[:, None].astype(np.float32)).save("digits.png")
print(f"{model.score(images[1500:]):.1f} nats by a Parzen window over {model.n_centres:,} samples; digits.png")
