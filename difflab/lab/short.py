"""How the lab's objects show themselves at a prompt: by their kind and their first field."""

from __future__ import annotations


class Short:
    """A dataclass that is made with ``repr=False``.

    >>> from difflab.lab import Code
    >>> Code("a = 1", caption="a long one")
    Code('a = 1')
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({repr(next(iter(vars(self).values())))[:80]})"
