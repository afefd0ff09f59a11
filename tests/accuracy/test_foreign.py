"""Functions of other libraries: one line each, with the names of parameters in the text.

What needs PyTorch or JAX is skipped where they are not installed (`make bench` installs them).
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from difflab import check
from difflab.accuracy.thinning import Question, thinned, weights
from difflab.errors import ArgumentError

POINT = np.array([0.3, -0.2, 2.0])


class Loss:
    """As scikit-learn writes its losses."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def loss(self, y_true: Any, raw_prediction: Any) -> Any:
        return np.logaddexp(0.0, raw_prediction) - y_true * raw_prediction

    def gradient(self, y_true: Any, raw_prediction: Any) -> Any:
        return self.factor * (1 / (1 + np.exp(-raw_prediction)) - y_true)


def test_a_loss_is_checked_by_its_own_gradient() -> None:
    labels = np.array([0.0, 1.0, 1.0])
    assert check(Loss(), labels, POINT).verdict == "correct"
    wrong = check(Loss(2.0), labels, POINT)
    assert wrong.verdict == "wrong"
    assert "raw_prediction[0]" in str(wrong) and "factor of 2" in str(wrong)
    with pytest.raises(ArgumentError, match="y_true, raw_prediction"):
        check(Loss(), POINT)


def test_scikit_learns_losses() -> None:
    losses = pytest.importorskip("sklearn._loss")
    labels = np.array([0.0, 1.0, 1.0])
    found = check(losses.HalfBinomialLoss(), labels, POINT)
    assert found.verdict == "correct" and len(found.components) == 3
    several = check(losses.HalfMultinomialLoss(n_classes=3), labels, np.eye(3))
    assert several.verdict == "correct" and len(several.components) == 9


def test_a_function_that_returns_both() -> None:
    def both(w: Any) -> Any:
        return np.sum(w**2), 2 * w

    def wrong(w: Any) -> Any:
        return np.sum(w**2), w

    assert check(both, POINT, gradient=True).verdict == "correct"
    assert "w[0]" in str(check(wrong, POINT, gradient=True))
    with pytest.raises(ArgumentError, match="its value and its gradient"):
        check(lambda w: np.sum(w), POINT, gradient=True)
    with pytest.raises(ArgumentError, match="the first derivative is judged"):
        check(both, POINT, gradient=True, order=2)
    with pytest.raises(ArgumentError, match="gradient=False"):
        check(both, POINT, gradient=False)


def test_of_many_numbers_some_are_checked_and_said() -> None:
    x = np.linspace(-1.0, 1.0, 900).reshape(30, 30)

    def gradient(x: Any) -> Any:
        found = np.cos(x)
        found[:, 3] *= 2  # a thirtieth of all
        return found

    few = thinned(Question(lambda x: np.sum(np.sin(x)), (x,), gradient, 0))
    found = check(few.f, *few.args, gradient=few.gradient)
    assert len(found.components) == 100
    wrong = {c.name for c in found.components if c.verdict == "wrong"}
    assert wrong == {c.name for c in found.components if c.name.endswith("][3]']")}
    assert 0 < len(wrong) < 20


def test_what_is_no_array_stands_between_the_numbers() -> None:
    x, y = np.linspace(0.0, 1.0, 300), np.linspace(1.0, 2.0, 300)
    asked = Question(
        lambda x, n, y: np.sum(x**n * y), (x, 2, y), lambda x, n, y: (n * x * y, x**n), (0, 2)
    )
    few = thinned(asked)
    assert check(few.f, *few.args, gradient=few.gradient).verdict == "correct"


def test_many_outputs_are_weighted() -> None:
    assert weights([(3,), ()], 10) == []
    parts = weights([(50, 10), (7,)], 40)
    assert [part.shape for part in parts] == [(50, 10), (7,)]
    assert all(np.all((np.abs(part) >= 0.5) & (np.abs(part) <= 1.5)) for part in parts)


def test_no_library_is_imported() -> None:
    code = (
        "import sys, numpy, difflab; difflab.check(numpy.tanh, 1.0); "
        "print(sorted({'torch', 'jax', 'sklearn'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# -- PyTorch ---------------------------------------------------------------------------------------


@pytest.fixture
def torch() -> Any:
    found = pytest.importorskip("torch")
    found.manual_seed(0)
    return found


def test_a_module_is_checked_by_its_parameters(torch: Any) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    before = {name: p.clone() for name, p in module.named_parameters()}
    found = check(module, torch.randn(2, 3))
    assert found.verdict == "correct", str(found)
    assert "PyTorch's own gradient is judged, by parameters['0.bias']" in str(found)
    assert any("parameters['0.weight'][1][2]" in c.name for c in found.components)
    assert any("input[1][0]" in c.name for c in found.components)
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())
    assert all(p.grad is None and p.dtype == torch.float32 for p in module.parameters())


def test_a_wrong_backward_is_found_by_name(torch: Any) -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return (x * w).sum() ** 2

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            x, w = ctx.saved_tensors
            total = (x * w).sum()
            return 2 * ct * total * w, ct * total * x

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, -1.0]))

        def forward(self, x: Any) -> Any:
            return Wrong.apply(x, self.weight)

    found = check(Module(), torch.tensor([0.5, 1.0, 2.0]) + 1)
    assert found.verdict == "wrong" and "parameters['weight'][0]" in str(found)
    assert "factor of 2" in found.diagnosis
    assert all(c.verdict == "correct" for c in found.components if c.name.startswith("x"))


def test_modules_with_dropout_buffers_frozen_weights_and_integers(torch: Any) -> None:
    module = torch.nn.Sequential(
        torch.nn.Embedding(5, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2),
        torch.nn.BatchNorm1d(2),
    )  # fmt: skip
    module[2].bias.requires_grad_(False)
    mean = module[3].running_mean.clone()
    state = torch.random.get_rng_state()
    found = check(module, torch.tensor([0, 1, 4]))
    assert found.verdict in ("correct", "undecided"), str(found)
    names = {c.name for c in found.components}
    assert not any("2.bias" in name for name in names) and any("0.weight" in name for name in names)
    assert torch.equal(mean, module[3].running_mean)
    assert torch.equal(state, torch.random.get_rng_state())


def test_functions_of_tensors(torch: Any) -> None:
    x = torch.tensor([0.5, 1.0], requires_grad=True)
    assert check(lambda x: torch.sum(torch.sin(x) * x), x).verdict == "correct"
    cut = check(lambda x: torch.sum(x.detach() ** 2), x)
    assert cut.verdict == "wrong" and "given 0" in str(cut)
    given = check(lambda x: torch.sum(x**2), x, gradient=lambda x: 2 * x)
    assert given.verdict == "correct"
    assert check(lambda x: torch.sum(x**2), x, gradient=lambda x: x).verdict == "wrong"
    several = check(lambda x, y: {"a": x * y, "b": x.sum()}, x, torch.tensor([2.0, 3.0]))
    assert several.verdict == "correct" and x.grad is None
    with_none = check(lambda x: (torch.sum(x**2), None, "text"), x)
    assert with_none.verdict == "correct" and len(with_none.components) == 2


def test_a_function_with_weights_in_float32_is_checked_in_float32(torch: Any) -> None:
    layer = torch.nn.Linear(3, 2)
    found = check(lambda x: layer(x).sum() ** 2, torch.tensor([0.5, -1.0, 2.0]))
    assert found.verdict == "correct", str(found)


def test_a_large_module_is_checked_in_part(torch: Any) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Tanh(), torch.nn.Linear(30, 10))
    found = check(module, torch.randn(4, 20))
    assert found.verdict == "correct", str(found)
    assert "of 1,020 numbers were checked" in str(found) and "40 outputs" in str(found)


# -- JAX -------------------------------------------------------------------------------------------


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax")


def test_functions_of_jax_arrays(jax: Any) -> None:
    jnp = jax.numpy

    def model(params: Any, x: Any) -> Any:
        return jnp.sum(jnp.tanh(params["w"] @ x + params["b"]) ** 2)

    params = {"w": np.ones((2, 2)), "b": np.array([0.1, -0.3])}
    found = check(model, params, np.array([0.3, 0.5]))
    assert found.verdict == "correct" and len(found.components) == 8
    assert {"params['b'][1]", "x[0]"} <= {c.name for c in found.components}
    assert "JAX's own gradient is judged, by params['b'], params['w'], x" in str(found)
    assert check(jax.jit(model), params, jnp.array([0.3, 0.5])).verdict == "correct"
    assert check(jax.jit(lambda x: jnp.sin(x) * x), jnp.array([1.0, 2.0])).verdict == "correct"


def test_a_wrong_rule_of_jax_is_found(jax: Any) -> None:
    jnp = jax.numpy

    @jax.custom_jvp
    def twice(x: Any) -> Any:
        return x**2

    twice.defjvp(lambda primals, tangents: (primals[0] ** 2, primals[0] * tangents[0]))
    found = check(lambda weights: jnp.sum(twice(weights)), jnp.array([1.0, 2.0]))
    assert found.verdict == "wrong" and "weights[0]" in str(found)


def test_pytrees_that_are_registered_with_jax(jax: Any) -> None:
    import dataclasses

    @dataclasses.dataclass
    class Params:
        weight: Any
        bias: Any

    jax.tree_util.register_dataclass(Params, ["weight", "bias"], [])
    jnp = jax.numpy
    params = Params(jnp.array([1.0, 2.0]), jnp.array(0.5))
    found = check(lambda p: jnp.sum(jnp.exp(p.weight) * p.bias), params)
    assert found.verdict == "correct"
    assert any("weight" in c.name for c in found.components)
