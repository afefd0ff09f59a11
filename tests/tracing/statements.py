"""Random statements on arrays that share memory: the grammar of the aliasing programs.

Every kind of statement is a method whose name says what it does; shapes come from the values that
the names hold in plain NumPy at this place of the program, so that most statements are possible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

NAMES: Final = "abcde"
Statement = tuple[str, tuple[str, ...]]


class Writer:
    """Writes statements that fit the values of the names."""

    def __init__(self, rng: np.random.Generator, values: dict[str, Any], names: list[str]) -> None:
        self.rng = rng
        self.values = values
        self.names = names

    def statement(self) -> Statement:
        """The text of a statement, and the names that it binds."""
        kinds = CREATE if len(self.names) < 3 else STATEMENTS
        while True:
            kind = kinds[self.rng.integers(len(kinds))]
            found = kind(self)
            if found:
                return found if isinstance(found, tuple) else (found, ())

    # Parts ----------------------------------------------------------------------------------------

    def one(self, *choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def shape(self, name: str) -> tuple[int, ...]:
        return np.shape(self.values[name])

    def new(self) -> str:
        unused = [name for name in NAMES if name not in self.names]
        return unused[0] if unused and self.rng.random() < 0.8 else self.one(*NAMES)

    def array(self, fits: Callable[[Any], bool] = lambda a: a.ndim > 0) -> str:
        """A name of an array that fits, or x."""
        arrays = [n for n in self.names if isinstance(self.values[n], np.ndarray)]
        fitting = [n for n in arrays if self.values[n].size and fits(self.values[n])]
        return self.one(*fitting) if fitting else "x"

    def literal(self) -> str:
        return f"{self.rng.uniform(-2.0, 2.0):.2f}"

    def element(self, name: str | None = None) -> str:
        name = name or self.array()
        index = [self.rng.integers(-n, n) for n in self.shape(name)]
        return f"{name}[{', '.join(map(str, index))}]" if index else f"{name}[()]"

    def number(self) -> str:
        a = self.array()
        return self.one(
            self.literal(), self.element(), f"0.3 * {self.element()}", f"np.sin({self.element()})",
            f"np.mean({a})", f"{self.element()} * {self.element()}", f"C[{self.rng.integers(4)}]",
        )  # fmt: skip

    def integers(self, n: int, count: int) -> str:
        return "[" + ", ".join(str(self.rng.integers(-n, n)) for _ in range(count)) + "]"

    def piece(self, n: int) -> str:
        """A slice of an axis."""
        i, j = sorted(self.rng.integers(0, n + 1, 2))
        return self.one(
            f"{i}:{j}", f":{j}", f"{i}:", ":", "::-1", "::2", "1::2", f"{i}:{j}:2", "-2:", ":-1",
            "-1::-2", f"{n - 1}:{i}:-1",
        )  # fmt: skip

    def mask(self, name: str) -> str:
        n = self.shape(name)[0] if self.shape(name) else 1
        plain = ", ".join(str(bool(b)) for b in self.rng.random(n) < 0.5)
        return self.one(
            f"{name} > {self.literal()}", f"{name} < np.mean({name})", f"np.array([{plain}])",
            f"np.abs({name}) > {abs(float(self.literal()))}", f"np.arange({n}) % 2 == 0",
            f"({name} > -0.5) & ({name} < 1.0)",
        )  # fmt: skip

    def index(self, name: str) -> str:
        """An index of any kind, as text between brackets."""
        shape = self.shape(name)
        if not shape:
            return self.one("()", "...", "None")
        n, last = shape[0], shape[-1]
        k = int(self.rng.integers(-n, n))
        count = int(self.rng.integers(1, 4))
        kinds = [
            f"{k}", self.piece(n), self.piece(n), "...", f"{self.piece(n)}, ...", self.mask(name),
            self.integers(n, count), f"np.array({self.integers(n, count)})",
            f"..., {self.one(0, -1)}",
            f"None, {k}", f"{self.piece(n)}, None", f"({k},)", f"np.array({self.integers(n, 4)})",
            f"..., {self.piece(last)}", f"{n + 2}" if self.rng.random() < 0.1 else f"np.int64({k})",
            f"int(np.argmax({name}.ravel())) % {n}",
        ]  # fmt: skip
        if len(shape) > 1:
            j, m = int(self.rng.integers(-shape[1], shape[1])), shape[1]
            kinds += [
                f"{k}, {j}", f":, {j}", f"{k}, {self.piece(m)}",
                f"{self.piece(n)}, {self.piece(m)}",
                f"{self.integers(n, count)}, {self.integers(m, count)}", f"({k}, {j})",
                f":, {self.integers(m, count)}", f"{k}, {self.integers(m, count)}",
                f"np.ix_({self.integers(n, 2)}, {self.integers(m, 2)})",
                f"{k}, None, {self.piece(m)}",
            ]  # fmt: skip
        return str(self.one(*kinds))

    def target(self) -> tuple[str, tuple[int, ...]]:
        """An array with an index, and the shape of what is written there."""
        name = self.array(lambda a: a.flags.writeable)
        for _ in range(8):
            index = self.index(name)
            try:
                values = {**self.values, name: np.asarray(self.values[name])}
                found = eval(f"{name}[{index}]", values)
            except Exception:
                continue
            if np.size(found):
                return f"{name}[{index}]", np.shape(found)
        return f"{name}[...]", self.shape(name)

    def value(self, shape: tuple[int, ...]) -> str:
        """What can be broadcast to a shape."""
        choices = [self.number(), self.number()]
        fitting = []
        for name in (*self.names, "C", "D"):
            own = self.shape(name)
            if own and len(own) <= len(shape) and _broadcasts(own, shape):
                fitting.append(name)
                if own == shape and len(own) == 1:
                    fitting.append(f"{name}[::-1]")
            elif len(shape) == 1 and len(own) == 1 and own[0] >= shape[0]:
                fitting += [f"{name}[:{shape[0]}]", f"{name}[{own[0] - shape[0]}:][::-1]"]
        if fitting:
            a = self.one(*fitting)
            choices += [a, f"np.sin({a})", f"{a} * {self.literal()}", f"{a}.copy()", f"-{a}"]
            choices += [f"{a} + {self.one(*fitting)}", f"np.exp(-np.abs({a}))"]
        if len(shape) == 1 and shape[0] < 7:
            choices.append("[" + ", ".join(self.number() for _ in range(shape[0])) + "]")
            choices.append(f"np.linspace({self.number()}, {self.number()}, {shape[0]})")
        return str(self.one(*choices))

    def size(self) -> str:
        return self.one("3", "4", "(2, 3)", "(3, 2)", "5", "(3,)", "(2, 2)")

    # Creation -------------------------------------------------------------------------------------

    def creates(self) -> Statement:
        a, n, new = self.array(), int(self.rng.integers(2, 6)), self.new()
        text = self.one(
            f"np.zeros({self.size()})", f"np.ones({self.size()})", f"np.arange({n}) * 0.5",
            f"np.full({self.size()}, {self.number()})", f"np.eye({self.one(2, 3)})",
            f"np.arange({n})",
            f"np.linspace({self.literal()}, {self.number()}, {n})", f"np.zeros_like({a})",
            f"np.array([{self.number()}, {self.number()}, {self.number()}])", f"np.ones_like({a})",
            f"np.array([[{self.number()}, {self.number()}], [{self.number()}, 1.0]])",
            f"np.asarray({a})", f"np.array({a})", f"{a}.copy()", f"np.copy({a})", f"{a} * 2.0",
            f"np.sin({a})", f"{a} + {self.number()}", f"np.cos({a}) * {self.number()}", f"C * {a}",
            "np.array(C)", "C.copy()", "D.T * 2.0", "np.sqrt(np.abs(D))", f"{a}.T * 1.5",
            "D.copy()",
            f"np.full_like({a}, {self.number()})", f"np.concatenate([{a}, {a}])", f"np.diag({a})",
            f"np.stack([{a}, {a} * 2.0])", f"np.where({a} > 0.0, {a}, {self.number()})", "C",
            f"np.array({self.number()})", f"np.array([{a}, {a}])", f"np.tile({a}, 2)",
            f"np.cumsum({a})",
            f"np.array({a}, dtype=float, order='F')", f"{a}.astype(float)",
            f"np.tri({self.one(2, 3)})",
            f"np.outer({a}, {a})", f"np.sort({a}, axis=None)", f"{a}.flatten()", f"np.roll({a}, 1)",
            f"np.asarray([v * 0.5 for v in {a}])", f"np.array([float(i) for i in range({n})])",
            f"np.ascontiguousarray({a})", f"np.identity(2) * {self.number()}",
            f"np.atleast_1d({a})",
            f"np.mean([{a}, {a} * 0.5], axis=0)", f"np.hstack([{a}, {self.number()}])",
        )  # fmt: skip
        return f"{new} = {text}", (new,)

    def fills_an_empty_one(self) -> Statement:
        a, new = self.array(), self.new()
        return self.one(
            f"{new} = np.empty_like({a})\n{new}[...] = {self.number()}",
            f"{new} = np.zeros_like({a})\n"
            f"for i in range(len({a})):\n    {new}[i] = {a}[i] * (i + 1)",
            f"{new} = np.empty({self.size()})\n{new}.fill({self.number()})",
            f"{new} = np.empty(3)\n{new}[0], {new}[1], {new}[2] = "
            f"{self.number()}, {self.number()}, {self.number()}",
        ), (new,)

    # Views ----------------------------------------------------------------------------------------

    def views(self) -> Statement:
        a, new = self.array(), self.new()
        shape = self.shape(a)
        n, size = shape[0] if shape else 1, int(np.prod(shape))
        half = self.one(f"({size},)", "-1", "(-1, 1)", "(1, -1)", f"(2, {size // 2})", "(3, -1)")
        text = self.one(
            f"{a}[{self.piece(n)}]", f"{a}[{self.piece(n)}]", f"{a}[..., {self.piece(shape[-1])}]",
            f"{a}.reshape({half})", f"np.reshape({a}, {half})", f"{a}.T", f"{a}.ravel()",
            f"np.ravel({a})", f"{a}[None]", f"{a}[:, None]", f"{a}[..., np.newaxis]", f"{a}[::-1]",
            f"np.squeeze({a})", f"{a}[None].squeeze()", f"np.flip({a})", f"np.transpose({a})",
            f"{a}[{self.index(a)}]", f"np.broadcast_to({a}, (2,) + {a}.shape)", f"{a}[0:1]",
            f"sliding_window_view({a}, 2, axis=0)", f"np.diagonal(np.atleast_2d({a}))", f"{a}[...]",
            f"np.atleast_2d({a})", f"np.expand_dims({a}, 0)", f"{a}.swapaxes(0, -1)",
            f"{a}.ravel('F')",
            f"np.split({a}, [1])[1]", f"np.moveaxis({a}, 0, -1)", f"{a}.real", f"np.rot90({a})",
            f"{a}[1:][::-1]", f"{a}[::2].T", f"{a}[-1]", f"{a}.reshape({half}, order='F')",
        )  # fmt: skip
        return f"{new} = {text}", (new,)

    def is_another_name(self) -> Statement:
        new = self.new()
        return f"{new} = {self.array()}", (new,)

    def is_read_by_an_index(self) -> Statement:
        a, new = self.array(), self.new()
        return f"{new} = {a}[{self.index(a)}]", (new,)

    # Assignment -----------------------------------------------------------------------------------

    def assigns(self) -> str:
        target, shape = self.target()
        if self.rng.random() < 0.03:
            return f"{target} = np.ones(17)"
        return f"{target} = {self.value(shape)}"

    def augments_a_part(self) -> str:
        target, shape = self.target()
        operator, value = self.one("+=", "-=", "*=", "/=", "+="), self.value(shape)
        return f"{target} {operator} {f'2.5 + np.sin({value})' if operator == '/=' else value}"

    def augments_a_name(self) -> str:
        a = self.array()
        operator, value = self.one("+=", "-=", "*=", "/="), self.value(self.shape(a))
        return f"{a} {operator} {f'2.5 + np.cos({value})' if operator == '/=' else value}"

    def augments_a_scalar(self) -> Statement:
        new = self.new()
        return f"{new} = {self.element()}\n{new} {self.one('+=', '*=')} {self.number()}", (new,)

    def squares_in_place(self) -> str:
        a = self.array()
        return f"{a} **= 2" if self.rng.random() < 0.5 else f"{a}[{self.index(a)}] **= 2"

    def moves_within(self) -> str:
        a = self.array(lambda a: a.ndim > 0 and len(a) > 1)
        i = int(self.rng.integers(0, max(len(self.values[a]) - 1, 1)))
        return self.one(
            f"{a}[1:] = {a}[:-1]", f"{a}[:-1] = {a}[1:]", f"{a}[:] = {a}[::-1]",
            f"{a}[1:] += {a}[:-1]",
            f"{a}[::-1] -= {a} * 0.5", f"{a}[{i}], {a}[{i + 1}] = {a}[{i + 1}], {a}[{i}]",
            f"{a}[{i}], {a}[{i + 1}] = {a}[{i + 1}].copy(), {a}[{i}].copy()", f"{a}[...] = {a}.T",
            f"{a}[[{i}, {i + 1}]] = {a}[[{i + 1}, {i}]]", f"{a}[1:] *= {a}[0]", f"{a} += {a}[::-1]",
            f"{a}[1:-1] = 0.5 * ({a}[2:] + {a}[:-2])", f"{a}[:2], {a}[-2:] = {a}[-2:], {a}[:2]",
        )  # fmt: skip

    # Functions that write -------------------------------------------------------------------------

    def writes_out(self) -> str:
        a, b = self.array(), self.array()
        shape = self.shape(a)
        value = self.value(shape)
        return self.one(
            f"np.add({a}, {value}, out={a})", f"np.multiply({value}, {self.number()}, out={a})",
            f"np.sin({a}, out={a})", f"np.maximum({a}, {value}, out={a})", f"np.negative({b}, {a})",
            f"np.add({a}, {value}, out={a}, where={self.mask(a)})",
            f"np.cumsum({a}, axis=0, out={a})",
            f"np.subtract({a}[1:], {a}[:-1], out={a}[1:])", f"np.clip({a}, -1.0, 1.0, out={a})",
            f"np.multiply({a}, {a}, out=({a},), where={a} > 0.0)", f"np.add({a}, {b}, {b})",
            f"np.exp(-np.abs({value}), out={a}[...])", f"{a}.clip(-1.5, 1.5, out={a})",
            f"np.sum({a}[None], axis=0, out={a})", f"np.add({a}, {a}[::-1], out={a}[::-1])",
            f"np.tanh({a}, out={a}.T)", f"np.dot({a}, np.eye({shape[-1]}), out={a})",
        )  # fmt: skip

    def calls_a_method(self) -> Statement:
        a, new = self.array(), self.new()
        shape = self.shape(a)
        n, size = shape[0], int(np.prod(shape))
        k = int(self.rng.integers(0, n))
        text = self.one(
            f"{a}.sort()", f"{a}.fill({self.number()})", f"{a}.put({k}, {self.number()})",
            f"{a}.put({self.integers(size, 2)}, [{self.number()}, {self.number()}])",
            f"{a}.flat[{k}] = {self.number()}", f"{a}.flat[1:3] = {self.number()}",
            f"{a}.sort(axis=0)",
            f"{a}[::-1].sort()", f"{a}.T.fill({self.number()})", f"{a}[{self.piece(n)}].sort()",
            f"{new} = {a}.ravel().copy()\n{new}.partition({k})\n{new} = {new}[{k}:{k + 1}]",
            f"{a}.flat = {self.number()}", f"{a}[{self.piece(n)}] = 0.0", f"{a}.shape = ({size},)",
            f"{a}.__setitem__({k}, {self.number()})", f"{a}[{k}:].fill({self.number()})",
        )  # fmt: skip
        return text, ((new,) if text.startswith(new) and ".ravel().copy()" in text else ())

    def calls_a_function(self) -> str:
        a = self.array()
        n = self.shape(a)[0]
        at, count = self.one("add", "subtract", "multiply"), int(self.rng.integers(1, 5))
        listed = "[" + ", ".join(self.number() for _ in range(count)) + "]"
        value, last = self.value(self.shape(a)), self.shape(a)[-1]
        mask = self.mask(a)
        return self.one(
            f"np.{at}.at({a}, {self.integers(n, count)}, {self.number()})",
            f"np.fill_diagonal({a}, 2.0)",
            f"np.{at}.at({a}, {self.integers(n, count)}, {listed})", f"np.copyto({a}, {value})",
            f"np.copyto({a}, {value}, where={mask})", f"np.place({a}, {mask}, {listed})",
            f"np.putmask({a}, {mask}, {value})",
            f"np.put({a}, {self.integers(n, 2)}, {self.number()})",
            f"np.put_along_axis({a}, np.argmax({a}, 0, keepdims=True), {self.number()}, axis=0)",
            f"np.fill_diagonal({a}, {self.number()})", f"np.fill_diagonal({a}, {listed})",
            f"np.put_along_axis({a}, np.array({self.integers(last, 2)}), {self.number()}, axis=-1)",
            f"scale({a}, {self.number()})", f"shift({a})", f"scale({a}[1:], {self.number()})",
            f"negate_first({a})[1:] *= 0.5", f"clamp({a}, -1.0, {self.number()})",
            f"scale({a}.T, {self.number()})", f"shift({a}[::-1])[0] = {self.number()}",
        )  # fmt: skip

    def keeps_the_result_of_a_helper(self) -> Statement:
        a, new = self.array(), self.new()
        return f"{new} = {self.one('negate_first', 'shift')}({a})", (new,)

    # Control and containers -----------------------------------------------------------------------

    def loops(self) -> str:
        a, b = self.array(), self.array()
        n = self.shape(a)[0]
        return self.one(
            f"for i in range(1, {n}):\n    {a}[i] = 0.5 * {a}[i - 1] + {a}[i]",
            f"for i in range({n}):\n    {a}[i] = {a}[{n - 1} - i] * 0.7",
            f"for i, v in enumerate({b}):\n    {a}[i % {n}] += 0.2 * np.sum(v)",
            f"for row in {a}:\n    row *= 0.9",
            f"for i in range({n} - 1, 0, -1):\n    {a}[i] -= {a}[i - 1]",
            f"for i in range({n}):\n    if np.sum({a}[i]) > 0.0:\n        {a}[i] = -{a}[i]",
            f"for v in {a}.flat:\n    {a}[0] += 0.1 * v",
            f"for i in np.arange(0, {n}, 2):\n    {a}[i] = i",
        )  # fmt: skip

    def chooses(self) -> Statement:
        new = self.new()
        a, b = self.array(), self.array()
        condition = f"{self.number()} > {self.literal()}"
        return f"if {condition}:\n    {new} = {a}\nelse:\n    {new} = {b}[::-1]", (new,)

    def keeps_in_containers(self) -> str:
        a, b = self.array(), self.array()
        k, n = int(self.rng.integers(0, self.shape(a)[0])), self.shape(a)[0]
        return self.one(
            f"box = {{'a': {a}, 'b': {b}}}\nbox['a'][{k}] = {self.number()}\nbox['b'] = box['a']",
            f"box = Box()\nbox.part = {a}[{self.piece(n)}]\nbox.part += {self.number()}",
            f"pair = [{a}, {b}]\npair[0] += pair[1] * 0.5", f"rows = list({a})\n{a}[0] = rows[-1]",
            f"pair = [{a}, {b}]\nfor each in pair:\n    each[0] = {self.number()}",
            f"box = Box()\nbox.a = {a}\nbox.a[{k}] *= {self.number()}\nbox.a = 0.0",
            f"first, *rest = {a}\n{a}[-1] = first", f"pair = ({a}, {b})\npair[1][-1] = pair[0][0]",
        )  # fmt: skip


def _broadcasts(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(m in (1, n) for m, n in zip(own[::-1], shape[::-1], strict=False))


CREATE = [Writer.creates, Writer.creates, Writer.fills_an_empty_one, Writer.views]
STATEMENTS: list[Callable[[Writer], Any]] = [
    *CREATE[1:], Writer.views, Writer.is_another_name, Writer.is_read_by_an_index, Writer.assigns,
    Writer.assigns, Writer.assigns, Writer.augments_a_part, Writer.augments_a_part,
    Writer.augments_a_name, Writer.augments_a_scalar, Writer.squares_in_place, Writer.moves_within,
    Writer.moves_within, Writer.writes_out, Writer.writes_out, Writer.calls_a_method,
    Writer.calls_a_method, Writer.calls_a_function, Writer.calls_a_function, Writer.loops,
    Writer.keeps_the_result_of_a_helper, Writer.chooses, Writer.keeps_in_containers,
]  # fmt: skip
