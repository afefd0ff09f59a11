"""Who makes value and gradient: difflab's engines, other projects, and code written by hand.

What flows: a workload -> for each contestant that is installed a call without arguments, which
takes NumPy's arrays and gives back the value and the gradients as NumPy's. Each is written as its
manual says: compiled once, in 64 bits, data that are not differentiated handed over beforehand in
the library's own arrays. The invariant: importing this module imports no peer.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np

import difflab
from apparatus.peers import by_hand as by_hand
from apparatus.peers import functions as own_words
from apparatus.peers import in_c as in_c
from apparatus.peers.casadi import FUNCTIONS as IN_CASADI
from apparatus.peers.casadi import by_casadi
from apparatus.peers.workloads import Workload
from difflab.engines import native

Call = Callable[[], tuple[Any, ...]]
"""Value and gradients; a Hessian product gives None for the value."""


def nothing() -> None:
    """What is ready without being started."""


def in_words(name: str, **words: Any) -> ModuleType:
    """The module of the functions once more, in another library's words."""
    spec = importlib.util.spec_from_file_location(f"_peers_functions_{name}", own_words.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(words)
    return module


# difflab ------------------------------------------------------------------------------------------


def by_difflab(task: Workload, engine: str) -> Call:
    f, args, first = task.f(own_words), task.args, task.wrt
    if task.direction is not None:
        along = (task.direction,)
        return lambda: (None, difflab.hvp(f, args, along, engine=engine))
    ours = difflab.value_and_gradient(f, argnums=0 if first == 1 else tuple(range(first)),
                                      engine=engine)  # fmt: skip
    return flat(lambda: ours(*args), first)


def flat(call: Callable[[], Any], first: int) -> Call:
    """A value and one gradient, or a tuple of them, as one tuple."""
    if first == 1:
        return call
    return lambda: (lambda value, gradients: (value, *gradients))(*call())


# Other projects -----------------------------------------------------------------------------------


@cache
def jax_words(unrolled: bool) -> ModuleType:
    if "jax" not in sys.modules:  # it is one core that is timed
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jnp.zeros(1).block_until_ready()  # so that no workload's first call counts the start

    def repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
        return jax.lax.fori_loop(0, times, lambda _, state: step(state), state)

    names = ("relu", "sigmoid", "softplus", "softmax", "log_softmax")
    words = {name: getattr(jax.nn, name) for name in names}
    words |= {"np": jnp, "logsumexp": jax.scipy.special.logsumexp}
    return in_words("jax", **words, **({} if unrolled else {"repeat": repeat}))


def by_jax(task: Workload, unrolled: bool = False) -> Call:
    f = task.f(jax_words(unrolled))
    import jax

    point = task.args[: task.wrt]
    data = [jax.device_put(array) for array in task.args[task.wrt :]]
    if task.direction is not None:
        product = jax.jit(lambda x, v: jax.jvp(jax.grad(f), (x,), (v,))[1])
        return lambda: (None, np.asarray(product(*point, task.direction)))
    compiled = jax.jit(jax.value_and_grad(f, argnums=tuple(range(task.wrt))))

    def call() -> tuple[Any, ...]:
        value, gradients = compiled(*point, *data)
        return np.asarray(value), *map(np.asarray, gradients)

    return call


@cache
def torch_words() -> ModuleType:
    # Of its own: a compiled form that an earlier run has left would make the first call short.
    folder = tempfile.TemporaryDirectory(prefix="difflab-peers-")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder.name
    atexit.register(folder.cleanup)
    import torch

    torch.set_num_threads(1)
    return in_words(
        "torch", np=torch, relu=torch.relu, sigmoid=torch.sigmoid, logsumexp=torch.logsumexp,
        softplus=torch.nn.functional.softplus, softmax=lambda x: torch.softmax(x, -1),
        log_softmax=lambda x: torch.log_softmax(x, -1),
    )  # fmt: skip


@cache
def torch_compiler() -> None:
    """Start torch.compile, which translates the headers of C++ once, so that no workload does."""
    torch_words()
    import torch

    torch._inductor.config.compile_threads = 1
    x = torch.ones(2, requires_grad=True)
    torch.compile(lambda x: torch.sum(torch.sin(x)))(x).backward()


def by_torch(task: Workload, compiled: bool = False) -> Call:
    f = task.f(torch_words())
    import torch

    data = [torch.from_numpy(array) for array in task.args[task.wrt :]]
    if compiled:
        torch._dynamo.reset()  # or else a second size is compiled for every size, and slower
        f = torch.compile(f)

    def leaves() -> list[Any]:
        return [torch.from_numpy(array).requires_grad_() for array in task.args[: task.wrt]]

    if task.direction is not None:
        along = torch.from_numpy(task.direction)

        def product() -> tuple[Any, ...]:
            (x,) = leaves()
            (slope,) = torch.autograd.grad(f(x), x, create_graph=True)
            return None, torch.autograd.grad(slope, x, along)[0].numpy()

        return product

    def call() -> tuple[Any, ...]:
        point = leaves()
        value = f(*point, *data)
        return value.item(), *(g.numpy() for g in torch.autograd.grad(value, point))

    return call


@cache
def autograd_words() -> ModuleType:
    import autograd.numpy as anp
    import autograd.scipy.special as special

    def softmax(x: Any) -> Any:
        return anp.exp(x - special.logsumexp(x, axis=-1, keepdims=True))

    return in_words(
        "autograd", np=anp, sigmoid=special.expit, softmax=softmax,
        softplus=lambda x: anp.logaddexp(0.0, x), logsumexp=special.logsumexp,
    )  # fmt: skip


def by_autograd(task: Workload) -> Call:
    f, first = task.f(autograd_words()), task.wrt
    import autograd

    if task.direction is not None:
        product = autograd.hessian_vector_product(f)
        return lambda: (None, product(*task.args, task.direction))
    both = autograd.value_and_grad(f, argnum=0 if first == 1 else tuple(range(first)))
    return flat(lambda: both(*task.args), first)


# By hand ------------------------------------------------------------------------------------------


def with_steps(task: Workload) -> tuple[Any, ...]:
    """The arguments of the forms by hand."""
    return task.args if task.steps is None else (*task.args, task.steps)


def by_numpy(task: Workload) -> Call:
    if task.direction is not None:
        return lambda: (None, by_hand.product(*task.args, task.direction))
    f, args = getattr(by_hand, task.function), with_steps(task)
    return lambda: f(*args)


def by_c(task: Workload) -> Call:
    if task.direction is not None:
        product = in_c.calling("product", 1)
        return lambda: (None, product(*task.args, task.direction)[1])
    f, args = in_c.calling(task.function, task.wrt), with_steps(task)
    return lambda: f(*args)


# All ----------------------------------------------------------------------------------------------


ABSENT, GCC, LLVM = "not installed", "gcc", "llvmlite"


@dataclass(frozen=True)
class Contestant:
    """One who makes value and gradient: how it is called, what it needs and how that is started."""

    make: Callable[[Workload], Call]
    how: str
    package: str = ""
    start: Callable[[], object] = nothing
    takes: Callable[[Workload], bool] = lambda task: True

    @property
    def there(self) -> bool:
        """Whether it can run here."""
        if self.package == GCC:
            return in_c.compiler() is not None
        if self.package == LLVM and native.why_not() is not None:
            return False
        return not self.package or importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """Its package, or NumPy where it has none, with the version."""
        if not self.there:
            return ABSENT
        package = self.package or "numpy"
        return package if package == GCC else f"{package} {metadata.version(package)}"


NATIVE, NUMPY, HAND, C = "difflab native", "difflab numpy", "NumPy by hand", "C by hand"
JAX, TORCH, AUTOGRAD, CASADI = "JAX jit", "PyTorch", "autograd", "CasADi"
UNROLLED, COMPILED = "JAX jit, unrolled", "PyTorch compiled"
UNROLLABLE = 20
"""Steps of a loop whose unrolled form JAX compiles in seconds; 50 take it more than 5 minutes."""

CONTESTANTS: dict[str, Contestant] = {
    NATIVE: Contestant(partial(by_difflab, engine="native"),
                       'value_and_gradient(f, engine="native")', LLVM,
                       partial(importlib.import_module, "llvmlite.binding")),
    NUMPY: Contestant(partial(by_difflab, engine="numpy"),
                      'value_and_gradient(f, engine="numpy")'),
    JAX: Contestant(by_jax, "jax.jit(jax.value_and_grad(f)), loops by lax.fori_loop", "jax",
                    partial(jax_words, False)),
    UNROLLED: Contestant(partial(by_jax, unrolled=True),
                         f"the same, loops unrolled (up to {UNROLLABLE} steps)", "jax",
                         partial(jax_words, True),
                         lambda task: task.steps is not None and task.steps <= UNROLLABLE),
    TORCH: Contestant(by_torch, "torch.autograd.grad(f(x), x), eager", "torch", torch_words),
    COMPILED: Contestant(partial(by_torch, compiled=True), "the same of torch.compile(f)",
                         "torch", torch_compiler,
                         lambda task: task.steps is None and task.direction is None
                         and shutil.which("g++") is not None),
    AUTOGRAD: Contestant(by_autograd, "autograd.value_and_grad(f)", "autograd", autograd_words),
    CASADI: Contestant(by_casadi, "casadi.Function of f and casadi.gradient(f, x)", "casadi",
                       partial(importlib.import_module, "casadi"),
                       lambda task: task.function in IN_CASADI),
    HAND: Contestant(by_numpy, "the formulas of the gradient, in NumPy"),
    C: Contestant(by_c, f"the same in C through ctypes, gcc {' '.join(in_c.FLAGS[:3])}", GCC,
                  in_c.library, lambda task: task.function in in_c.NUMBERS),
}  # fmt: skip
"""In the order of the page; whoever comes first is what the others are measured by."""


def chosen(task: Workload, names: Iterable[str]) -> list[str]:
    """Of those names, the ones that are here and have a form of the workload."""
    return [name for name in names if CONTESTANTS[name].there and CONTESTANTS[name].takes(task)]
