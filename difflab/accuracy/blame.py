"""Who lost the digits: the search for the first guilty node of the forward and the reverse pass.

What flows: from a result that is wrong, blame goes back along the operands. A node passes it on to
those operands that are wrong themselves and without which it would be right, as a calculation in
balls tells; the node that cannot pass it on is guilty. The invariants: a program whose results are
right has no guilty node, however its intermediate numbers look; and a derivative that vanishes
nearly, so that an ulp of the point changes it as much as its error is, is not called wrong.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: 2 * (1 - np.cos(x)), 1e-9)
>>> fault = first_fault(Audit(graph, [1e-9]))
>>> fault.node.primitive.name, fault.what, fault.where
('subtract', 'digits', 'value')
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from difflab.accuracy.audit import Audit, Index, centre_distance
from difflab.errors import UnsupportedError
from difflab.ir.expr import Array, Expr, constant, evaluate, placeholder, reachable
from difflab.ir.row import CONSTANT
from difflab.readings.balls import enclose_nodes, exact, precision
from difflab.readings.cotangents import pullback

Lost = Literal["digits", "finiteness", "domain"]
Pass = Literal["value", "cotangent"]
Role = Literal["value", "rule", "sum"]
BITS: Final = 256
"""The precision at which a single operation is tried again."""
MOST_ELEMENTS: Final = 64
"""Of this many wrong elements of an operand it is tried which ones matter."""
SPARE: Final = 10.0
"""A derivative may be off by what this many roundings of the point would change."""


class Use(NamedTuple):
    """What a use of a value adds to its cotangent, at one element."""

    user: Expr
    computed: float


@dataclass(frozen=True, eq=False)
class Fault:
    """An element of a node of either pass at which something is lost.

    ``made`` is the node that computes it: the guilty node of the forward pass itself, or a node
    that the reverse pass made of its row's rule, or the sum of its cotangent's parts.
    """

    audit: Audit
    node: Expr
    made: Expr
    index: Index
    role: Role
    wrong: Pass
    """Which result went wrong."""

    @cached_property
    def computed(self) -> float:
        """The float that came out."""
        return float(np.asarray(self.audit.floats[self.made])[self.index])

    @cached_property
    def exact(self) -> Any:
        """The ball of what should have come out."""
        return self.audit.balls[self.made][self.index]

    @property
    def what(self) -> Lost:
        """What is lost: the exact number does not exist, is not finite in floats, or has digits.

        A truth value or an integer that is wrong depends on digits that were rounded off.
        """
        if not self.made.differentiable:
            return "digits"
        if not self.exact.is_finite():
            return "domain"
        return "digits" if math.isfinite(self.computed) else "finiteness"

    @property
    def where(self) -> Pass:
        """In which pass it is lost; a value that no result needs is harmless until the reverse."""
        return "cotangent" if self.role != "value" or self.discarded else "value"

    @cached_property
    def discarded(self) -> tuple[Expr, int] | None:
        """The np.where that discards a value, and in which of its branches this stands.

        None where an output is wrong, where they depend on the value, or where there is none.
        """
        ct = self.audit.flows.cotangents.get(self.node)
        if self.wrong == "value" or self.role == "sum" or ct is None or ct.shape != self.made.shape:
            return None
        if not self.audit.balls[ct][self.index].is_zero():
            return None
        below = {self.node}
        for user in self.audit.graph.operations:
            positions = [i for i, x in enumerate(user.operands) if x in below]
            discards = user.primitive.choice is not None and user.operands[0].dtype == bool
            if positions and positions[-1] > 0 and discards:
                return user, next(i for i in positions if i > 0)
            below |= {user} if positions else set()
        return None

    @property
    def digits(self) -> float:
        """How many digits are lost."""
        return self.audit.digits_lost(self.made, self.audit.errors(self.made)[self.index])

    @cached_property
    def uses(self) -> list[Use]:
        """The parts of the node's cotangent, where their sum is guilty."""
        floats = self.audit.floats
        return [
            Use(user, float(np.asarray(floats[part])[self.index]))
            for (user, position), part in self.audit.flows.parts.items()
            if user.operands[position] is self.node
        ]

    @cached_property
    def condition(self) -> float:
        """The condition number of the operation that went wrong."""
        return sensitivity(self.audit, self.made, self.index).condition

    @cached_property
    def partial(self) -> float:
        """The local partial of the node; of the use that adds most, where a sum is guilty."""
        node = self.node
        if self.role == "sum":
            node = max(self.uses, key=lambda use: abs(use.computed)).user
        index = self.index if len(self.index) == node.ndim else (0,) * node.ndim
        return sensitivity(self.audit, node, index).partial


class Sensitivity(NamedTuple):
    """How an element of a node answers to its operands."""

    partial: float
    """The partial by the operand that matters most."""
    condition: float
    """The sum of |x partial| over all operands' elements, relative to the result."""


def sensitivity(audit: Audit, node: Expr, index: Index) -> Sensitivity:
    """The local partial and the condition number of an element; NaN where they do not exist."""
    if not node.differentiable:
        return Sensitivity(math.nan, math.nan)
    moves = [x.differentiable and x.primitive is not CONSTANT for x in node.operands]
    apart = [
        placeholder(x.shape, x.dtype, "x") if yes else x
        for x, yes in zip(node.operands, moves, strict=True)
    ]
    known = dict(zip(apart, node.operands, strict=True))
    moving = [x for x, yes in zip(apart, moves, strict=True) if yes]
    alone = Expr(node.primitive, tuple(apart), node.params)
    shares = _shares(audit, alone, index, audit.balls[node][index], known, moving)
    if not shares:
        return Sensitivity(math.nan, math.nan)
    _, partial = max(shares, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0])
    return Sensitivity(partial, sum(share for share, _ in shares))


def _shares(
    audit: Audit,
    node: Expr,
    index: Index,
    true: Any,
    known: Mapping[Expr, Expr],
    moving: Sequence[Expr],
) -> list[tuple[float, float]]:
    """For every number that an element moves with: |x slope| relative to the element, and the slope
    (in floats where it is not finite). What is known stands for nodes of the program.
    """
    one = np.zeros(node.shape, node.dtype)
    one[index] = 1.0
    try:
        slopes = pullback([node], [constant(one)], moving)
    except UnsupportedError:
        return []
    flowing = {x: slope for x, slope in zip(moving, slopes, strict=True) if slope is not None}
    balls = {new: audit.balls[x] for new, x in known.items()}
    floats = {new: audit.floats[x] for new, x in known.items()}
    enclose_nodes(flowing.values(), balls, BITS)
    evaluate(flowing.values(), floats)
    found = []
    with precision(BITS):
        for x, slope in flowing.items():
            rows = zip(balls[slope].flat, balls[x].flat, np.ravel(floats[slope]), strict=True)
            for ball, size, computed in rows:
                partial = _float(ball) if math.isfinite(_float(ball)) else float(computed)
                found.append((_float(abs(ball * size) / abs(true)), partial))
    return found


def _float(ball: Any) -> float:
    return float(ball) if ball.is_finite() else math.nan


# -- the search ------------------------------------------------------------------------------------


def first_fault(audit: Audit) -> Fault | None:
    """The first fault, in the order of execution, at which a wrong result went wrong.

    Parameters
    ----------
    audit
        A program at a point. Its outputs are looked at first; if they are right, its derivatives.
    """
    result: Pass = "value"
    roots = _roots(audit, _wrong(audit, audit.graph.outputs))
    if not roots:
        result = "cotangent"
        wrong = _wrong(audit, audit.gradients.values())
        roots = _roots(audit, (at for at in wrong if not _vanishes(audit, *at)))
    if not roots:
        return None
    owners = _owners(audit)
    made, index = min(roots, key=lambda root: owners[root[0]][0])
    _, node, role = owners[made]
    return Fault(audit, node, made, index, role, result)


def _wrong(audit: Audit, results: Iterable[Expr]) -> Iterator[tuple[Expr, Index]]:
    """The worst element of every result that has lost more than it may."""
    for node in results:
        errors = audit.result_errors(node)
        if np.any(errors > audit.limit(node)):
            yield node, audit.worst_element(errors)


def _vanishes(audit: Audit, ct: Expr, index: Index) -> bool:
    """Whether a derivative is so close to 0 that an ulp of the point changes it by its error."""
    error, true = float(audit.errors(ct)[index]), audit.balls[ct][index]
    if not math.isfinite(error) or not true.is_finite():
        return False
    known = {x: x for x in audit.graph.inputs}
    moving = [x for x in known if x.differentiable]
    moved = sum(share for share, _ in _shares(audit, ct, index, true, known, moving))
    return bool(error <= SPARE * audit.units[ct] * moved)


def _roots(audit: Audit, wrong: Iterable[tuple[Expr, Index]]) -> list[tuple[Expr, Index]]:
    """Where blame ends."""
    stack, seen, found = list(wrong), set(), []
    while stack:
        node, index = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        passed = list(_blamed(audit, node, index))
        stack += passed
        if not passed:
            found.append((node, index))
    return found


def _blamed(audit: Audit, node: Expr, index: Index) -> Iterator[tuple[Expr, Index]]:
    """The operands' elements, wrong themselves, without which this element would be right."""
    found = {x: _wrong_elements(audit, x) for x in node.operands}
    wrong = {x: elements for x, elements in found.items() if elements}
    if not wrong:
        return
    if node.differentiable and not audit.balls[node][index].is_finite():
        for x, elements in wrong.items():  # nothing is right: follow what is not either
            if x.differentiable:
                undefined = [at for at in elements if not audit.balls[x][at].is_finite()]
                yield from [(x, index if x.shape == node.shape else at) for at in undefined[:1]]
        return
    if not _is_right(audit, node, index, {}):
        return  # wrong even where these are exact
    alone = []
    for x, elements in wrong.items():
        here = index if x.shape == node.shape else ()
        pointwise = node.primitive.kind == "pointwise"
        matter = [at for at in elements if at == here or not pointwise][:MOST_ELEMENTS]
        alone += [(x, at) for at in matter if not _is_right(audit, node, index, {x: at})]
    together = [(x, elements[0]) for x, elements in wrong.items()]
    yield from dict(reversed(alone or together)).items()


def _wrong_elements(audit: Audit, x: Expr) -> list[Index]:
    errors = audit.errors(x)
    wrong = [tuple(int(i) for i in at) for at in np.argwhere(errors > audit.limit(x))]
    return sorted(wrong, key=lambda at: -float(errors[at]))


def _is_right(audit: Audit, node: Expr, index: Index, kept: dict[Expr, Index]) -> bool:
    """Whether an element would be right if its wrong operands were exact, but for those kept."""
    known: dict[Expr, Array] = {}
    for x in dict.fromkeys(node.operands):
        known[x] = exact(audit.floats[x])
        if known[x].dtype == bool:
            known[x] = known[x].astype(object)  # a truth value may be open in balls
        for at in _wrong_elements(audit, x):
            if kept.get(x) != at:
                known[x][at] = audit.balls[x][at]
    enclose_nodes([node], known, BITS)
    found, true = known[node][index], audit.balls[node][index]
    if not node.differentiable:
        return bool(found == true)
    if not found.is_finite():
        return False
    with precision(BITS):
        return centre_distance(found, true) <= audit.limit(node)


def _owners(audit: Audit) -> dict[Expr, tuple[int, Expr, Role]]:
    """To which step of the two passes, and to which node of the graph, their nodes belong."""
    nodes, flows = audit.graph.nodes, audit.flows
    found: dict[Expr, tuple[int, Expr, Role]] = {
        node: (step, node, "value") for step, node in enumerate(nodes)
    }
    by_user: dict[Expr, list[Expr]] = {}
    for (user, _), part in flows.parts.items():
        by_user.setdefault(user, []).append(part)
    for step, (node, ct) in enumerate(flows.cotangents.items(), len(nodes)):
        groups: list[tuple[Role, list[Expr]]] = [("sum", [ct]), ("rule", by_user.get(node, []))]
        for role, results in groups:
            for made in reachable(results, found):
                found.setdefault(made, (step, node, role))
    return found
