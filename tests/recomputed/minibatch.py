"""What `minibatch` derives from its rows, once more in plain pandas."""

from __future__ import annotations

import pandas as pd


def derived(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By claim: a table with a ratio for each data set, n and seed."""
    last = rows[(rows["part"] == "training") & (rows["last"] == True)]  # noqa: E712
    table = last.pivot(index=["data", "n", "seed"], columns="batch", values="reached")
    saving = (table[0] / table[16]).rename("saving").reset_index()
    return {"minibatches_for_big_data": saving}
