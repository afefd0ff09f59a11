"""What the experiment `dead_units` says of its claims: rows in, evidence out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _dead_units_page import DATA, FEATURES, best_rates, cells, finished, last_looks, layers
from apparatus.learning import share

from difflab.lab import Evidence, Interval, bootstrap_interval, proportion_interval


def findings(rows: pd.DataFrame) -> list[Evidence]:
    relu = rows[(rows["part"] == "training") & (rows["activation"] == "relu")]
    leaky = rows[(rows["part"] == "training") & (rows["activation"] == "leaky_relu")]
    return [
        no_gradient(relu),
        many_die(rows),
        best_rates_spare(rows),
        stay_dead("dead_units_stay_dead", relu),
        stay_dead("first_layer_stays_dead", relu[relu["layer"] == 1]),
        leak(leaky, relu),
        below_bound(rows),
        at_bound(rows),
    ]


def proportion(count: float, n: float) -> Interval | None:
    """Wilson's interval, or None of nothing."""
    return proportion_interval(int(count), int(n)) if n else None


def no_gradient(relu: pd.DataFrame) -> Evidence:
    relu = finished(relu)
    dead, moved = relu["dead"].sum(), relu["dead_with_gradient"].sum()
    cut_off = relu["no_gradient"].sum() - dead + moved
    return Evidence(
        "dead_units_get_no_gradient",
        proportion(dead - moved, dead),
        f"reverse mode gives a gradient of exactly 0 over the whole training set in"
        f" {dead - moved:.0f} of {dead:.0f} sightings of a dead unit; {cut_off:.0f} units that are"
        " not dead get none either, because a whole layer after them is",
    )


def dead_shares(rows: pd.DataFrame) -> pd.Series:
    """By features, depth, rate and seed: the share of ReLUs that are dead at the end."""
    own = last_looks(rows[rows["part"] == "training"])
    own = own[own["activation"] == "relu"]
    sums = own.groupby(["centred", "depth", "rate", "seed"])[["dead", "units"]].sum()
    return sums["dead"] / sums["units"]


def many_die(rows: pd.DataFrame) -> Evidence:
    """Half of the seeds choose where most units die, the others say how many do."""
    shares = dead_shares(rows)
    seeds = np.sort(rows["seed"].dropna().unique())
    choosing = shares[shares.index.get_level_values("seed").isin(seeds[: len(seeds) // 2])]
    cell = choosing.groupby(["centred", "depth", "rate"]).mean().idxmax()
    judged = shares.loc[cell].loc[lambda own: own.index.isin(seeds[len(seeds) // 2 :])]
    interval = bootstrap_interval(judged, statistic=np.mean) if len(judged) else None
    own = last_looks(rows[rows["part"] == "training"])
    there = own[own[["centred", "depth", "rate"]].eq(list(cell)).all(axis=1)]
    centred = shares.loc[True].groupby(["depth", "rate"]).mean()
    return Evidence(
        "high_rates_kill",
        interval,
        f"most units die with features {FEATURES[bool(cell[0])]}, {layers(cell[1])} and rate"
        f" {cell[2]:g} (chosen by half of the seeds): {interval} in the n = {len(judged)} runs of"
        f" the others, whose validation error is {there['held_error'].mean():.0%}. With centred"
        f" features the largest mean share of any rate is"
        f" {centred.max():.0%} ({layers(centred.idxmax()[0])}, rate {centred.idxmax()[1]:g})",
    )


def best_rates_spare(rows: pd.DataFrame) -> Evidence:
    shares = dead_shares(rows)
    best = best_rates(rows)
    found = {}
    for (activation, centred, depth), rate in best.items():
        if activation == "relu":
            own = shares.loc[(centred, depth, rate)]
            found[(centred, depth)] = bootstrap_interval(own, statistic=np.mean)
    worst = max(found, key=lambda cell: found[cell].high)
    words = "; ".join(
        f"{FEATURES[bool(centred)]}, {layers(depth)}: {interval.estimate:.1%}"
        f" (rate {best['relu', centred, depth]:g})"
        for (centred, depth), interval in found.items()
    )
    return Evidence(
        "best_rates_spare_units",
        found[worst],
        f"mean shares at the rate of the least validation error: {words}",
        also=[interval for cell, interval in found.items() if cell != worst],
    )


def stay_dead(claim: str, relu: pd.DataFrame) -> Evidence:
    own = last_looks(relu)
    were, back = own["were_dead"].sum(), own["back"].sum()
    centred = own.loc[own["centred"].eq(True) & (own["layer"] == 1), "were_dead"].sum()
    by_layer = own.groupby("layer")[["back", "were_dead"]].sum()
    words = ", ".join(
        f"{row.back:.0f} of {row.were_dead:.0f} in layer {row.Index:.0f}"
        for row in by_layer.itertuples()
    )
    return Evidence(
        claim,
        proportion(were - back, were),
        f"of {were:.0f} units that were dead at an earlier look, {back:.0f} are alive at the end"
        f" ({words}; of those in layer 1, {centred:.0f} with centred features)",
    )


def leak(leaky: pd.DataFrame, relu: pd.DataFrame) -> Evidence:
    units, none = finished(leaky)["units"].sum(), finished(leaky)["no_gradient"].sum()
    silent = finished(leaky)["dead"].sum()
    relu = relu[relu["centred"].eq(True)]
    back = {
        name: last_looks(own)[["back", "were_dead"]].sum()
        for name, own in (("leaky", leaky), ("relu", relu))
    }
    words = " against ".join(
        f"{own['back']:.0f} of {own['were_dead']:.0f}" for own in back.values()
    )
    return Evidence(
        "leaky_units_keep_a_gradient",
        proportion(units - none, units),
        f"{none:.0f} of {units:.0f} sightings of a leaky unit have no gradient, although"
        f" {silent:.0f} are at most 0 on every instance; of those that were, {words} (ReLU,"
        " centred features too) are"
        " above 0 again at the end",
    )


def below_bound(rows: pd.DataFrame) -> Evidence:
    own = cells(rows)
    confidence = 1 - 0.05 / len(own)
    above = [
        proportion_interval(row.dead_every, row.networks, confidence=confidence).low > row.bound
        for row in own.itertuples()
    ]
    data = own[own["inputs"] == DATA]
    nearest = data["p_every"].sum() / data["bound"].sum()
    return Evidence(
        "born_dead_bound",
        share(~pd.Series(above)),
        f"the probability exceeds the bound surely (95 % for all cells together) in {sum(above)} of"
        f" {len(own)} cells of inputs, width and depth, {own['networks'].max():.0f} networks each;"
        f" on digits it is {nearest:.0%} of the bound on average",
    )


def at_bound(rows: pd.DataFrame) -> Evidence:
    own = cells(rows)
    ratio = own.groupby(["inputs", "width"])[["p_first", "bound"]].sum()
    interval = bootstrap_interval(ratio["p_first"], over=ratio["bound"], statistic=np.mean)
    farthest = (own["p_first"] - own["bound"]).abs().max()
    return Evidence(
        "born_dead_for_one_input",
        interval,
        f"measured over theory is {interval}, a mean over {len(ratio)} sets of networks of one"
        f" width; no cell of {len(own)} is farther off than {farthest:.3f}",
    )
