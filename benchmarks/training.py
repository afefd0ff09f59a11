"""Training runs: `Network.fit` against loops written by hand in JAX and PyTorch.

Run ``python benchmarks/training.py [--rounds N] [--rows] [NAME...]`` where the peers are installed.
Plain SGD in float32 on the same instances, minibatches of the same sizes, newly shuffled every
epoch; the peers' loops leave every loss on their side and read it once an epoch. JAX is timed with
one compiled update a minibatch, which gathers its rows itself, and with a whole epoch in one scan.
`fit` leaves one row of its history, at the end (with ``--rows``: one an epoch); as often the peers
compute the accuracy on all instances, which is one figure of a row.

Every round times every contestant once, in a rotating order; ratios are medians of ratios within
rounds. A first call, with all tracing and compiling, is timed separately and not part of a run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from difflab.networks import MinibatchSGD, Network

Run = Callable[[int, bool], float]
"""Trains for so many epochs, with a row of figures for each or for all, and says how many seconds
the loop took.
"""


class Case(NamedTuple):
    """A network, and the data of its run."""

    sizes: tuple[int, ...]
    batch: int
    instances: int
    epochs: int

    @property
    def updates(self) -> int:
        """In one run; the instances are a multiple of the minibatch."""
        return self.epochs * self.instances // self.batch

    def data(self) -> tuple[Any, Any]:
        """Instances and labels."""
        rng = np.random.default_rng(0)
        shape = self.instances, self.sizes[0]
        return rng.normal(size=shape).astype("f4"), rng.integers(0, self.sizes[-1], self.instances)


CASES = {
    "4-16-3": Case((4, 16, 3), 16, 160, 100),
    "64-64-10": Case((64, 64, 10), 32, 1792, 10),
    "784-128-10": Case((784, 128, 10), 128, 5120, 5),
    "784-512-512-10": Case((784, 512, 512, 10), 128, 5120, 3),
}
RATE = 0.01


def by_difflab(case: Case) -> Run:
    """`fit`, without the time that it takes to compile."""
    X, y = case.data()

    def run(epochs: int, rows: bool) -> float:
        net = Network(case.sizes[0], "float32")
        for units in case.sizes[1:-1]:
            net.fc(units)
        net.fc(case.sizes[-1], activation="softmax")
        net.solver = MinibatchSGD(RATE, case.batch, epochs)
        updates = epochs * case.instances // case.batch
        begun = time.perf_counter()
        history = net.fit(X, y, every=None if rows else updates, progress=False)
        return time.perf_counter() - begun - float(history.attrs["phases"]["prepare"])

    return run


def _start(case: Case) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(1)
    pairs = zip(case.sizes[:-1], case.sizes[1:], strict=True)
    return [
        (rng.normal(size=(n, m), scale=(2 / n) ** 0.5).astype("f4"), np.zeros(m, "f4"))
        for n, m in pairs
    ]


def by_jax(case: Case, scanned: bool) -> Run:
    """A compiled update a minibatch, or a compiled epoch."""
    import jax
    import jax.numpy as jnp

    def forward(parameters: Any, x: Any) -> Any:
        for w, b in parameters[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = parameters[-1]
        return x @ w + b

    @jax.jit
    def accuracy(parameters: Any, x: Any, y: Any) -> Any:
        return jnp.mean(jnp.argmax(forward(parameters, x), axis=1) == y)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        logits = jax.nn.log_softmax(forward(parameters, x))
        return -jnp.mean(jnp.take_along_axis(logits, y[:, None], axis=1))

    def update(parameters: Any, X: Any, y: Any, rows: Any) -> Any:
        value, slopes = jax.value_and_grad(loss)(parameters, X[rows], y[rows])
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, slopes), value

    def epoch(parameters: Any, X: Any, y: Any, order: Any) -> Any:
        return jax.lax.scan(lambda p, rows: update(p, X, y, rows), parameters, order)

    compiled = jax.jit(epoch if scanned else update, donate_argnums=0)
    X, y = map(jnp.asarray, case.data())
    rng = np.random.default_rng(0)

    def run(epochs: int, rows: bool) -> float:
        parameters = jax.tree.map(jnp.asarray, _start(case))
        begun = time.perf_counter()
        for number in range(1, epochs + 1):
            order = rng.permutation(case.instances).reshape(-1, case.batch).astype("i4")
            if scanned:
                parameters, found = compiled(parameters, X, y, order)
            else:
                found = []
                for chosen in order:
                    parameters, value = compiled(parameters, X, y, chosen)
                    found.append(value)
            np.mean(np.asarray(found))
            if rows or number == epochs:
                float(accuracy(parameters, X, y))
        return time.perf_counter() - begun

    return run


def by_torch(case: Case) -> Run:
    """An eager loop, with the step of the parameters written out."""
    import torch

    X, y = map(torch.from_numpy, case.data())

    def forward(parameters: Any, h: Any) -> Any:
        for i in range(0, len(parameters) - 2, 2):
            h = torch.relu(torch.addmm(parameters[i + 1], h, parameters[i]))
        return torch.addmm(parameters[-1], h, parameters[-2])

    def run(epochs: int, rows: bool) -> float:
        parameters = [torch.from_numpy(p.copy()).requires_grad_()
                      for pair in _start(case) for p in pair]  # fmt: skip
        begun = time.perf_counter()
        for number in range(1, epochs + 1):
            total = torch.zeros(())
            for chosen in torch.randperm(case.instances).split(case.batch):
                logits = forward(parameters, X[chosen])
                value = torch.nn.functional.cross_entropy(logits, y[chosen])
                slopes = torch.autograd.grad(value, parameters)
                with torch.no_grad():
                    for p, g in zip(parameters, slopes, strict=True):
                        p.sub_(g, alpha=RATE)
                total += value.detach()
            float(total)
            if rows or number == epochs:
                with torch.no_grad():
                    float((forward(parameters, X).argmax(1) == y).float().mean())
        return time.perf_counter() - begun

    return run


def contestants(case: Case) -> dict[str, Callable[[], Run]]:
    """What makes each contestant's run."""
    found: dict[str, Callable[[], Run]] = {"difflab": lambda: by_difflab(case)}
    for name, make in (
        ("jax", lambda: by_jax(case, scanned=False)),
        ("jax", lambda: by_jax(case, scanned=True)),
        ("torch", lambda: by_torch(case)),
    ):
        try:
            __import__(name)
        except ImportError:
            continue
        label = {"jax": "JAX jit", "torch": "PyTorch"}[name]
        found["JAX scan" if label in found and name == "jax" else label] = make
    return found


def measure(name: str, case: Case, rounds: int, rows: bool) -> None:
    """Print microseconds an update, and ratios to difflab."""
    runs: dict[str, Run] = {}
    first = {}
    for label, make in contestants(case).items():
        begun = time.perf_counter()
        runs[label] = make()
        runs[label](1, rows)
        first[label] = time.perf_counter() - begun
    times: dict[str, list[float]] = {label: [] for label in runs}
    order = [*runs]
    for _ in range(rounds):
        for label in order:
            times[label].append(runs[label](case.epochs, rows) / case.updates * 1e6)
        order.append(order.pop(0))
    print(f"{name}, minibatches of {case.batch}, {case.updates} updates, {rounds} rounds")
    for label, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, times["difflab"], strict=True))
        least = min(own) / min(times["difflab"])
        print(
            f"  {label:9} {min(own):9.1f} us (median {statistics.median(own):9.1f})"
            f"  x {ratio:6.2f} (minima x {least:6.2f})  first call {first[label]:6.2f} s",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all without")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", action="store_true", help="a row of the history every epoch")
    options = parser.parse_args(arguments)
    for name in options.names or CASES:
        measure(name, CASES[name], options.rounds, options.rows)


if __name__ == "__main__":
    main()
