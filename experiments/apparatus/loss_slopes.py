"""The slope of a loss at outputs that are ever more confidently wrong, or right.

What flows: logits of one instance -> the loss's derivative in the true class's logit, by reverse
mode -> beside it its enclosure and its closed form. The invariant: the closed form is computed from
the same rounded logits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from difflab import value_and_gradient
from difflab.accuracy.truth import truth
from difflab.lab import Case, Row, generator
from difflab.networks import CrossEntropy
from difflab.networks.layers import Layer
from difflab.networks.losses import Loss

CLASSES = 10


def at_logits(case: Case, loss: Loss) -> Iterator[Row]:
    """The derivative of a loss in the true class's logit, ever farther from the largest other."""
    last = Layer(1, CLASSES, case["head"])
    f = lambda x: loss.each(x, (np.arange(CLASSES) == 0).astype(x.dtype), last)  # of class 0
    with_gradient = value_and_gradient(f)
    others = generator("losses", "logits", case["seed"]).normal(size=CLASSES)
    for away in np.geomspace(1.0, 1e4, case["points"]):
        logits = others - np.max(others[1:])
        logits[0] = -away if case["side"] == "wrong" else away
        logits = logits.astype(case["dtype"])
        with np.errstate(all="ignore"):
            value, gradient = with_gradient(logits)
            slope, true = abs(gradient[0]), abs(truth(f, logits).midpoint[0])
        finite = bool(np.isfinite(value) and np.all(np.isfinite(gradient)))
        theory = as_in_theory(case, loss, logits, float(slope), float(true))
        yield {"away": float(away), "slope": float(slope), "true_slope": float(true),
               "finite": finite, **theory}  # fmt: skip


def as_in_theory(case: Case, loss: Loss, logits: np.ndarray, slope: float, true: float) -> Row:
    """Of wrong outputs: whether the slope by reverse mode and its enclosure are the closed form's,
    within 32 units of rounding, and lie within the bounds by exp(-s), s logits below the largest.

    With p the probability of the true class, the slope is 1 - p for cross-entropy; for squared
    error it is p (1 - p)^2 of a sigmoid, and p (1 + sum of all p^2 - 2 p) of a softmax.
    """
    if case["side"] != "wrong" or case["head"] == "identity" or loss == CrossEntropy(fused=False):
        return {}
    powers = np.exp(logits.astype(float))
    all_p = powers / (1 + powers) if case["head"] == "sigmoid" else powers / powers.sum()
    p, decay = all_p[0], np.exp(float(logits[0]))
    if loss == CrossEntropy():
        closed, low, high = 1 - p, 1 - decay, 1.0
    elif case["head"] == "sigmoid":
        closed, low, high = p * (1 - p) ** 2, 0.0, decay
    else:
        closed, low, high = p * (1 + np.sum(all_p**2) - 2 * p), 0.0, 2 * decay
    # Below the smallest normal number a float has no relative precision.
    number = np.finfo(case["dtype"])
    room = 32 * float(number.eps) * closed + float(number.tiny)
    same = all(abs(found - closed) <= room for found in (slope, true))
    return {
        "closed": float(closed),
        "as_in_theory": bool(same and low - room <= slope <= high + room),
    }
