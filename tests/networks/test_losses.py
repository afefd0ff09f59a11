"""The losses against enclosures of the textbook formulas, and against each other."""

import numpy as np
import pytest
from flint import arb, ctx

import difflab
from difflab.networks import CrossEntropy, SquaredError
from difflab.networks.layers import Layer

SIGMOID, SOFTMAX = Layer(3, 1, "sigmoid"), Layer(3, 3, "softmax")
LOGITS = [-700.0, -40.0, -1.5, -1e-9, 0.0, 0.3, 12.0, 40.0, 700.0]


@pytest.fixture(autouse=True)
def digits():
    before, ctx.prec = ctx.prec, 3000
    yield
    ctx.prec = before


def ulps(found, exact: arb) -> float:
    return abs(float((arb(float(found)) - exact) / arb(float(np.spacing(abs(float(exact)))))))


@pytest.mark.parametrize("y", [0, 1])
@pytest.mark.parametrize("a", LOGITS)
def test_binary_cross_entropy_and_its_slope_keep_their_digits(a, y):
    def loss(logits):
        return np.sum(CrossEntropy().each(logits, np.array([[float(y)]]), SIGMOID))

    value, slope = difflab.value_and_gradient(loss)(np.array([[a]]))
    s = 1 / (1 + (-arb(a)).exp())
    assert ulps(value, -s.log() if y else -(1 - s).log()) <= 4
    assert ulps(slope[0, 0], s - y) <= 4


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0, 300.0])
def test_cross_entropy_of_classes_is_minus_a_y_plus_log_sum_exp(spread):
    logits = np.array([[0.5, -1.0, 2.0]]) * spread
    for label in range(3):
        (found,) = CrossEntropy().each(logits, np.eye(3)[[label]], SOFTMAX)
        total = sum((arb(float(a)).exp() for a in logits[0]), arb(0))
        exact = total.log() - arb(float(logits[0, label]))
        # Shifted logits are rounded before they are subtracted: an ulp of the largest counts.
        assert abs(float(arb(float(found)) - exact)) <= 4 * np.spacing(
            max(float(exact), np.ptp(logits))
        )


def test_the_naive_form_is_the_same_until_a_probability_underflows():
    near, far = np.array([[0.3, -1.0, 2.0]]), np.array([[800.0, 0.0, 0.0]])
    y = np.eye(3)[[1]]
    naive, fused = CrossEntropy(fused=False), CrossEntropy()
    np.testing.assert_allclose(
        naive.each(near, y, SOFTMAX), fused.each(near, y, SOFTMAX), rtol=1e-14
    )
    assert fused.each(far, y, SOFTMAX) == 800.0
    with np.errstate(all="ignore"):
        assert not np.isfinite(naive.each(far, y, SOFTMAX)).all()
        assert naive.each(np.array([[-800.0]]), np.array([[1.0]]), SIGMOID) == np.inf
    one, labels = np.array([[0.7], [-2.0]]), np.array([[1.0], [0.0]])
    np.testing.assert_allclose(
        naive.each(one, labels, SIGMOID), fused.each(one, labels, SIGMOID), rtol=1e-14
    )


def test_each_sigmoid_output_counts():
    layer = Layer(3, 2, "sigmoid")
    logits, y = np.array([[1.0, -2.0]]), np.array([[1.0, 1.0]])
    apart = [CrossEntropy().each(logits[:, [k]], y[:, [k]], SIGMOID) for k in range(2)]
    np.testing.assert_allclose(CrossEntropy().each(logits, y, layer), sum(apart), rtol=1e-15)


def test_squared_error_is_half_the_squared_distance():
    layer = Layer(3, 2, "identity")
    found = SquaredError().each(np.array([[1.0, 2.0]]), np.array([[4.0, -2.0]]), layer)
    assert found == [12.5]


def test_the_lecture_s_exercise():
    """l(w) = -log s(w.x) with x = (1, 1, 1) and w = (1, 1, -1.5)."""
    x, w = np.ones((1, 3)), np.array([[1.0], [1.0], [-1.5]])
    value, slope = difflab.value_and_gradient(
        lambda w: np.sum(CrossEntropy().each(x @ w, np.ones((1, 1)), SIGMOID))
    )(w)
    assert value == 0.4740769841801067
    np.testing.assert_array_max_ulp(slope, np.full((3, 1), -0.37754066879814541), 1)


@pytest.mark.parametrize("loss", [CrossEntropy(0.1), CrossEntropy(fused=False), SquaredError()])
def test_losses_keep_float32(loss):
    logits = np.array([[0.5, 1.0, -1.0]], np.float32)
    assert loss.each(logits, np.eye(3, dtype=np.float32)[[0]], SOFTMAX).dtype == np.float32
    assert loss.penalty([{"W": logits}]).dtype == np.float32
