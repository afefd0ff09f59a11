"""Files: what is saved comes back to the bit, and nothing else is read."""

import json
import pickle

import numpy as np
import pytest

from difflab.ir.tree import flatten
from difflab.networks import Adam, CrossEntropy, Momentum, Network, SquaredError, StorageError
from difflab.networks.solvers import SCHEDULES, SOLVERS
from difflab.networks.training import Training

RNG = np.random.default_rng(0)
X = RNG.normal(size=(14, 3))
y = (X @ [1.0, -2.0, 0.5] > 0).astype(int)


def network(solver=None, dtype: str = "float64") -> Network:
    net = Network(3, dtype)
    net.fc(4, activation="leaky_relu", alpha=0.2)
    net.fc(2, activation="softmax")
    net.loss = CrossEntropy(l2=1e-3)
    net.solver = solver or Adam(batch_size=4, dropout=0.25)
    return net


def bits(net: Network) -> list[bytes]:
    return [array.tobytes() for array in flatten(net.parameters)[0]]


# -- networks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_network_comes_back(tmp_path, dtype):
    net = network(dtype=dtype)
    net.fit(X, y, updates=5)
    net.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    assert bits(again) == bits(net) and again.describe() == net.describe()
    assert (again.loss, again.solver, again.layers) == (net.loss, net.solver, net.layers)
    assert np.array_equal(again.predict_proba(X), net.predict_proba(X))
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_a_linear_head_still_knows_that_it_classifies(tmp_path):
    net = Network(3)
    net.fc(2, activation="identity")
    net.fit(X, y)
    net.save(tmp_path / "net")
    assert np.array_equal(Network.load(tmp_path / "net").predict(X), net.predict(X))


def foreign(path, kind):
    """A file that is not a saved network."""
    net = network()
    if kind == "text":
        path.write_text("not a network")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "array":
        with open(path, "wb") as file:
            np.save(file, np.ones(3))
    elif kind == "arrays":
        with open(path, "wb") as file:
            np.savez(file, W1=np.ones((3, 4)))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"format": "difflab"}))
    elif kind == "objects":
        with open(path, "wb") as file:
            np.savez(file, header=np.array([{}], object))
    elif kind == "other header":
        with open(path, "wb") as file:
            np.savez(file, header=np.frombuffer(b'{"format": "other"}', np.uint8))
    elif kind == "list header":
        with open(path, "wb") as file:
            np.savez(file, header=np.frombuffer(b"[1, 2]", np.uint8))
    elif kind == "checkpoint":
        net.fit(X, y, updates=1, checkpoint=path)
    else:
        net.save(path)
        whole = path.read_bytes()
        if kind == "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        else:  # one bit of a weight
            place = whole.index(net.parameters[0]["W"].tobytes())
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "array", "arrays", "pickle", "objects", "other header", "list header",
     "checkpoint", "truncated", "a flipped bit"],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, kind):
    path = tmp_path / "file"
    foreign(path, kind)
    with pytest.raises(StorageError, match="is no network that difflab has written"):
        Network.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", []), ("layers", [{"inputs": 3}]), ("loss", {"name": "Other"}), ("inputs", 5),
     ("solver", {"name": "Adam", "learning_rate": -1}), ("dtype", "int64"), ("later", None)],
)  # fmt: skip
def test_headers_that_do_not_fit_the_arrays_are_refused(tmp_path, name, value):
    path = tmp_path / "file"
    network().save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    header = json.loads(arrays["header"].tobytes())
    if name == "later":
        header["version"] = 99
    else:
        header["header"][name] = value
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(StorageError):
        Network.load(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Network.load(tmp_path / "nothing")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net"
    network().save(path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        network().save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# -- checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_ten_updates_and_ten_more_are_twenty(tmp_path, solver):
    """In the middle of an epoch (of 3.5 updates), with dropout, to the bit."""
    path = tmp_path / "checkpoint"
    chosen = SOLVERS[solver](batch_size=4, dropout=0.25)
    whole, halves = network(chosen), network(chosen)
    history = whole.fit(X, y, updates=20)
    halves.fit(X, y, updates=10, checkpoint=path)
    assert bits(halves) != bits(whole)
    resumed = network(chosen)
    again = resumed.fit(X, y, updates=20, checkpoint=path)
    assert bits(resumed) == bits(whole)
    stable = [name for name in history if name != "seconds"]
    assert again[stable].equals(history[stable])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("last", [1, 7, 17])
def test_schedules_resume_where_they_were(tmp_path, monkeypatch, schedule, last):
    chosen = Adam(batch_size=4, dropout=0.25, input_dropout=0.1, schedule=schedule)
    path, whole, resumed = tmp_path / "checkpoint", network(chosen), network(chosen)
    whole.fit(X, y, updates=20)
    interrupt(monkeypatch, last)
    with pytest.raises(KeyboardInterrupt):
        network(chosen).fit(X, y, updates=20, checkpoint=path)
    monkeypatch.undo()
    resumed.fit(X, y, updates=20, checkpoint=path)
    assert bits(resumed) == bits(whole)


def test_a_schedule_is_bound_to_the_length_of_its_run(tmp_path):
    path, chosen = tmp_path / "checkpoint", Adam(schedule="linear")
    network(chosen).fit(X, y, updates=10, checkpoint=path)
    with pytest.raises(StorageError, match="another training run; what differs: updates"):
        network(chosen).fit(X, y, updates=20, checkpoint=path)


def test_early_stopping_resumes_too(tmp_path):
    options = {"validation": (X[:6], 1 - y[:6]), "early_stopping": 3}
    path = tmp_path / "checkpoint"
    whole, resumed = network(Momentum(epochs=60)), network(Momentum(epochs=60))
    history = whole.fit(X, y, **options)
    resumed.fit(X, y, updates=2, checkpoint=path, **options)
    again = resumed.fit(X, y, checkpoint=path, **options)
    assert bits(resumed) == bits(whole) and len(again) == len(history)


def test_a_finished_run_is_not_run_again(tmp_path):
    path = tmp_path / "checkpoint"
    net = network()
    first = net.fit(X, y, updates=6, checkpoint=path)
    before = bits(net)
    assert net.fit(X, y, updates=6, checkpoint=path).equals(first) and bits(net) == before


def interrupt(monkeypatch, last):
    """Ctrl-C after an update."""
    step = Training._step

    def interrupted(self):
        if self.state.update == last:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Training, "_step", interrupted)


def test_an_interrupted_run_leaves_its_last_epoch(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    interrupt(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        network().fit(X, y, updates=20, checkpoint=path)
    assert path.exists()
    monkeypatch.undo()
    whole, resumed = network(), network()
    whole.fit(X, y, updates=20)
    resumed.fit(X, y, updates=20, checkpoint=path)
    assert bits(resumed) == bits(whole)


@pytest.mark.parametrize(
    ("what", "change"),
    [("seed", {"seed": 1}), ("method", {"method": "forward"}), ("data", {"X": X + 1}),
     ("solver", {"solver": Momentum()}), ("loss", {"loss": SquaredError()}),
     ("data", {"validation": 0.2}), ("every", {"every": 3})],
)  # fmt: skip
def test_a_checkpoint_of_another_run_is_refused(tmp_path, what, change):
    path = tmp_path / "checkpoint"
    network().fit(X, y, updates=3, checkpoint=path)
    net = network(change.pop("solver", None))
    net.loss = change.pop("loss", net.loss)
    with pytest.raises(StorageError, match=f"belongs to another training run; .*{what}"):
        net.fit(change.pop("X", X), y, updates=6, checkpoint=path, **change)


def test_a_network_s_file_is_no_checkpoint(tmp_path):
    network().save(tmp_path / "net")
    with pytest.raises(StorageError, match="is no checkpoint"):
        network().fit(X, y, checkpoint=tmp_path / "net")


def test_files_that_tell_every_layer_of_alpha_are_read(tmp_path):
    """As files did before an activation had options of its own."""
    net, path = network(), tmp_path / "net"
    net.save(path)
    assert told_of_alpha(path, lambda header: header).describe() == net.describe()
    path = tmp_path / "checkpoint"
    network().fit(X, y, updates=3, checkpoint=path)
    told_of_alpha(path, lambda header: header["settings"], read=continued)


def told_of_alpha(path, where, read=Network.load) -> Network:
    with np.load(path) as stored:
        arrays = dict(stored)
    whole = json.loads(arrays["header"].tobytes())
    layers = where(whole["header"])["layers"]
    assert [layer.setdefault("alpha", 0.01) for layer in layers] == [0.2, 0.01]
    arrays["header"] = np.frombuffer(json.dumps(whole).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    return read(path)


def continued(path) -> Network:
    net, whole = network(), network()
    net.fit(X, y, updates=6, checkpoint=path)
    whole.fit(X, y, updates=6)
    assert bits(net) == bits(whole)
    return net
