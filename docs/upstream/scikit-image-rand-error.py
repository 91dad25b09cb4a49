# /// script
# dependencies = ["scikit-image"]
# ///
"""skimage.metrics.adapted_rand_error: recall is returned before precision."""

import itertools
import re

import numpy as np
from skimage.metrics import adapted_rand_error

truth = np.array([1, 1, 1, 2, 2, 3])
found = np.array([1, 1, 1, 1, 1, 1])

pairs = list(itertools.combinations(range(truth.size), 2))
in_truth = {(i, j) for i, j in pairs if truth[i] == truth[j]}
in_found = {(i, j) for i, j in pairs if found[i] == found[j]}
both = len(in_truth & in_found)
# As the documentation defines them: of the pairs in the test image, and of those in the true one.
by_hand = {"prec": both / len(in_found), "rec": both / len(in_truth)}
print(f"by hand: precision {by_hand['prec']:.3f}, recall {by_hand['rec']:.3f}")

_, *returned = adapted_rand_error(image_true=truth, image_test=found)
documented = re.findall(r"^ *(prec|rec)\w* : float", adapted_rand_error.__doc__, re.MULTILINE)
print(f"documented: are, {', '.join(documented)}")
print(f"returned: are, {returned[0]:.3f}, {returned[1]:.3f}")
print("mended" if np.allclose(returned, [by_hand[name] for name in documented]) else "still there")
