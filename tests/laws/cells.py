"""The laws of the small cells: what a row says of views, choices, order and rounding is so."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from flint import arb

from difflab.accuracy.digits import is_gradable, points
from difflab.engines.native.kinds import KINDS
from difflab.engines.native.machine import why_not
from difflab.engines.native.mathematics import vector_rule
from difflab.ir.row import Pair, Partials, Primitive, Transpose, Unsupported
from difflab.readings.balls import EVERY_BIT, enclose_nodes, exact, precision
from difflab.readings.rounding import ulp

from ..engines.native.elementwise import compiled
from .laws import applied, differentiable_samples
from .samples import Sample, samples


def _value(row: Primitive, sample: Sample) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(row.evaluate(*sample.operands, **dict(sample.params)))


def views(row: Primitive) -> None:
    """A row is a view where NumPy's result shows the operand's memory, and only there."""
    for sample in samples(row):
        value = _value(row, sample)
        found = np.shares_memory(value, sample.operands[0])
        numbers = row.kind == "pointwise" or not value.shape  # of which NumPy makes scalars
        assert found == row.view or numbers, f"{sample}: shares memory: {found}"


def shapes_alone(row: Primitive) -> None:
    """What changes the shape alone keeps a number that number, and has as many or more elements."""
    for sample in samples(row):
        if row.shaping:
            same = Sample((np.full_like(sample.operands[0], 0.7),), sample.params)
            assert np.all(_value(row, same) == 0.7), f"{sample}"
        if row.shaping == "regroups":
            assert _value(row, sample).size == sample.operands[0].size


def elements(row: Primitive) -> None:
    """Elements that are moved all get a whole cotangent; those that are selected, one or none."""
    if row.elements not in ("moved", "selected"):
        return
    assert isinstance(row.derivative, Transpose)
    for sample in samples(row):
        ones = np.ones_like(_value(row, sample))
        params = dict(sample.params)
        parts = row.derivative.rule(ones, *sample.operands, **params)
        for part in (np.asarray(part) for part in parts if part is not None):
            assert np.all(part != 0.0) or row.elements == "selected", f"{sample}: {part}"


def indices(row: Primitive) -> None:
    """Operands after the first address the leading axes where the row says so, and only there."""
    for sample in samples(row):
        _, *rest = sample.operands
        integers = bool(rest) and all(x.dtype.kind == "i" for x in rest)
        assert integers == row.indexed, f"{sample}"


def commutes(row: Primitive) -> None:
    """Two operands may change places where the row says so, and only there."""
    if row.kind != "pointwise" or len(row.domain) != 2 or not is_gradable(row):
        assert not row.commutative
        return
    turned = (Sample(sample.operands[::-1], sample.params) for sample in samples(row))
    pairs = zip(samples(row), turned, strict=True)
    same = [np.array_equal(_value(row, one), _value(row, other)) for one, other in pairs]
    assert all(same) == row.commutative, "its operands may change places" if all(same) else ""


def tame(row: Primitive) -> None:
    """Tame partials are finite, wherever a float may be."""
    if not row.tame or row.kind != "pointwise":
        return
    assert isinstance(row.derivative, Partials)
    at = points(row, 3000) if is_gradable(row) else list(samples(row)[0].operands)
    for params in row.params:
        with np.errstate(all="ignore"):
            partials = row.derivative.rule(row.evaluate(*at, **params), *at, **params)
        for partial in partials if isinstance(partials, tuple) else (partials,):
            assert np.all(np.isfinite(partial)), f"{row}: a partial that is not finite"


def choices(row: Primitive) -> None:
    """What a choice leaves out has no part of the derivative."""
    if row.choice is None:
        return
    for sample, graph in differentiable_samples(row):
        params = dict(sample.params)
        taken = row.choice(*sample.operands, **params)
        y = _value(row, sample)
        ct = np.ones_like(y)
        match row.derivative:
            case Partials(rule):
                found = rule(y, *sample.operands, **params)
                parts = found if isinstance(found, tuple) else (found,)
            case Transpose(rule):
                parts = rule(ct, *sample.operands, **params)
            case Pair(_, backward):
                parts = backward(y, ct, *sample.operands, **params)
        for hit, part, x in zip(taken, parts, graph.inputs, strict=True):
            if x.differentiable:
                assert np.array_equal(np.asarray(part) != 0.0, hit), f"{sample}: {part}, {hit}"


def rounds(row: Primitive) -> None:
    """One run of the row rounds no more than it says, in both precisions."""
    if isinstance(row.ball, Unsupported) or isinstance(row.rounding, Unsupported):
        return
    for sample, kind in itertools.product(samples(row), (np.float64, np.float32)):
        graph = applied(row, sample, np.dtype(kind))
        arrays = [a.astype(x.dtype) for a, x in zip(sample.operands, graph.inputs, strict=True)]
        params = dict(graph.outputs[0].params)
        with np.errstate(all="ignore"):
            y = np.asarray(row.evaluate(*arrays, **params))
            if y.dtype.kind != "f":
                return
            local = row.rounding(y, *arrays, **params)
        known = {x: exact(a) for x, a in zip(graph.inputs, arrays, strict=True)}
        enclose_nodes(graph.outputs, known, 300)
        allowed = np.broadcast_to(local.largest * ulp(local.size), y.shape)
        balls = np.broadcast_to(known[graph.outputs[0]], y.shape)
        with precision(EVERY_BIT):
            for value, ball, most in zip(y.flat, balls.flat, allowed.flat, strict=True):
                if np.isfinite(value) and ball.is_finite():
                    off = float(abs(arb(float(value)) - ball.mid()))
                    assert not off > most, f"{sample}: off by {off}, more than {most}"  # NaN: any


SPECIALS = np.array([
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 7.7, -30.0, 1e16, 2.0**-1022, 1e-310,
    -1e-310, 1e-40, 5e-324, -5e-324, 1e308, -1e308, 3e38, 709.75, -745.2, np.inf, -np.inf, np.nan,
])  # fmt: skip
"""Where formulas on vectors may go wrong."""
INTEGERS = np.array([0, 1, -1, 2, 3, -7, 100, -(2**40), 2**62, -(2**62)])


def vectors(row: Primitive) -> None:
    """On vectors a row is what it is on arrays: exactly, or within what both of them round."""
    if why_not() is not None or row.kind != "pointwise":
        return
    kinds = [x.dtype.kind for x in samples(row)[0].operands]
    for kind, params in itertools.product((np.float64, np.float32, np.int64, np.bool_), row.params):
        dtypes = tuple([np.dtype(kind if of == "f" else np.bool_) for of in kinds])
        floating = np.dtype(kind).kind == "f"
        rule = vector_rule(row, dtypes) if floating or not row.needs_params else None
        if rule is None:
            continue
        with np.errstate(all="ignore"):
            numbers = {"b": np.array([False, True]), "f": SPECIALS}.get(dtypes[-1].kind, INTEGERS)
            flags = numbers[:2].astype(bool)
            grid = np.meshgrid(*[flags if of == "b" else numbers for of in kinds])
            x = [part.ravel().astype(dtype) for part, dtype in zip(grid, dtypes, strict=True)]
            if floating and is_gradable(row):
                x = [np.append(a, b.astype(kind)) for a, b in zip(x, points(row, 300), strict=True)]
            y = np.asarray(row.evaluate(*x, **params))
            found = compiled(rule, [KINDS[dtype.name] for dtype in dtypes], **params)(*x)
            allowed: Any = 0.0
            if y.dtype.kind == "f" and not isinstance(row.rounding, Unsupported):
                local = row.rounding(y, *x, **params)
                allowed = 2.0 * local.largest * ulp(local.size) if local.largest > 0.5 else 0.0
            assert found.dtype == y.dtype, f"{dtypes}: {found.dtype}, not {y.dtype}"
            same = (found == y) & (np.signbit(found) == np.signbit(y)) if floating else found == y
            same |= (found != found) & (y != y)
            near = np.isfinite(found) & np.isfinite(y) & (y != 0.0)
            bad = ~same & ~(near & (abs(1.0 * found - y) <= allowed))
        where = [part[bad][:3] for part in x]
        assert not bad.any(), f"{dtypes} {params} at {where}: {found[bad][:3]}, not {y[bad][:3]}"


CELLS = (views, shapes_alone, elements, indices, commutes, tame, choices, rounds, vectors)
