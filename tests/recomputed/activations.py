"""The derived table of the experiment `activations`, written again in plain pandas."""

from __future__ import annotations

import pandas as pd


def derived(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How many times the updates of depth 2 a deeper network needs, by run."""
    own = rows.query("part == 'training' and goal == 'speed' and start in ['he', 'glorot']")
    at = own.set_index(["set", "seed", "activation", "depth"])["reached"].unstack("depth")
    found = []
    for depth in (column for column in at if column > 2):
        trained = own.loc[own["depth"] == depth, "set"].unique()  # NaN there: it never arrived
        slowdown = (at[depth] / at[2]).rename("slowdown").loc[list(trained)].reset_index()
        slowdown["place"] = slowdown["set"] + f", {depth:.0f} layers over 2"
        found.append(slowdown)
    table = pd.concat(found) if found else pd.DataFrame()
    return dict.fromkeys(
        ("relu_gains_on_tanh_with_depth", "relu_gains_on_sigmoid_with_depth"), table
    )
