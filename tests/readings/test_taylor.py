"""The series that rules give and that germs have, in balls: two ways to one thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flint import arb

import difflab.readings.germ_functions  # noqa: F401 (registers them)
from difflab.ir.row import TABLE, Primitive, Unsupported
from difflab.readings import balls
from difflab.readings.germ_series import resolution
from difflab.readings.germs import Germ
from difflab.readings.taylor import Arithmetic, Expansion
from tests.laws.laws import applied
from tests.laws.samples import Sample, samples

TERMS = 6
BITS = 400


def _exact(number: Any) -> Any:
    return balls.exact(np.asarray(number))


def _boxed(x: Any) -> Any:
    """What arithmetic on arrays of shape () leaves bare, in an array again."""
    return np.array(x, object) if isinstance(x, arb) else x


IN_BALLS = Arithmetic(
    lambda node, operands: balls.read(node, list(map(_boxed, operands))),
    lambda x: _exact(np.zeros(x.shape)),
    lambda x: _exact(np.ones(x.shape)),
)


def _is_smooth(row: Primitive) -> bool:
    return (
        row.kind == "pointwise"
        and row.kink is None
        and not isinstance(row.ball, Unsupported)
        and not isinstance(row.derivative, Unsupported)
        and all(x.dtype.kind == "f" for x in samples(row, ())[0].operands)
        and applied(row, samples(row, ())[0]).outputs[0].dtype.kind == "f"
    )


def _by_rules(row: Primitive, sample: Sample) -> list[Any]:
    graph = applied(row, sample)
    expansion = Expansion(graph.outputs, graph.inputs, TERMS - 1)
    values = {x: _exact(v) for x, v in zip(graph.inputs, sample.operands, strict=True)}
    (found,) = expansion(values, [_exact(1.0)] * len(graph.inputs), IN_BALLS)
    return [np.asarray(c, object).item() for c in found]


def _by_germs(row: Primitive, sample: Sample) -> list[Any]:
    operands = [Germ.parameter() + arb(float(x)) for x in sample.operands]
    rule, params = row.ball, dict(sample.params)
    first, *rest = operands
    found = getattr(first, rule)(*rest) if isinstance(rule, str) else rule(*operands, **params)  # type: ignore[operator]
    assert not found.bad, found
    return [found.terms.get((k, 0), arb(0)) for k in range(TERMS - 1)]


@pytest.mark.parametrize("row", [r for r in TABLE.values() if _is_smooth(r)], ids=lambda r: r.name)
def test_rules_and_germs_have_one_series(row: Primitive) -> None:
    for sample in samples(row, ())[:3]:
        with balls.precision(BITS):
            rules = _by_rules(row, sample)
        with resolution(BITS, TERMS + 2):
            germs = _by_germs(row, sample)
        for k, (a, b) in enumerate(zip(rules, germs, strict=False)):
            a, b = arb(a), arb(b)
            assert a.overlaps(b), (k, a, b)
            assert float(a.rad()) < 1e-20 * max(1.0, float(abs(a.mid()))), (k, a)
