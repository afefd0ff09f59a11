"""Figures that a notebook shows, whether or not pyplot has been imported.

>>> Drawing(figsize=(1.0, 1.0))._repr_png_()[1:4]
b'PNG'
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Drawing(Figure):
    """A Matplotlib figure, which shows itself in notebooks."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png")
        return data.getvalue()
