"""p(x | y): a generator that is told which digit to draw.

python examples/classes.py [STEPS]       two minutes; writes classes.png, a row for each digit
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from advnets import AdversarialNets, pictures

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
images, digits = load_digits().images / 16, load_digits().target
model = AdversarialNets("digits-conditional", steps=steps, random_state=0).fit(images, digits)

rows = np.repeat(model.classes_, 10)
samples = model.sample(y=rows)
pictures.grid(samples[:, None].astype(np.float32), columns=10).save("classes.png")
judge = LogisticRegression(max_iter=1000).fit(images.reshape(len(images), -1), digits)
agree = (judge.predict(samples.reshape(len(samples), -1)) == rows).mean()
print(f"{agree:.0%} of {len(rows)} samples are the digit they were to be, to a logistic regression; classes.png")
