"""The loop: one program an update, the same training by every method, and what stops it."""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import difflab
from difflab import METHODS, Numerical
from difflab.engines.numpy import compiled
from difflab.ir.tree import flatten
from difflab.methods import Reverse
from difflab.networks import (
    Adam,
    CrossEntropy,
    DivergedError,
    DivergenceWarning,
    DNNRegressor,
    MinibatchSGD,
    Momentum,
    Network,
    SquaredError,
    metrics,
)
from difflab.networks.activations import ACTIVATIONS
from difflab.networks.examples import Minibatches
from difflab.networks.layers import Layer, pre_activations
from difflab.networks.metrics import BLOCK, figures, survey
from difflab.networks.solvers import SCHEDULES, SOLVERS
from difflab.networks.update import Update, update_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(14, 3))
y = (X @ [1.0, -2.0, 0.5] > 0).astype(int)


def network(hidden: str = "tanh", dtype: str = "float64", **options) -> Network:
    net = Network(3, dtype)
    net.fc(2, activation=hidden)
    net.fc(2, activation="softmax")
    net.loss = CrossEntropy(l2=1e-3)
    net.solver = MinibatchSGD(batch_size=4, **options)
    return net


def weights_of(parameters) -> np.ndarray:
    return np.concatenate([array.ravel() for array in flatten(parameters)[0]])


def weights(net: Network) -> np.ndarray:
    return weights_of(net.parameters)


def trained(net: Network, **options) -> np.ndarray:
    net.fit(X, y, **options)
    return weights(net)


# -- one update ------------------------------------------------------------------------------------


def batch_of(net: Network) -> list[np.ndarray]:
    rows = np.float64(X[:4]), np.eye(2)[y[:4]]
    return [array.astype(net.dtype) for array in rows]


@pytest.mark.parametrize("name", SOLVERS)
def test_an_update_is_gradient_and_step(name):
    net = network()
    net.solver = SOLVERS[name](batch_size=4)
    batch = batch_of(net)
    arrays = flatten(net.parameters)[0]
    memory = [tuple(np.abs(p) + 0.1 for _ in own) for p, own in
              zip(arrays, net.solver.memory(arrays), strict=True)]  # fmt: skip
    update = Update(net, Reverse(), net.parameters, batch)
    loss, norms, moved, kept = update(arrays, batch, memory, 3)
    value, slopes = difflab.value_and_gradient(net.objective)(net.parameters, *batch)
    slopes = flatten(slopes)[0]
    wanted, remembered = net.solver.step(arrays, slopes, memory, net.solver.learning_rate, 3)
    assert loss == pytest.approx(value, rel=1e-14)
    assert norms[0] == pytest.approx(np.sqrt(np.sum(slopes[0] ** 2) + np.sum(slopes[1] ** 2)))
    for found, exact in zip(moved, wanted, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-13)
    for found, exact in zip(flatten(kept)[0], flatten(remembered)[0], strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-13)


def test_an_update_is_one_program_with_planned_buffers():
    net = network()
    program = compiled(Update(net, Reverse(), net.parameters, batch_of(net)).run.graph)
    assert program.buffer_bytes > 0
    assert program.source.count("matmul") == 2 + 3  # forward; back: two for W, one for h
    assert len(program.graph.outputs) == 1 + 2 + 4  # the loss, the norms, the parameters


def test_what_was_compiled_serves_the_next_training():
    found = []
    for rate, epochs in ((0.1, 3), (0.2, 5)):
        net = network(learning_rate=rate, epochs=epochs)
        found.append(update_of(net, Reverse(), net.parameters, batch_of(net)))
    assert found[0] is found[1]
    net.loss = CrossEntropy(l2=0.5)
    assert update_of(net, Reverse(), net.parameters, batch_of(net)) is not found[0]


def test_a_loss_of_one_s_own_is_looked_at_anew():
    weight = [1.0]

    class Weighted(SquaredError):
        def each(self, logits, targets, last):
            return weight[0] * super().each(logits, targets, last)

    found = []
    for weight[0] in (1.0, 0.0):
        net = network()
        net.loss = Weighted()
        found.append(trained(net, updates=2))
    assert np.array_equal(found[1], weights_of(net.initial(0)))
    assert not np.array_equal(*found)


def test_memory_does_not_grow_with_updates():
    net = Network(40)
    net.fc(50)
    net.fc(10, activation="softmax")
    net.solver = Adam(dropout=0.5)
    inputs, targets = RNG.normal(size=(200, 40)), np.eye(10)[RNG.integers(10, size=200)]
    batches = Minibatches(inputs, targets, 32, 0, 0.5, [50])
    update = Update(net, Reverse(), net.parameters, batches.take(1))
    arrays = flatten(net.parameters)[0]
    memory = net.solver.memory(arrays)
    returned = 3 * sum(array.nbytes for array in arrays)  # parameters, and Adam's two of each

    def many(first: int, count: int) -> None:
        nonlocal arrays, memory
        for number in range(first, first + count):
            _, _, arrays, memory = update(arrays, batches.take(number), memory, number)

    tracemalloc.start()
    try:
        many(1, 20)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        many(21, 200)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096  # less than the instances of one minibatch, in 200 updates
    assert peak - before < 1.2 * returned + 65536  # what is returned, and NumPy's own temporaries


# -- the same training by every method -------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["tanh", "relu"])
def test_training_is_the_same_by_every_exact_method(hidden):
    found = {
        method: trained(network(hidden, dropout=0.25), method=method, updates=20)
        for method in ("reverse", "forward", "symbolic", "complex_step")
    }
    for weights_ in found.values():
        np.testing.assert_allclose(weights_, found["reverse"], rtol=1e-10)
    assert not np.array_equal(found["reverse"], weights(network(hidden)))


def test_differences_train_through_the_same_loop():
    exact = trained(network(), updates=20)
    errors = {
        name: np.max(np.abs(trained(network(), method=name, updates=20) - exact))
        for name in METHODS
        if "difference" in name or name == "richardson"
    }
    assert errors["central_difference"] < 1e-8 and errors["richardson"] < 1e-9
    assert 1e-10 < errors["forward_difference"] < 1e-5
    fourth = trained(network(), method=Numerical("central", 4), updates=20)
    assert np.max(np.abs(fourth - exact)) < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_float32_stays_float32(method):
    net = network(dtype="float32")
    net.fit(X, y, method=method, updates=2)
    assert {array.dtype.name for array in flatten(net.parameters)[0]} == {"float32"}
    assert net.outputs(X).dtype == np.float32


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_programs_compute_in_float32_alone(solver):
    net = network(dtype="float32")
    net.solver = SOLVERS[solver]()
    graph = Update(net, Reverse(), net.parameters, batch_of(net)).run.graph
    assert {node.dtype.name for node in graph.nodes if node.shape} <= {"float32", "bool"}


# -- what a seed determines ------------------------------------------------------------------------


def test_a_seed_determines_everything():
    options = {"validation": 0.3, "updates": 9}
    first = trained(network(dropout=0.5), seed=3, **options)
    assert np.array_equal(first, trained(network(dropout=0.5), seed=3, **options))
    assert not np.array_equal(first, trained(network(dropout=0.5), seed=4, **options))


def test_every_instance_is_used_once_an_epoch():
    rows = np.arange(14.0)[:, None]
    batches = Minibatches(rows, rows, 4, seed=1)
    seen = np.concatenate([batches.take(number)[0][:, 0].copy() for number in range(1, 8)])
    assert np.array_equal(np.sort(seen[:14]), np.arange(14))
    assert np.array_equal(np.sort(seen[14:]), np.arange(14))
    assert not np.array_equal(seen[:14], seen[14:])
    assert [batches.epochs(number) for number in (3, 4, 7)] == [0, 1, 2]


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    batches = Minibatches(X, X, 14, 0, dropout=0.25, hidden=[5000])
    mask = batches.take(1)[2].copy()
    assert set(np.unique(mask)) == {0.0, 1 / 0.75}
    assert np.mean(mask == 0) == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / mask.size))
    assert not np.array_equal(mask, batches.take(2)[2])


def test_masks_multiply_the_hidden_layers():
    net = network("relu")
    nothing = pre_activations(net.layers, net.parameters, X, [np.zeros((14, 2))])[-1]
    np.testing.assert_array_equal(nothing, np.broadcast_to(net.parameters[1]["b"], (14, 2)))


def test_dropout_of_inputs_leaves_the_data_and_the_other_masks_alone():
    rows = RNG.uniform(1.0, 2.0, size=(50, 400))
    batches = Minibatches(rows, rows, 50, 0, 0.5, [30], input_dropout=0.25)
    kept, targets, mask = batches.take(1)
    shares = np.round(kept / targets, 12)  # the targets are the instances before
    assert set(np.unique(shares)) == {0.0, np.round(1 / 0.75, 12)}
    assert np.mean(shares == 0) == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / rows.size))
    assert rows.min() >= 1.0
    assert np.array_equal(mask, Minibatches(rows, rows, 50, 0, 0.5, [30]).take(1)[2])


def test_the_schedule_sets_the_rate_of_every_update():
    net = network(learning_rate=0.3, schedule="linear")
    net.solver = replace(net.solver, batch_size=14)
    wanted = net.initial(0)
    for rate in (0.3, 0.2, 0.1):
        slopes = difflab.gradient(net.objective)(wanted, X, np.eye(2)[y])
        wanted = [
            {name: own[name] - rate * g[name] for name in own}
            for own, g in zip(wanted, slopes, strict=True)
        ]
    found = trained(net, updates=3)
    np.testing.assert_allclose(found, np.concatenate([a.ravel() for a in flatten(wanted)[0]]))


def test_the_schedule_is_no_part_of_the_program():
    """The rate is an input of it, so that all updates are one program."""
    sources = set()
    for schedule in SCHEDULES:
        net = network(schedule=schedule)
        sources.add(Update(net, Reverse(), net.parameters, batch_of(net)).run.source)
    assert len(sources) == 1


# -- the history -----------------------------------------------------------------------------------


def test_the_history_has_a_row_an_epoch():
    net = network(epochs=3)
    history = net.fit(X, y, validation=(X, y))
    assert list(history["epoch"]) == [1, 2, 3] and list(history["update"]) == [4, 7, 11]
    assert history["accuracy"].iloc[-1] == net.score(X, y)
    assert history["validation_accuracy"].iloc[-1] == net.score(X, y)
    net.loss = CrossEntropy()
    plain = net.objective(net.parameters, X, y)
    assert history["validation_loss"].iloc[-1] == pytest.approx(plain, rel=1e-14)
    expected = {"loss", "gradient_norm_1", "gradient_norm_2", "saturated_1", "dead_1", "seconds"}
    assert expected <= set(history) and not history.isna().any(axis=None)


def test_the_loss_is_the_mean_over_updates():
    single = network().fit(X, y, every=1, updates=4)["loss"]
    (both,) = network().fit(X, y, every=4, updates=4)["loss"]
    assert both == pytest.approx(single.mean(), rel=1e-15)
    assert single[0] != single[1]


def test_dead_and_saturated_units_are_counted():
    layers = [Layer(1, 4, "relu"), Layer(4, 1, "identity")]
    first = {"W": np.array([[1.0, 1.0, 0.0, -1.0]]), "b": np.array([0.0, 9.0, -1.0, -9.0])}
    parameters = [first, {"W": np.ones((4, 1)), "b": np.zeros(1)}]
    found = survey(layers, parameters, np.array([[1.0], [-1.0]]))[1]
    assert found == {"saturated_1": 5 / 8, "dead_1": 0.5}
    layers[0] = Layer(1, 4, "sigmoid")  # steepest 1/4: 9 is saturated, -1 is not
    assert survey(layers, parameters, np.array([[1.0], [-1.0]]))[1] == {
        "saturated_1": 0.5,
        "dead_1": 0.0,
    }


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "leaky_relu", "step", "softmax"])
def test_figures_of_many_instances_are_those_of_one_pass(activation):
    net = Network(3)
    net.fc(6, activation=activation)
    net.fc(2, activation="softmax")
    many = RNG.normal(0.0, 3.0, size=(2 * BLOCK + 7, 3))
    outputs, shares = survey(net.layers, net.parameters, many)
    np.testing.assert_allclose(outputs, net.outputs(many), rtol=1e-13)
    a, steepest = many @ net.parameters[0]["W"], ACTIVATIONS[activation].steepest
    if steepest is None:
        assert shares == {}
        return
    slopes = np.abs(difflab.derivative(net.layers[0].activate)(a))
    assert shares == {
        "saturated_1": np.mean(slopes <= 0.05 * steepest),
        "dead_1": np.mean(np.all(slopes == 0, axis=0)),
    }


def test_a_row_looks_at_every_instance_once(monkeypatch):
    seen = []

    def counted(layers):
        program = figures(layers)

        def run(parameters, x):
            seen.append(len(x))
            return program(parameters, x)

        return run

    monkeypatch.setattr(metrics, "figures", counted)
    network().fit(X, y, every=2, updates=6)
    assert sum(seen) == 3 * len(X)


def test_early_stopping_keeps_the_best():
    net = network(epochs=200, learning_rate=2.0)
    wrong = (X[:6], 1 - y[:6])  # the better it learns, the worse it does here
    history = net.fit(X, y, validation=wrong, early_stopping=3)
    best = history["validation_loss"].idxmin()
    assert len(history) == best + 1 + 3
    net.loss = CrossEntropy()
    assert net.objective(net.parameters, *wrong) == pytest.approx(history["validation_loss"][best])


def test_early_stopping_without_a_row_keeps_what_was_trained():
    stopped, free = network(), network()
    stopped.fit(X, y, validation=(X, y), early_stopping=3, updates=2)
    free.fit(X, y, updates=2)
    assert np.array_equal(weights(stopped), weights(free))


def test_a_warm_start_goes_on_from_the_parameters():
    net = network()
    net.parameters = start = [{"W": p["W"] * 0, "b": p["b"]} for p in net.parameters]
    net.solver = MinibatchSGD(learning_rate=1e-300)
    net.fit(X, y, updates=1, warm_start=True)
    assert not np.any(net.parameters[0]["W"]) and not np.any(start[0]["W"])


def test_the_bar_shows_where_it_is_wanted(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # which rich takes for a terminal
    for wanted, shown in ((True, True), (None, False), (False, False)):
        network().fit(X, y, updates=3, progress=wanted)
        out, err = capsys.readouterr()
        assert not out and ("3/3" in re.sub(r"\x1b\[[0-9;]*m", "", err)) == shown


# -- what stops it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loss_that_diverges_names_update_and_layer(dtype):
    net = Network(3, dtype)
    net.fc(4)
    net.fc(1, activation="identity")
    net.loss = SquaredError()
    net.solver = MinibatchSGD(learning_rate=1e6, batch_size=4)
    before = weights(net)
    message = r"(?s)update \d+ stopped: the loss is .*; .*layer \d \((relu|identity)\)"
    with pytest.raises(DivergedError, match=message + r".*smaller learning rate than 1e\+06"):
        net.fit(X, y)
    assert np.array_equal(weights(net), before)


def test_the_naive_loss_s_fault_is_the_last_layer_s():
    net = network()
    net.loss = CrossEntropy(fused=False)
    net.parameters = [{"W": p["W"] * 1e4, "b": p["b"]} for p in net.parameters]
    with pytest.raises(
        DivergedError, match=r"(?s)update 1 .*loss is nan.* but not the loss .*layer 2 .*fused=True"
    ):
        net.fit(X, y, warm_start=True)


@pytest.mark.parametrize(("layer", "name"), [(1, "W"), (2, "b")])
def test_the_first_layer_that_is_not_finite_is_named(layer, name):
    net = network()
    net.parameters[layer - 1][name][...] = np.nan
    with pytest.raises(DivergedError, match=f"update 1 .*layer {layer} .*parameters"):
        net.fit(X, y, warm_start=True)


def test_parameters_that_overflow_at_the_last_update_are_noticed():
    net = Network(3)
    net.fc(1, activation="identity")
    net.solver = Momentum(learning_rate=1.7e308, batch_size=4)
    with pytest.raises(DivergedError, match="parameters of layer 1"):
        net.fit(X, X @ [1.0, 2.0, 3.0] * 100, updates=1)


# -- losses that grow and stay finite --------------------------------------------------------------


@pytest.mark.parametrize("fit", ["network", "regressor"])
def test_a_loss_that_has_grown_by_orders_is_named(fit):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(64, 2))
    net = Network(2)
    net.fc(1, activation="identity")
    net.solver = MinibatchSGD(learning_rate=100.0, epochs=10)
    model = DNNRegressor(
        (), solver="MinibatchSGD", learning_rate=100.0, epochs=10, schedule="constant",
        random_state=0,
    )  # fmt: skip
    with pytest.warns(DivergenceWarning, match="training diverged: the loss went from .* smaller"):
        history = (net if fit == "network" else model).fit(rows, rows[:, 0])
    history = history if fit == "network" else model.history_
    assert history.attrs["diverged"] and np.isfinite(history["loss"].iloc[-1])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_loss_that_falls_or_rises_a_little_is_not(scale):
    rows = np.random.default_rng(0).normal(size=(64, 2))
    net = Network(2)
    net.fc(1, activation="identity")
    for _ in range(2):  # from the start, and from where nothing is left to learn
        history = net.fit(rows, scale * rows[:, 0], warm_start=True)
        assert history.attrs["diverged"] is False


def test_the_best_parameters_have_not_diverged():
    rows = np.random.default_rng(0).normal(size=(64, 2))
    net = Network(2)
    net.fc(1, activation="identity")
    net.solver = MinibatchSGD(learning_rate=3.0, epochs=20)
    history = net.fit(rows, rows[:, 0], validation=(rows, rows[:, 0]), early_stopping=3)
    assert history["loss"].iloc[-1] > 1e3 and not history.attrs["diverged"]
