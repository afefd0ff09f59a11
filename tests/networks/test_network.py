"""The network as a model: its words, its functions, and what it says to bad input."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import difflab
from difflab import networks
from difflab.errors import DifflabError
from difflab.networks import Adam, CrossEntropy, MinibatchSGD, Network, SquaredError
from difflab.networks.activations import ACTIVATIONS, Activation, Option
from difflab.networks.layers import INITIALISERS, Layer
from difflab.networks.losses import LOSSES
from difflab.networks.options import POSITIVE
from difflab.networks.solvers import SOLVERS

from ..house import names_asked

X = np.random.default_rng(0).normal(size=(20, 3))
y = (X @ [1.0, -2.0, 0.5] > 0).astype(int)


def network(hidden: str = "tanh", units: int = 2, last: str = "softmax", **options) -> Network:
    net = Network(3, **options)
    net.fc(4, activation=hidden)
    net.fc(units, activation=last)
    return net


def test_forward_is_the_lecture_s_formula():
    net = network("sigmoid")
    first, second = net.parameters
    h = 1 / (1 + np.exp(-(X @ first["W"] + first["b"])))
    e = np.exp(h @ second["W"] + second["b"])
    np.testing.assert_allclose(
        net.forward(net.parameters, X), e / e.sum(axis=1, keepdims=True), rtol=1e-13
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_keep_the_dtype_and_their_slopes_exist(activation, dtype):
    layer = Layer(3, 4, activation)
    x = np.linspace(-3, 3, 12).reshape(3, 4).astype(dtype)
    assert layer.activate(x).dtype == dtype
    slope = difflab.gradient(lambda a: np.sum(layer.activate(a) * np.arange(4)))(x)
    assert slope.dtype == dtype and np.all(np.isfinite(slope))
    steepest = ACTIVATIONS[activation].steepest
    if steepest is not None:
        largest = np.max(difflab.derivative(layer.activate)(np.linspace(-40, 40, 81)))
        assert largest == pytest.approx(steepest, abs=1e-12)


def test_a_step_passes_no_gradient():
    net = network("step")
    gradient = difflab.gradient(net.objective)(net.parameters, X, y)
    assert not np.any(gradient[0]["W"]) and np.any(gradient[1]["W"])


@pytest.mark.parametrize(
    ("name", "variance"),
    [("glorot", 2 / 500), ("he", 2 / 200), ("lecun", 1 / 200), ("uniform", 1 / 600),
     ("normal", 1e-4)],
)  # fmt: skip
def test_initialisers_have_their_variance(name, variance):
    weights = INITIALISERS[name](np.random.default_rng(1), (200, 300))
    # The variance of n draws spreads by at most sqrt(2 / n) relative; 5 of those.
    assert np.var(weights) == pytest.approx(variance, rel=5 * np.sqrt(2 / weights.size))
    assert abs(np.mean(weights)) < 5 * np.sqrt(variance / weights.size)


def test_the_seed_alone_sets_the_initial_parameters():
    net, narrow = network(), network(dtype="float32")
    again = net.initial(seed=0)
    for own, same, other, rounded in zip(
        net.parameters, again, net.initial(seed=1), narrow.parameters, strict=True
    ):
        assert np.array_equal(own["W"], same["W"]) and not np.array_equal(own["W"], other["W"])
        assert np.array_equal(own["W"].astype(np.float32), rounded["W"])


def test_labels_and_unit_vectors_are_the_same_targets():
    net = network()
    by_label = net.objective(net.parameters, X, y)
    assert by_label == net.objective(net.parameters, X, np.eye(2)[y])
    found = difflab.gradient(net.objective)(net.parameters, X, y)
    again = difflab.gradient(net.objective)(net.parameters, X, np.eye(2)[y])
    assert np.array_equal(found[0]["W"], again[0]["W"])


def test_l2_adds_half_the_squares_of_the_weights_alone():
    net = network()
    net.parameters = [{"W": p["W"], "b": p["b"] + 1.0} for p in net.parameters]
    net.loss = CrossEntropy()
    plain = net.objective(net.parameters, X, y)
    net.loss = CrossEntropy(C=4.0)
    squares = sum(np.sum(p["W"] ** 2) for p in net.parameters)
    assert net.objective(net.parameters, X, y) == pytest.approx(plain + squares / 8, rel=1e-14)


def test_the_objective_s_gradient_is_certified():
    net = network()
    net.loss = CrossEntropy(l2=0.1)
    report = difflab.check(net.objective, net.parameters, X[:2], y[:2])
    assert report.ok, report


def test_predictions_fit_together():
    net = network()
    net.fit(X, y)
    probabilities = net.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_allclose(difflab.softmax(net.decision(X)), probabilities)
    assert np.array_equal(net.predict(X), np.argmax(probabilities, axis=1))
    assert net.score(X, y) == np.mean(net.predict(X) == y)


def test_one_sigmoid_stands_for_two_classes():
    net = network(units=1, last="sigmoid")
    net.solver = MinibatchSGD(learning_rate=1.0, epochs=200)
    net.fit(X, y)
    assert net.predict_proba(X).shape == (20, 2) and net.decision(X).shape == (20,)
    assert np.array_equal(net.predict(X), net.decision(X) > 0) and net.score(X, y) == 1.0


def test_regression_predicts_values():
    wanted = X @ [1.0, 2.0, 3.0]
    net = Network(3)
    net.fc(1, activation="identity")
    net.solver = MinibatchSGD(batch_size=20, epochs=500)
    history = net.fit(X, wanted)
    np.testing.assert_allclose(net.parameters[0]["W"][:, 0], [1, 2, 3], atol=1e-6)
    assert net.predict(X).shape == (20,) and net.score(X, wanted) > 1 - 1e-9
    assert "accuracy" not in history and history["r2"].iloc[-1] == net.score(X, wanted)


def test_a_linear_head_trained_on_labels_classifies():
    net = network(last="identity")
    assert net.loss == SquaredError()
    net.fit(X, y)
    assert set(net.predict(X)) <= {0, 1} and net.score(X, y) > 0.5
    with pytest.raises(DifflabError, match="no probabilities"):
        net.predict_proba(X)


def test_names_are_taken_for_losses_and_solvers():
    net = network()
    net.loss, net.solver = "SquaredError", "Adam"
    assert (net.loss, net.solver) == (SquaredError(), Adam())


def fitted(X=X, y=y, net=None, **options):
    return (net or network()).fit(X, y, **options)


def changed(attribute, value, **options):
    net = network(**options)
    setattr(net, attribute, value)
    return net.fit(X, y)


BAD = {
    "no layers": (lambda: fitted(net=Network(3)), "no layers.*net.fc"),
    "no layers to use": (lambda: Network(3).predict(X), "no layers"),
    "wrong width": (lambda: fitted(X[:, :2]), "X has 2 columns.*inputs=3"),
    "one instance": (lambda: network().predict(X[0]), r"shape \(3,\).*reshape\(1, -1\)"),
    "wrong length": (lambda: fitted(y=y[:5]), "20 rows, but y has 5"),
    "label too large": (lambda: fitted(y=y + 1), "label 2, .* labels 0 to 1"),
    "negative label": (lambda: fitted(y=y - 1), "label -1"),
    "half a label": (lambda: fitted(y=y / 2), "label 0.5"),
    "no probability": (lambda: fitted(y=np.eye(2)[y] * 2), "2, which is no probability"),
    "no distribution": (lambda: fitted(y=np.ones((20, 2))), "do not sum to 1"),
    "targets too wide": (lambda: fitted(y=np.eye(3)[y]), r"shape \(20, 3\).*2 units"),
    "NaN": (lambda: fitted(np.where(X > 1, np.nan, X)), "NaN or infinite"),
    "too large": (lambda: fitted(X * 1e200, net=network(dtype="float32")), "infinite in float32"),
    "empty": (lambda: fitted(X[:0], y[:0]), "X is empty"),
    "strings": (lambda: fitted(y=np.array(list("ab") * 10)), "numbers are needed.*np.unique"),
    "ragged": (lambda: fitted([[1.0], [1.0, 2.0]]), "equal length"),
    "dtype": (lambda: Network(3, dtype="float16"), "unknown dtype 'float16'"),
    "inputs": (lambda: Network(0), "inputs=0"),
    "units": (lambda: Network(3).fc(2.5), "units=2.5"),
    "activation": (lambda: Network(3).fc(2, activation="rely"), "did you mean 'relu'"),
    "initialiser": (lambda: Network(3).fc(2, initialiser="hee"), "did you mean 'he'"),
    "solver": (lambda: changed("solver", "Adma"), "did you mean 'Adam'"),
    "solver class": (lambda: changed("solver", Adam), "a solver of type type"),
    "loss": (lambda: changed("loss", 3.0), "a loss of type float.*CrossEntropy"),
    "head": (lambda: changed("loss", CrossEntropy(), last="relu"), "needs probabilities"),
    "lonely softmax": (lambda: fitted(net=network(units=1)), "always 1"),
    "method": (lambda: fitted(method="revers"), "did you mean 'reverse'"),
    "seed": (lambda: fitted(seed=-1), "seed=-1"),
    "validation": (lambda: fitted(validation=0.01), "holds out 0 of 20"),
    "validation list": (
        lambda: fitted(validation=[X, y]),
        r"of type list.*tuple \(X, y\)",
    ),
    "early stopping": (lambda: fitted(early_stopping=3), "pass validation=0.2"),
    "updates": (lambda: fitted(updates=0), "updates=0"),
    "updates bool": (lambda: fitted(updates=True), "updates=True"),
    "slope": (lambda: Network(3).fc(2, "leaky_relu", alpha=float("nan")), "alpha=nan"),
    "parameters": (lambda: changed("parameters", Network(3).parameters), "parameters of shapes"),
    "learning rate": (lambda: MinibatchSGD(learning_rate=-1.0), "learning_rate=-1.0"),
    "batch size": (lambda: MinibatchSGD(batch_size=0.5), "batch_size=0.5"),
    "half an epoch": (lambda: MinibatchSGD(epochs=1.5), "epochs=1.5.*whole"),
    "dropout": (lambda: MinibatchSGD(dropout=1.0), "dropout=1.0"),
    "negative l2": (lambda: CrossEntropy(l2=-1.0), "l2=-1.0"),
    "l2 and C": (lambda: CrossEntropy(l2=1.0, C=1.0), "C=1.0 with l2=1.0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_remedy(name):
    act, message = BAD[name]
    with pytest.raises(DifflabError, match=f"(?s){message}") as caught:
        act()
    assert caught.value.remedy


def test_integers_are_converted():
    whole = np.round(X * 4).astype(int)
    net, other = network(), network()
    net.fit(whole, y)
    other.fit(whole.astype(float), y.astype(float))
    assert np.array_equal(net.parameters[0]["W"], other.parameters[0]["W"])


def test_scikit_learn_and_pandas_are_not_imported():
    code = (
        "import sys, difflab.networks as n; net = n.Network(2); net.fc(1, 'identity')\n"
        "net.predict([[1.0, 2.0]])\n"
        "assert not {'sklearn', 'pandas', 'rich', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def test_an_activation_with_options_of_its_own_is_one_row(tmp_path, monkeypatch):
    with pytest.raises(DifflabError, match="unknown activation 'elu'"):
        network("elu")
    positive = {"alpha": Option(1.0, POSITIVE), "beta": Option(0.5)}
    row = Activation(lambda x, alpha, beta: elu(x, alpha) * beta, "lecun", 0.5, positive)
    monkeypatch.setitem(ACTIVATIONS, "elu", row)
    net = Network(3)
    net.fc(4, activation="elu", alpha=0.5)
    net.fc(4, activation="elu", beta=2)
    net.fc(2, activation="softmax")
    assert [str(layer) for layer in net.layers] == ["elu(0.5, 0.5)", "elu(1, 2)", "softmax"]
    history = net.fit(X, y)
    assert {"saturated_1", "dead_2"} <= set(history) and "elu(0.5, 0.5)  lecun" in net.describe()
    by_forward = network()
    by_forward.layers = net.layers
    by_forward.fit(X, y, method="forward")
    np.testing.assert_allclose(by_forward.outputs(X), net.outputs(X), rtol=1e-9)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert again.layers == net.layers and np.array_equal(again.outputs(X), net.outputs(X))
    with pytest.raises(DifflabError, match=r"(?s)alpha=-1.*a finite number above 0"):
        net.fc(2, "elu", alpha=-1)
    with pytest.raises(DifflabError, match=r"(?s)unknown option of elu 'alhpa'.*mean 'alpha'"):
        net.fc(2, "elu", alhpa=1.0)


def test_a_new_activation_of_probabilities_is_one_row(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "softmax_2", ACTIVATIONS["softmax"])
    net, known = network(last="softmax_2"), network()
    assert net.loss == CrossEntropy() and net.classifies
    net.fit(X, y)
    known.fit(X, y)
    assert np.array_equal(net.predict_proba(X), known.predict_proba(X))
    with pytest.raises(DifflabError, match="targets of a softmax_2 do not sum"):
        net.fit(X, np.ones((20, 2)))
    with pytest.raises(DifflabError, match="a softmax_2 of one unit"):
        fitted(net=network(units=1, last="softmax_2"))


def test_no_activation_or_loss_is_known_by_name_outside_its_row():
    """Building a layer of some activation is no question; comparing with a name is."""
    folder = Path(networks.__file__).parent
    names = {*ACTIVATIONS, *LOSSES, *SOLVERS}
    asked = [text for file in folder.glob("*.py") for text in names_asked(file, names)]
    classes = "|".join(LOSSES)
    asked += [
        str(file)
        for file in folder.glob("*.py")
        if re.search(rf"isinstance\([^)]*\b({classes})\b", file.read_text(encoding="utf-8"))
    ]
    assert not [text for text in asked if not text.split(":")[0].endswith("activations.py")]


def test_a_notebook_shows_the_layers_as_a_table():
    net = Network(64, dtype="float32")
    net.fc(32, activation="leaky_relu", alpha=0.5)
    net.fc(10, activation="softmax")
    found = net._repr_html_()
    rows = ElementTree.fromstring(f"<div>{found}</div>").findall("table/tr")
    assert [[cell.text for cell in row] for row in rows[1:]] == [
        ["1", "64 -> 32", "leaky_relu(0.5)", "he", "2,080"],
        ["2", "32 -> 10", "softmax", "glorot", "330"],
    ]
    assert "2,410 parameters in float32, CrossEntropy(l2=0.0, fused=True)" in found
