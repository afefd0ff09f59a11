r"""What flows along the edges is text: a graph as short lines, and as LaTeX.

The rows' `text` and `latex` cells are templates; this file fills them in. The invariants: nothing
recurses, the same graph always gives the same text, and every formula is bounded, because what is
large or shared gets a name of its own.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0)
>>> print(text(graph))
graph(x1: float64, x2: float64)
  a = log(x1)
  b = x1 * x2
  c = a + b
  d = sin(x2)
  e = c - d
  return e
>>> print(latex(graph))
\log\left(x_{1}\right) + x_{1} \, x_{2} - \sin\left(x_{2}\right)
"""

from __future__ import annotations

import functools
import itertools
import keyword
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.ir.expr import Expr, Graph, Guard
from difflab.ir.row import ATOM, CONSTANT, INPUT, OPERATOR
from difflab.ir.tree import LEAF, in_key_order, unflatten

# -- text ------------------------------------------------------------------------------------------


class _Bare(str):
    """A name that stands in a tree without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _kind(x: Any) -> str:
    return f"{x.dtype}[{','.join(map(str, x.shape))}]" if x.shape else str(x.dtype)


def literal(array: Any) -> str:
    """A constant: a scalar in full, an array by its kind and first elements."""
    if not array.shape:
        return str(array[()])
    first = ", ".join(str(element) for element in array.ravel()[:3])
    return f"{_kind(array)}{{{first}{', ...' if array.size > 3 else ''}}}"


def _parameters(node: Expr) -> dict[str, Any]:
    """The params as the templates take them."""
    params = dict(node.params)
    shown = "".join(f", {name}={value!r}" for name, value in params.items() if name != "index")
    if "index" in params:
        params["index"] = ", ".join(map(repr, params["index"])) or "()"
        shown = f", index=[{params['index']}]{shown}"
    return params | {"params": shown}


def operation(node: Expr, names: Mapping[Expr, str]) -> str:
    """The text of one node, its operands by name."""
    row, operands = node.primitive, [names[x] for x in node.operands]
    if OPERATOR + 2 < row.precedence < ATOM:
        operands = [f"({name})" if name.startswith("-") else name for name in operands]
    joined, rest = ", ".join(operands), ", ".join(operands[1:])
    return row.text.format(*operands, operands=joined, rest=rest, **_parameters(node))


def widened(graph: Graph) -> set[Expr]:
    """Reshapes that put axes of 1 in front for broadcasting, as np.broadcast_to does itself."""
    found = set()
    for node in graph.operations:
        if node.primitive.shaping == "regroups":
            (x,) = node.operands
            if node.shape == (1,) * (node.ndim - x.ndim) + x.shape:
                found.add(node)
    for node in graph.operations:
        if node.primitive.shaping != "repeats":
            found.difference_update(node.operands)
    return found - {*graph.outputs, *(guard.expr for guard in graph.guards)}


def names_of(graph: Graph) -> dict[Expr, str]:
    """The name of every node: an input's own, a constant's literal, else a, b, ..., z, aa, ..."""
    taken = {*keyword.kwlist, *(dict(x.params)["name"] for x in graph.inputs)}
    words = (
        "".join(letters)
        for length in itertools.count(1)
        for letters in itertools.product(string.ascii_lowercase, repeat=length)
    )
    free = (word for word in words if word not in taken)
    hidden, names = widened(graph), {}
    for node in graph.nodes:
        if node.primitive is INPUT:
            names[node] = str(dict(node.params)["name"])
        elif node.primitive is CONSTANT:
            names[node] = literal(node.value)
        else:
            names[node] = names[node.operands[0]] if node in hidden else next(free)
    return names


def text(graph: Graph) -> str:
    """A graph as short readable text, a line a node.

    >>> from difflab.tracing.trace import trace
    >>> print(text(trace(lambda x, b: x @ x * 0.5 + b if b > 0 else x, np.ones((2, 2)), 3.0)))
    graph(x: float64[2,2], b: float64)
      a = b > 0.0
      c = x @ x
      d = c * 0.5
      e = broadcast_to(b, (2, 2))
      f = d + e
      guard a == True
      return f
    """
    names, hidden = names_of(graph), widened(graph)
    lines = [f"graph({', '.join(f'{names[x]}: {_kind(x)}' for x in graph.inputs)})"]
    for node in graph.operations:
        if node not in hidden:
            lines.append(f"  {names[node]} = {operation(node, names)}")
    for guard in graph.guards:
        lines.append(f"  guard {names[guard.expr]} == {literal(guard.value)}")
    results = [_Bare(names[out]) for out in graph.outputs]
    plain = graph.output_tree is LEAF and len(results) != 1
    tree = in_key_order(graph.output_tree)
    lines.append(f"  return {tuple(results) if plain else unflatten(tree, results)}")
    return "\n".join(lines)


# -- LaTeX -----------------------------------------------------------------------------------------

SHARED_OPERATIONS: Final = 3
"""An expression of more operations than this that is used twice gets a name."""
LONGEST_FORMULA: Final = 30
"""An expression of more operations than this gets a name in any case."""
MOST_LINES: Final = 40
"""Of more lines than this, the middle ones are left out."""
_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau"
    "|upsilon|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega"
)
_ASSOCIATIVE = ("+", r"\,")
_OPENING = ("{", "(", "|", ",", "&", r"{cases}", r"\lfloor", r"\wedge", r"\vee", r"\oplus")
_JUXTAPOSED, _ELEMENTWISE, _INNER = r" \, ", r" \odot ", r" \cdot "


class _Formula(NamedTuple):
    """LaTeX, how tightly it holds together, and how many operations it spells out."""

    text: str
    precedence: float = ATOM
    script: str = ""  # it ends in a subscript or superscript, which cannot be followed by another
    is_open: bool = False  # it would swallow what follows, as a sum does
    operations: int = 0


@functools.cache
def _template(latex: str) -> tuple[list[str], list[str]]:
    """The literal parts of a template and the fields between them."""
    literals, fields = [""], []
    for literal, field, _, _ in string.Formatter().parse(latex):
        literals[-1] += literal
        if field is not None:
            fields.append(field)
            literals.append("")
    return literals, fields


def _escaped(word: str) -> str:
    return re.sub(r"([_%#&$])", r"\\\1", re.sub(r"[\\{}^~]", "", word)).replace(" ", "~")


def _word(word: str) -> str:
    if _GREEK.fullmatch(word):
        return f"\\{word}"
    return word if len(word) <= 1 or word.isdigit() else rf"\mathrm{{{_escaped(word)}}}"


def _symbol(name: str) -> _Formula:
    """An input's name: digits and indices become subscripts."""
    found = re.fullmatch(r"([^\W\d_]+)_?(\d*)((?:\[.*\])?)", name)
    if found is None:
        return _Formula(rf"\mathrm{{{_escaped(name)}}}")
    word, digits, indices = found.groups()
    parts = [digits, *re.findall(r"\['?(.*?)'?\]", indices)]
    below = ", ".join(_word(part) for part in parts if part)
    return _Formula(f"{_word(word)}_{{{below}}}", script="_") if below else _Formula(_word(word))


def _number(value: Any) -> _Formula:
    if isinstance(value, (bool, np.bool_)):
        return _Formula(rf"\text{{{str(bool(value)).lower()}}}")
    shown = str(value).removesuffix(".0")
    precedence = OPERATOR + 2 if shown.startswith("-") else ATOM
    if "e" in shown:
        mantissa, exponent = shown.split("e")
        shown, precedence = rf"{mantissa} \cdot 10^{{{int(exponent)}}}", OPERATOR + 1
    shown = shown.replace("inf", r"\infty").replace("nan", r"\text{nan}")
    return _Formula(shown, precedence)


def _constant(array: Any) -> _Formula:
    if not array.shape:
        return _number(array[()])
    first = [_number(element).text for element in array.ravel()[:3]]
    dots = [r"\dots"] if array.size > 3 else []
    shown = rf"\left[{', '.join(first + dots)}\right]"
    if array.ndim == 1:
        return _Formula(shown)
    shape = r" \times ".join(map(str, array.shape))
    return _Formula(f"{shown}_{{{shape}}}", script="_")


def _operand(x: _Formula, precedence: float, before: str, after: str, first: bool) -> str:
    """An operand, in parentheses where its place in the template asks for them."""
    sign = before.strip()
    negative = x.text.startswith("-") and precedence >= OPERATOR
    if after.startswith(("^", "_")):
        bare = x.precedence == ATOM and (not x.script or x.script + after[0] == "_^")
    elif sign != r"\," and sign.endswith(_OPENING):
        bare = True
    elif first:
        bare = x.precedence >= precedence and not (negative if before else x.is_open)
    elif x.precedence == precedence < ATOM:
        bare = sign in _ASSOCIATIVE and not negative
    else:
        bare = x.precedence >= precedence and not negative
    return x.text if bare else rf"\left({x.text}\right)"


def _listed(operands: Sequence[_Formula]) -> str:
    texts = [x.text for x in operands]
    return ", ".join(texts if len(texts) <= 8 else [*texts[:3], r"\dots", texts[-1]])


def _product(node: Expr) -> str:
    """The sign of a product: none for scalars and matrices, else one that says which."""
    origins = list(node.operands)
    for i, x in enumerate(origins):
        while x.primitive.latex == "{0}":
            (x,) = x.operands
        origins[i] = x
    if node.primitive.kind == "pointwise":
        return _ELEMENTWISE if all(x.size > 1 for x in origins) else _JUXTAPOSED
    return _INNER if all(x.ndim == 1 for x in origins) else _JUXTAPOSED


def _parameter(node: Expr, field: str) -> str:
    params = dict(node.params)
    if field == "over":
        axes = ", ".join(map(str, params["axes"]))
        return rf"_{{\text{{axis }} {axes}}}" if node.shape else ""
    value = params[field]
    if field == "index":
        return ", ".join(map(repr, value))
    return _number(value).text if isinstance(value, float) else _escaped(str(value))


def _formula(node: Expr, known: Mapping[Expr, _Formula]) -> _Formula:
    """A node's template filled with the formulas of its operands."""
    row, operands = node.primitive, [known[x] for x in node.operands]
    if row.latex == "{0}":
        return operands[0]
    literals, fields = _template(row.latex)
    literals, precedence = list(literals), float(row.precedence)
    if _JUXTAPOSED in literals:
        literals[1] = _product(node)
        precedence -= 0.0 if literals[1] == _JUXTAPOSED else 0.5
    pieces = []
    for i, field in enumerate(fields):
        if field.isdigit():
            around = literals[i], literals[i + 1]
            piece = _operand(operands[int(field)], precedence, *around, i == 0)
        elif field in ("operands", "rest"):
            piece = _listed(operands[field == "rest" :])
        else:
            piece = _parameter(node, field)
        dotted = literals[i] == _JUXTAPOSED and piece[0].isdigit()
        pieces += [_INNER if dotted else literals[i], piece]
    script = re.search(r"[\^_](?=\{\{.*\}\}$)", row.latex)
    prefix = literals[0] if not literals[-1] else ""
    ends_open = not literals[-1] and operands[-1].is_open and pieces[-1] == operands[-1].text
    return _Formula(
        "".join([*pieces, literals[-1]]),
        precedence,
        script.group() if script else "",
        ends_open or prefix not in ("", "-"),
        1 + sum(x.operations for x in operands),
    )


def _condition(guard: Guard, formula: _Formula) -> str:
    if guard.value.dtype != bool or guard.value.shape:
        return f"{formula.text} = {_constant(guard.value).text}"
    return formula.text if guard.value else rf"\neg \left({formula.text}\right)"


def latex(graph: Graph) -> str:
    r"""The outputs as LaTeX, for KaTeX and MathJax; one line each where there are several.

    What is large, or used more than once and not small, gets a name in a line of its own; of very
    many lines the middle ones are left out.

    >>> from difflab.tracing.trace import trace
    >>> graph = trace(lambda w, x: np.sqrt(w @ x) / (1 + np.exp(-w[0])), np.ones(2), np.ones(2))
    >>> print(latex(graph))
    \frac{\sqrt{w \cdot x}}{1 + e^{-w_{0}}}
    """
    outputs = dict.fromkeys(graph.outputs)
    uses = Counter(x for node in graph.operations for x in node.operands)
    uses.update([*outputs, *(guard.expr for guard in graph.guards)])
    leaves = [node for node in graph.nodes if not node.operands]
    known = {
        x: _constant(x.value) if x.primitive is CONSTANT else _symbol(dict(x.params)["name"])
        for x in leaves
    }
    initials = {x.text[0] for x in known.values()}
    local, result = (
        [c for c in letters if c not in initials] or ["v"] for letters in ("vuwzst", "fyghrq")
    )
    lines: list[str] = []
    for node in graph.operations:
        found = known[node] = _formula(node, known)
        shared = uses[node] > 1 and found.operations > SHARED_OPERATIONS
        if shared or (found.operations > LONGEST_FORMULA and node not in outputs):
            known[node] = _Formula(f"{local[0]}_{{{len(lines) + 1}}}", script="_")
            lines.append(f"{known[node].text} &= {found.text}")
    for i, out in enumerate(graph.outputs):
        name = result[0] if len(graph.outputs) == 1 else f"{result[0]}_{{{i + 1}}}"
        lines.append(f"{name} &= {known[out].text}")
    for guard in graph.guards:
        lines.append(rf"\text{{where }} & {_condition(guard, known[guard.expr])}")
    if len(lines) == 1:
        return known[graph.outputs[0]].text
    if len(lines) > MOST_LINES:
        lines[MOST_LINES // 2 : -MOST_LINES // 2] = [r"& \dots"]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"
