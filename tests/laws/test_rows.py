"""Laws x rows: every law holds for every row of the table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from difflab.ir.row import TABLE, Primitive

from .cells import CELLS
from .laws import LAWS
from .samples import samples


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
@pytest.mark.parametrize("law", (*LAWS, *CELLS), ids=lambda law: law.__name__)
def test_law(law: Callable[[Primitive], None], row: Primitive) -> None:
    law(row)


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_row_has_samples(row: Primitive) -> None:
    assert samples(row)
