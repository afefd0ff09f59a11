"""difflab's default engine against PyTorch, JAX and autograd: value and gradient, and training
steps.

Run `make bench`, or ``python benchmarks/against_peers.py [--rounds N] [NAME...]`` where the peers
are installed. Every round times every contestant once, in a rotating order; ratios are medians of
per-round ratios to difflab with a bootstrap interval, and difflab runs twice: the spread of its
second run is the noise floor. Arrays come from NumPy and results go back to it; a training step
keeps its parameters in the framework's own arrays.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import difflab
from difflab.lab.machine import one_blas_thread
from difflab.lab.timing import interleave

Contestants = dict[str, Callable[[], object]]


def rosenbrock(x: Any) -> Any:
    """sum 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_contestants(n: int) -> Contestants:
    """Value and gradient at n variables, NumPy in and out."""
    import autograd
    import autograd.numpy as anp
    import jax
    import torch

    x = np.linspace(-1.0, 1.0, n)
    ours = difflab.value_and_gradient(rosenbrock)
    by_jax = jax.jit(jax.value_and_grad(lambda x: jax.numpy.sum(
        100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)))  # fmt: skip
    by_autograd = autograd.value_and_grad(
        lambda x: anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    )

    def jax_call() -> Any:
        value, gradient = by_jax(x)
        return np.asarray(value), np.asarray(gradient)

    def torch_call() -> Any:
        t = torch.from_numpy(x).requires_grad_()
        value = torch.sum(100.0 * (t[1:] - t[:-1] ** 2) ** 2 + (1.0 - t[:-1]) ** 2)
        value.backward()
        return value.item(), t.grad.numpy()

    calls: Contestants = {
        "difflab": lambda: ours(x),
        "JAX jit": jax_call,
        "PyTorch": torch_call,
        "autograd": lambda: by_autograd(x),
        "function alone": lambda: (rosenbrock(x), None),
    }
    _agree(calls, lambda result: result[1])
    return calls


def network_loss(parameters: Any, images: Any, labels: Any) -> Any:
    """Mean cross-entropy of a ReLU network with one hidden layer."""
    hidden = difflab.relu(images @ parameters["W1"] + parameters["b1"])
    logits = hidden @ parameters["W2"] + parameters["b2"]
    return -np.mean(difflab.log_softmax(logits)[np.arange(len(labels)), labels])


def training_contestants(
    inputs: int, hidden: int, outputs: int, batch: int, dtype: str
) -> Contestants:
    """One step of gradient descent: loss, gradient, update."""
    import jax
    import jax.numpy as jnp
    import torch

    rng = np.random.default_rng(0)
    start = {
        "W1": (rng.normal(size=(inputs, hidden)) / np.sqrt(inputs)).astype(dtype),
        "b1": np.zeros(hidden, dtype),
        "W2": (rng.normal(size=(hidden, outputs)) / np.sqrt(hidden)).astype(dtype),
        "b2": np.zeros(outputs, dtype),
    }
    images = rng.normal(size=(batch, inputs)).astype(dtype)
    labels = rng.integers(0, outputs, batch)
    rate = 1e-3

    ours = {name: array.copy() for name, array in start.items()}
    gradient = difflab.value_and_gradient(network_loss)

    def difflab_step() -> Any:
        value, slopes = gradient(ours, images, labels)
        for name, slope in slopes.items():
            slope *= rate
            ours[name] -= slope
        return value

    def jax_loss(parameters: Any, x: Any, y: Any) -> Any:
        h = jax.nn.relu(x @ parameters["W1"] + parameters["b1"])
        z = h @ parameters["W2"] + parameters["b2"]
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(y.shape[0]), y])

    @jax.jit
    def jax_update(parameters: Any, x: Any, y: Any) -> Any:
        value, slopes = jax.value_and_grad(jax_loss)(parameters, x, y)
        return value, jax.tree.map(lambda p, g: p - rate * g, parameters, slopes)

    theirs = {"jax": {name: jnp.asarray(array) for name, array in start.items()}}

    def jax_step() -> Any:
        value, theirs["jax"] = jax_update(theirs["jax"], images, labels)
        return float(value)

    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    torch_images, torch_labels = torch.from_numpy(images), torch.from_numpy(labels)

    def torch_step() -> Any:
        h = torch.relu(torch_images @ tensors["W1"] + tensors["b1"])
        value = torch.nn.functional.cross_entropy(h @ tensors["W2"] + tensors["b2"], torch_labels)
        slopes = torch.autograd.grad(value, list(tensors.values()))
        with torch.no_grad():
            for tensor, slope in zip(tensors.values(), slopes, strict=True):
                tensor -= rate * slope
        return value.item()

    calls: Contestants = {"difflab": difflab_step, "JAX jit": jax_step, "PyTorch": torch_step}
    _agree(calls, lambda result: result, tolerance=1e-4 if dtype == "float32" else 1e-9)
    return calls


def _agree(calls: Contestants, part: Callable[[Any], Any], tolerance: float = 1e-9) -> None:
    """Raise unless all contestants compute the same: one that is wrong has no time."""
    results = {name: part(call()) for name, call in calls.items()}
    first = results["difflab"]
    for name, result in results.items():
        if result is not None and not np.allclose(result, first, rtol=tolerance, atol=tolerance):
            raise AssertionError(f"{name} disagrees")


WORKLOADS: dict[str, Callable[[], Contestants]] = {
    "rosenbrock-10": lambda: rosenbrock_contestants(10),
    "rosenbrock-1e3": lambda: rosenbrock_contestants(1_000),
    "rosenbrock-1e5": lambda: rosenbrock_contestants(100_000),
    "train-64-64-10-b32-float32": lambda: training_contestants(64, 64, 10, 32, "float32"),
    "train-64-64-10-b32-float64": lambda: training_contestants(64, 64, 10, 32, "float64"),
}


def main() -> None:
    """Time the workloads and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", choices=[[], *WORKLOADS], default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=21, help="rounds of samples (default 21)")
    options = parser.parse_args()
    import jax
    import torch

    jax.config.update("jax_enable_x64", True)
    torch.set_num_threads(1)
    with one_blas_thread():
        for name in options.names or WORKLOADS:
            table = interleave(WORKLOADS[name](), baseline="difflab", rounds=options.rounds)
            print(f"\n{name}: one call, and times relative to difflab (95 % interval)")
            for row in table.itertuples():
                print(
                    f"  {row.contestant:16} {1e6 * row.seconds:10.1f} us   x {row.ratio:6.2f}"
                    f"  [{row.ratio_low:.2f}, {row.ratio_high:.2f}]"
                )


if __name__ == "__main__":
    main()
