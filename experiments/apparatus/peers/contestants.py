"""Who makes value and gradient: difflab's engines, other projects, and code written by hand.

What flows: a workload -> for each contestant that is installed a call without arguments, which
takes NumPy's arrays and gives back the value and the gradients as NumPy's (of a network: makes a
step of training with the library's own parameters). Each is written as its manual says: compiled
once, in 64 bits, data that are not differentiated handed over beforehand.
Invariant: importing this module imports no peer.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib import import_module, metadata
from itertools import chain
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import difflab
from apparatus.peers import functions as own_words
from apparatus.peers import in_c
from apparatus.peers.workloads import PRODUCT, TRAINING, Workload
from difflab.engines import native

Call: TypeAlias = Callable[[], Any]
"""Value and gradients, or loss and parameters; a Hessian product gives None for the value."""
RATE = 1e-3
UNROLLABLE = 20  # steps of a loop that JAX compiles unrolled in seconds; 50 take it over 5 minutes


def in_words(name: str, **words: Any) -> ModuleType:
    """The module of the functions once more, in another library's words."""
    spec = importlib.util.spec_from_file_location(f"_peers_functions_{name}", own_words.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(words)
    return module


def descending(gradient: Callable[..., Any], task: Workload) -> Call:
    """The step that updates NumPy's arrays in place."""
    first, x, y = task.args
    layers = [(w.copy(), b.copy()) for w, b in first]
    owns = list(chain(*layers))

    def step() -> Any:
        value, slopes = gradient(layers, x, y)
        for own, slope in zip(owns, chain(*slopes), strict=True):
            slope *= RATE
            np.subtract(own, slope, out=own)
        return value, owns

    return step


def by_difflab(task: Workload, engine: str) -> Call:
    f, args = task.f(own_words), task.args
    if task.direction is not None:
        along = (task.direction,)
        return lambda: (None, difflab.hvp(f, args, along, engine=engine))
    both = difflab.value_and_gradient(f, argnums=task.first, engine=engine)
    return descending(both, task) if task.name == TRAINING else lambda: both(*args)


@cache
def jax_words(unrolled: bool = False) -> ModuleType:
    if "jax" not in sys.modules:  # it is one core that is timed
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.numpy.zeros(1).block_until_ready()  # so that no workload's first call counts the start

    def repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
        return jax.lax.fori_loop(0, times, lambda _, state: step(state), state)

    names = ("relu", "sigmoid", "softplus", "softmax", "log_softmax")
    words = {name: getattr(jax.nn, name) for name in names}
    words |= {} if unrolled else {"repeat": repeat}
    return in_words("jax", np=jax.numpy, logsumexp=jax.scipy.special.logsumexp, **words)


def by_jax(task: Workload) -> Call:
    f = task.f(jax_words(0 < (task.steps or 0) <= UNROLLABLE))
    import jax

    point, data = task.args[: task.wrt], [*map(jax.device_put, task.args[task.wrt :])]
    if task.direction is not None:
        product = jax.jit(lambda x, v: jax.jvp(jax.grad(f), (x,), (v,))[1])
        return lambda: (None, np.asarray(product(*point, task.direction)))

    def update(layers: Any, x: Any, y: Any) -> Any:
        value, slopes = jax.value_and_grad(f)(layers, x, y)
        return value, jax.tree.map(lambda own, slope: own - RATE * slope, layers, slopes)

    def step() -> Any:
        nonlocal layers
        value, layers = compiled(layers, *data)
        return float(value), layers

    def call() -> Any:
        value, gradients = compiled(*point, *data)
        return np.asarray(value), *map(np.asarray, gradients)

    if task.name == TRAINING:
        compiled = jax.jit(update, donate_argnums=0)  # it gives its old parameters away
        layers = jax.tree.map(jax.numpy.array, *point)
        return step
    compiled = jax.jit(jax.value_and_grad(f, argnums=tuple(range(task.wrt))))
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
        softplus=torch.nn.functional.softplus, softmax=partial(torch.softmax, dim=-1),
        log_softmax=partial(torch.log_softmax, dim=-1),
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

    begin, data = task.args[: task.wrt], [*map(torch.from_numpy, task.args[task.wrt :])]
    if compiled:
        torch._dynamo.reset()  # or else a second size is compiled for every size, and slower
        f = torch.compile(f)

    def call() -> Any:
        point = [torch.from_numpy(array).requires_grad_() for array in begin]
        value = f(*point, *data)
        return value.item(), *(g.numpy() for g in torch.autograd.grad(value, point))

    def product() -> Any:
        x = torch.from_numpy(begin[0]).requires_grad_()
        (slope,) = torch.autograd.grad(f(x), x, create_graph=True)
        return None, torch.autograd.grad(slope, x, along)[0].numpy()

    def step() -> Any:
        value = f(layers, *data)
        slopes = torch.autograd.grad(value, owns)
        with torch.no_grad():
            for own, slope in zip(owns, slopes, strict=True):
                own.sub_(slope, alpha=RATE)
        return value.item(), left

    if task.name == TRAINING:
        layers = [[torch.tensor(own, requires_grad=True) for own in pair] for pair in begin[0]]
        owns = list(chain(*layers))
        left = [own.detach() for own in owns]  # the same memory
        return step
    if task.direction is None:
        return call
    along = torch.from_numpy(task.direction)
    return product


@cache
def autograd_words() -> ModuleType:
    import autograd.numpy as anp
    import autograd.scipy.special as special

    return in_words(
        "autograd", np=anp, sigmoid=special.expit, logsumexp=special.logsumexp,
        softmax=lambda x: anp.exp(x - special.logsumexp(x, axis=-1, keepdims=True)),
        softplus=partial(anp.logaddexp, 0.0),
    )  # fmt: skip


def by_autograd(task: Workload) -> Call:
    f = task.f(autograd_words())
    import autograd

    if task.direction is not None:
        product = autograd.hessian_vector_product(f)
        return lambda: (None, product(*task.args, task.direction))
    both = autograd.value_and_grad(f, argnum=task.first)
    return lambda: both(*task.args)


@cache
def casadi_words() -> ModuleType:
    """Vectors are columns there; a loop is one step, mapped over all."""
    import casadi as ca

    def repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
        inside = [ca.MX.sym(f"s{number}", part.shape[0]) for number, part in enumerate(state)]
        after = step(inside)
        held = ca.symvar(ca.vertcat(*inside, *after))[len(inside) :]
        one = ca.Function("step", [*inside, *held], after).expand()
        along = [ca.repmat(symbol, 1, times) for symbol in held]
        return [end[:, -1] for end in one.mapaccum("steps", times, len(inside))(*state, *along)]

    words = SimpleNamespace(sum=ca.sum1, dot=ca.dot, log=ca.log, sin=ca.sin)
    words.mean = lambda x: ca.sum1(x) / x.shape[0]
    softplus = lambda x: ca.fmax(x, 0.0) + ca.log1p(ca.exp(-ca.fabs(x)))
    return in_words("casadi", np=words, repeat=repeat, softplus=softplus)


def by_casadi(task: Workload) -> Call:
    """Small functions are expanded to scalars (SX), which run faster; large ones stay matrices."""
    f, point = task.f(casadi_words()), task.args[: task.wrt]
    import casadi as ca

    symbols = [ca.MX.sym(f"x{number}", len(array)) for number, array in enumerate(point)]
    value = f(*symbols, *map(ca.DM, task.args[task.wrt :]))
    given, outputs = symbols, [value, *(ca.gradient(value, symbol) for symbol in symbols)]
    if task.direction is not None:
        along = ca.MX.sym("v", len(task.direction))
        given, outputs = [*symbols, along], [ca.jtimes(outputs[1], symbols[0], along)]
        point = (*point, task.direction)
    function = ca.Function("gradient", given, outputs)
    if task.steps is None and sum(array.size for array in (*task.args, *point)) <= 2000:
        function = function.expand()
    before = [] if task.direction is None else [None]
    return lambda: [*before, *(np.asarray(array).ravel() for array in function.call([*point]))]


def backpropagation(layers: Any, x: Any, y: Any) -> Any:
    """The loss of the network and its gradient by hand, as textbooks have it."""
    seen = [x]
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0)
        seen.append(x)
    w, b = layers[-1]
    scores = x @ w + b
    scores -= np.max(scores, 1, keepdims=True)
    share = np.exp(scores)
    total = np.sum(share, 1, keepdims=True)
    rows = np.arange(len(y))
    value = np.mean(np.log(total[:, 0]) - scores[rows, y])
    back = share / total
    back[rows, y] -= 1
    back /= len(y)
    slopes = []
    for number in reversed(range(len(layers))):
        slopes.append((seen[number].T @ back, np.sum(back, 0)))
        if number:
            back = (back @ layers[number][0].T) * (seen[number] > 0)
    return value, slopes[::-1]


def by_c(task: Workload) -> Call:
    if task.direction is not None:
        product = in_c.calling("product", 1)
        return lambda: (None, product(*task.args, task.direction)[1])
    both = in_c.calling(task.function, task.wrt)
    args = task.args if task.steps is None else (*task.args, task.steps)
    return lambda: both(*args)


ABSENT, GCC, LLVM = "not installed", "gcc", "llvmlite"
NATIVE, NUMPY, HAND, C = "difflab native", "difflab numpy", "NumPy by hand", "C by hand"
JAX, TORCH, AUTOGRAD, CASADI = "JAX jit", "PyTorch", "autograd", "CasADi"
COMPILED = "PyTorch compiled"
PROJECTS = {COMPILED: TORCH}  # every other contestant stands for itself


class Contestant(NamedTuple):
    """One who makes value and gradient: how it is called, what it needs and how that is started."""

    make: Callable[[Workload], Call]
    how: str
    package: str = ""
    start: Callable[[], object] = lambda: None
    takes: Callable[[Workload], bool] = lambda task: True

    @property
    def there(self) -> bool:
        if self.package == GCC:
            return shutil.which(GCC) is not None
        works = self.package != LLVM or native.why_not() is None
        return works and (not self.package or importlib.util.find_spec(self.package) is not None)

    @property
    def version(self) -> str:
        """Its package, or NumPy where it has none, with the version."""
        if not self.there:
            return ABSENT
        package = self.package or "numpy"
        return GCC if package == GCC else f"{package} {metadata.version(package)}"


CONTESTANTS: dict[str, Contestant] = {
    NATIVE: Contestant(partial(by_difflab, engine="native"),
                       'value_and_gradient(f, engine="native")', LLVM,
                       partial(import_module, "llvmlite.binding")),
    NUMPY: Contestant(partial(by_difflab, engine="numpy"), 'value_and_gradient(f, engine="numpy")'),
    JAX: Contestant(by_jax, "jax.jit(jax.value_and_grad(f)), loops by lax.fori_loop, up to"
                    f" {UNROLLABLE} steps unrolled, which is faster", "jax", jax_words),
    TORCH: Contestant(by_torch, "torch.autograd.grad(f(x), x), eager", "torch", torch_words),
    COMPILED: Contestant(partial(by_torch, compiled=True), "the same of torch.compile(f)",
                         "torch", torch_compiler,
                         lambda task: task.steps is None and shutil.which("g++") is not None
                         and task.name not in (PRODUCT, TRAINING)),
    AUTOGRAD: Contestant(by_autograd, "autograd.value_and_grad(f)", "autograd", autograd_words,
                         lambda task: task.name != TRAINING),
    CASADI: Contestant(by_casadi, "casadi.Function of f and casadi.gradient(f, x)", "casadi",
                       partial(import_module, "casadi"), lambda task: task.function in
                       ("rosenbrock", "helmholtz", "logistic", "chain", "pendulums")),
    HAND: Contestant(partial(descending, backpropagation), "backpropagation written out in NumPy",
                     takes=lambda task: task.name == TRAINING),
    C: Contestant(by_c, f"the same in C through ctypes, gcc {' '.join(in_c.FLAGS)}", GCC,
                  in_c.library, lambda task: task.function in in_c.NUMBERS),
}  # fmt: skip
"""In the order of the page; whoever comes first is what the others are measured by."""


def chosen(task: Workload, names: Iterable[str]) -> list[str]:
    """Of those names, the ones that are here and have a form of the workload."""
    return [name for name in names if CONTESTANTS[name].there and CONTESTANTS[name].takes(task)]
