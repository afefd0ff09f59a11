"""THE TABLE: each operation once, a file a kind."""

import difflab.table.primitives  # noqa: F401 (enters the rows)
