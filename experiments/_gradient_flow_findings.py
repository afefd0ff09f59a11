"""What the experiment `gradient_flow` says of its claims: rows in, evidence out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from _gradient_flow_page import CLOSE, FIRST_LAYERS, IDENTITY_BITS
from apparatus.gradient_flow_theory import ACTIVATIONS, CLOSED, INITIALISERS, closed_form
from apparatus.learning import paired_ratio, share

from difflab.lab import Evidence, Interval, bootstrap_interval

FAR = 10.0
"""Beyond this the slope of log g' is held against its limit; there 1 + exp(-x) is 1 + 5e-5."""


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        *closed_forms(rows),
        *vanishing(rows),
        *[layer_values(rows, name) for name in ("uniform", "glorot")],
        *[far_from_zero(rows, name) for name in ("sigmoid", "tanh")],
        constant_slope(rows),
        same_function(rows),
        zero_centred(rows),
    ]


def widest(rows: pd.DataFrame) -> pd.DataFrame:
    """Networks of the largest width, on either data set."""
    return rows[(rows["kind"] == "network") & rows["widest"].eq(True)]


def mean_factor(values: pd.Series, over: float = 1.0) -> Interval:
    """The geometric mean of networks' factors per layer, relative to theory."""
    found = bootstrap_interval(np.log(values / over), statistic=np.mean)
    return Interval(*np.exp(found[:3]).tolist(), found.n)


def by_configuration(
    rows: pd.DataFrame, pairs: Sequence[tuple[str, str]], theory: Callable[[pd.DataFrame], float]
) -> list[Interval]:
    """Measured over theory on each data set, the farthest from 1 first."""
    own = widest(rows)
    found = [
        mean_factor(group["factor"], theory(group))
        for pair, group in own.groupby(["activation", "initialiser", "data"])
        if pair[:2] in pairs
    ]
    return sorted(found, key=lambda interval: -abs(math.log(interval.estimate)))


def closed_forms(rows: pd.DataFrame) -> list[Evidence]:
    def closed(group: pd.DataFrame) -> float:
        return closed_form(group["activation"].iloc[0], group["initialiser"].iloc[0])

    def field(group: pd.DataFrame) -> float:
        return math.exp(np.log(group["mean_field"]).mean())

    loose = ("sigmoid", "glorot")
    everything = [(a, i) for a in ACTIVATIONS for i in INITIALISERS]
    asked = [
        ("closed_form_factors", [pair for pair in CLOSED if pair != loose], closed),
        ("closed_form_sigmoid_glorot", [loose], closed),
        ("mean_field_factors", everything, field),
    ]
    own = widest(rows)
    shape = f"{own['width'].max():.0f} units wide and {own['depth'].max():.0f} layers deep"
    evidence = []
    for claim, pairs, theory in asked:
        worst, *others = by_configuration(rows, pairs, theory)
        farthest = abs(worst.estimate - 1)
        words = (
            f"measured over theory is {worst} in the worst of {1 + len(others)} cells"
            f" ({len(pairs)} of activation and initialisation, on digits and MNIST-1D, {shape},"
            f" {worst.n} networks each): off by {farthest:.1%}"
        )
        evidence.append(Evidence(claim, worst, words, also=others))
    return evidence


def vanishing(rows: pd.DataFrame) -> list[Evidence]:
    own = widest(rows)

    def cell(activation: str, initialiser: str) -> Interval:
        chosen = own[(own["activation"] == activation) & (own["initialiser"] == initialiser)]
        return mean_factor(chosen.groupby("seed")["factor"].mean())

    found = {(a, i): cell(a, i) for a in ACTIVATIONS for i in INITIALISERS}
    depth = int(own["depth"].max()) - 1
    through = {pair: interval.estimate**depth for pair, interval in found.items()}
    return [
        Evidence(
            "sigmoid_gradients_vanish",
            found["sigmoid", "he"],
            f"each layer multiplies the gradient by {found['sigmoid', 'glorot']} with Glorot,"
            f" {found['sigmoid', 'uniform'].estimate:.3f} with U and, at most,"
            f" {found['sigmoid', 'he']} with He; {depth} layers leave"
            f" {through['sigmoid', 'he']:.0e} of it even then",
            also=[found["sigmoid", "glorot"], found["sigmoid", "uniform"]],
        ),
        Evidence(
            "tanh_gradients_vanish",
            found["tanh", "glorot"],
            f"each layer multiplies the gradient by {found['tanh', 'uniform'].estimate:.3f} with U,"
            f" which leaves {through['tanh', 'uniform']:.0e} after {depth} layers, but by"
            f" {found['tanh', 'glorot']} with Glorot, which leaves"
            f" {through['tanh', 'glorot']:.2g}, as a power of depth; with He it is"
            f" {found['tanh', 'he']}, and gradients grow",
            also=[found["tanh", "uniform"]],
        ),
        Evidence(
            "relu_gradients_stay",
            found["relu", "he"],
            f"each layer multiplies the gradient by {found['relu', 'he']} with He; with Glorot it"
            f" is {found['relu', 'glorot'].estimate:.3f} and with U"
            f" {found['relu', 'uniform'].estimate:.3f}, which leave"
            f" {through['relu', 'glorot']:.0e} and {through['relu', 'uniform']:.0e} after"
            f" {depth} layers: without its initialisation the ReLU's gradients vanish too",
        ),
    ]


def layer_values(rows: pd.DataFrame, initialiser: str) -> Evidence:
    own = rows[(rows["part"] == "jacobian") & (rows["activation"] == "tanh")]
    own = own[own["initialiser"] == initialiser]
    by_seed = own.groupby("seed")["mean_value"].mean()
    interval = bootstrap_interval(by_seed, statistic=np.mean)
    by_layer = own.groupby("layer")["mean_value"].mean()
    claim = {"uniform": "singular_values_standard", "glorot": "singular_values_normalised"}
    return Evidence(
        claim[initialiser],
        interval,
        f"{interval}, the mean over {own['layer'].nunique():.0f} layers of {len(by_seed)} networks"
        f" of {own['width'].max():.0f} units; by layer {by_layer.min():.2f} to"
        f" {by_layer.max():.2f}, {'rising' if by_layer.is_monotonic_increasing else 'mixed'}",
    )


def local_slopes(own: pd.DataFrame) -> pd.Series:
    """The change of log g' by |x| between neighbours, far from 0 and above underflow."""
    kept = own[(own["x"].abs() >= FAR) & (own["slope"] >= np.finfo(np.float64).tiny)]
    found = []
    for _, side in kept.groupby(kept["x"] > 0):
        side = side.sort_values("x", key=np.abs)
        found.append(np.log(side["slope"]).diff() / side["x"].abs().diff())
    return pd.concat(found).dropna()


def far_from_zero(rows: pd.DataFrame, activation: str) -> Evidence:
    own = rows[(rows["part"] == "tails") & (rows["activation"] == activation)]
    slopes = local_slopes(own)
    interval = bootstrap_interval(slopes, statistic=np.mean)
    gone = own.loc[own["slope"] == 0, "x"].abs().min()
    last = own.loc[own["slope"] > 0, "x"].abs().max()
    wrong = int(((own["slope"] == 0) != (own["truth"] == 0)).sum())
    return Evidence(
        f"{activation}_saturates",
        interval,
        f"log |g'| changes by {interval} per unit of |x| beyond {FAR:g} (n ="
        f" {len(slopes)} pairs of neighbours). The derivative by AD is within"
        f" {own['ulps'].max():.1f} ulps of the truth; it is a number up to |x| = {last:.0f} and 0"
        f" from {gone:.0f} on, where the truth rounds to 0 as well"
        + (f", except at {wrong} points" if wrong else ""),
    )


def constant_slope(rows: pd.DataFrame) -> Evidence:
    own = rows[(rows["part"] == "tails") & (rows["activation"] == "relu")]
    right = own[own["x"] > 0]
    holds = right["slope"] == 1.0
    left = int((own.loc[own["x"] < 0, "slope"] == 0.0).sum())
    return Evidence(
        "relu_does_not_saturate",
        share(holds),
        f"the derivative is exactly 1 at {holds.sum()} of {len(right)} points x > 0 up to"
        f" {right['x'].max():.0f}, and exactly 0 at {left} of {len(own) - len(right)} points x < 0",
    )


def same_function(rows: pd.DataFrame) -> Evidence:
    own = rows[rows["part"] == "identity"]
    same = own["same"].astype(bool)
    lost = own.loc[own["ulps"] > CLOSE, "x"].abs()
    return Evidence(
        "tanh_is_a_shifted_sigmoid",
        share(same),
        f"as real numbers both agree to {53 + IDENTITY_BITS} bits at {same.sum()} of {len(same)}"
        f" points across the exponents of float64. As programs they differ: 2 sigmoid(2x) - 1 is"
        f" off by up to {own['ulps'].max():.1e} ulps, by more than {CLOSE:g} only where |x| <"
        f" {lost.max():.2g}; `np.tanh` by up to {own['tanh_ulps'].max():.1f}",
    )


def zero_centred(rows: pd.DataFrame) -> Evidence:
    own = widest(rows)
    own = own[own["initialiser"] == "glorot"]
    by_seed = own.groupby(["activation", "seed"])[["offset", "offset_share"]].mean()
    ratio = paired_ratio(by_seed.loc["sigmoid", "offset"], by_seed.loc["tanh", "offset"])
    means = by_seed.groupby("activation").mean()
    return Evidence(
        "tanh_is_zero_centred",
        ratio,
        f"a sigmoid's mean output over the instances is {means.loc['sigmoid', 'offset']:.2f} from"
        f" 0, tanh's {means.loc['tanh', 'offset']:.2f} (root mean square over units of the first"
        f" {FIRST_LAYERS} layers, Glorot): {ratio} times as far, paired by seed. In shares of the"
        f" outputs' size it is {means.loc['sigmoid', 'offset_share']:.2f} against"
        f" {means.loc['tanh', 'offset_share']:.2f}",
    )
