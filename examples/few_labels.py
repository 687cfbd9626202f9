"""Fifty labels: a discriminator of K + 1 classes learns from the 1,450 images without one too.

python examples/few_labels.py [STEPS]    a minute
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from advnets import AdversarialNets

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
images, digits = load_digits().images / 16, load_digits().target
x, test, truth = images[:1500], images[1500:], digits[1500:]
few = np.where(np.arange(len(x)) < 50, digits[:1500], -1)  # -1: no label

model = AdversarialNets("digits-semi-supervised", steps=steps, random_state=0).fit(x, few)
plain = LogisticRegression(max_iter=1000).fit(x[:50].reshape(50, -1), digits[:50])
print(f"{(model.predict(test) != truth).sum()} of {len(test)} wrong with 50 labels")
print(f"{(plain.predict(test.reshape(len(test), -1)) != truth).sum()} wrong: a logistic regression on the 50 alone")
