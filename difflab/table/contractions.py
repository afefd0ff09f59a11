"""Einstein's summation by products of matrices.

What flows: subscripts and operands come in, as `einsum` takes them; one matmul or one product
between transposes and reshapes comes out, and pairs where there are more operands than two. The
letters of a pair are of four kinds: both operands and the result have those of the batch, one
operand and the result those on the left or on the right, and both operands alone those that are
summed. The invariant: the sums are of the same products, in another order at most. This is plain
NumPy text: on arrays it computes, on nodes it builds.

>>> a, b = np.ones((2, 3)), np.ones((3, 4))
>>> paired("ij,jk->ki", a, b).shape
(4, 2)
>>> list(pairs("ij,jk,k->i", [(9, 9), (9, 9), (9,)]))
[((1, 2), 'jk,k->j'), ((0, 1), 'ij,j->i')]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from difflab.ir.row import Shape

FEW_OPERANDS: Final = 5
"""Up to which all orders are compared."""
FEW: Final = 32
"""Terms of a sum up to which stacks of vectors are multiplied as fast by `einsum` itself."""


def pairs(subscripts: str, shapes: Sequence[Shape]) -> Iterator[tuple[tuple[int, int], str]]:
    """The order that takes the fewest operations: which two operands come next, and how; they go,
    and their product is the last one.
    """
    inputs, output = subscripts.split("->")
    words = inputs.split(",")
    likes = [np.broadcast_to(0.0, shape) for shape in shapes]
    search = "optimal" if len(words) <= FEW_OPERANDS else "greedy"
    path, _ = np.einsum_path(subscripts, *likes, optimize=search)
    for step in path[1:]:
        drawn = sorted(step)
        while len(drawn) > 1:
            i, j = drawn[:2]
            rest = [word for k, word in enumerate(words) if k not in (i, j)]
            kept = output if not rest else _together(words[i], words[j], {*output, *"".join(rest)})
            yield (i, j), f"{words[i]},{words[j]}->{kept}"
            words = [*rest, kept]
            drawn = [*[k - 2 for k in drawn[2:]], len(words) - 1]


def _together(a: str, b: str, wanted: set[str]) -> str:
    """The letters of a product: those of both operands first."""
    both = [x for x in a if x in b]
    return "".join(x for x in dict.fromkeys([*both, *a, *b]) if x in wanted)


def paired(subscripts: str, a: Any, b: Any) -> Any:
    """The einsum of two operands, or None where `einsum` itself is as fast."""
    inputs, output = subscripts.split("->")
    first, second = inputs.split(",")
    lengths = dict(zip(first, a.shape, strict=True)) | dict(zip(second, b.shape, strict=True))
    summed = [x for x in first if x not in output]
    if not summed:
        return _placed(a, first, output) * _placed(b, second, output)
    batch = [x for x in output if x in first and x in second]
    left = [x for x in first if x not in second]
    right = [x for x in second if x not in first]
    if right and left and output.index(right[0]) < output.index(left[0]):
        return paired(f"{second},{first}->{output}", b, a)

    def size(letters: Sequence[str]) -> int:
        return math.prod(lengths[x] for x in letters)

    if batch and min(size(left), size(right)) == 1 and size(summed) <= FEW:
        return None
    if size(right) > size(left):  # the larger operand is read in the order in which it lies
        summed = [x for x in second if x in summed]
    rows = _grouped(a, first, [*batch, "".join(left), "".join(summed)])
    columns = _grouped(b, second, [*batch, "".join(summed), "".join(right)])
    found = np.reshape(rows @ columns, tuple(lengths[x] for x in (*batch, *left, *right)))
    return np.transpose(found, [[*batch, *left, *right].index(x) for x in output])


def _grouped(x: Any, word: str, groups: Sequence[str]) -> Any:
    """With an axis a group of letters: a view, where each group's letters stand together."""
    lengths = dict(zip(word, x.shape, strict=True))
    sizes = {group: math.prod(lengths[letter] for letter in group) for group in groups}
    parts, wanted = sorted(filter(None, groups), key=word.find), [*filter(None, groups)]
    if "".join(parts) == word:
        x = np.reshape(x, tuple(sizes[part] for part in parts))
    else:
        parts, wanted = [*word], [*"".join(groups)]
    turned = np.transpose(x, [parts.index(part) for part in wanted])
    return np.reshape(turned, tuple(sizes[group] for group in groups))


def _placed(x: Any, word: str, output: str) -> Any:
    """With an axis for every letter of the output, of length 1 where it has not the letter."""
    lengths = dict(zip(word, x.shape, strict=True))
    turned = np.transpose(x, [word.index(letter) for letter in output if letter in word])
    return np.reshape(turned, tuple(lengths.get(letter, 1) for letter in output))
