"""Files: what is saved comes back to the bit, and nothing else is read."""

import io
import json
import os
import pickle
import socket
import subprocess
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from difflab.errors import DomainError
from difflab.ir.tree import flatten
from difflab.networks import (
    Adam,
    CrossEntropy,
    Momentum,
    Network,
    SquaredError,
    StorageError,
    storage,
)  # fmt: skip
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


# -- files that somebody made to do harm -----------------------------------------------------------


def member(array=None, **declared) -> bytes:
    """A .npy of a weight, or of a header that tells what is not there."""
    file = io.BytesIO()
    if array is None:
        told = {"descr": "<f8", "fortran_order": False, "shape": (3, 4), **declared}
        np.lib.format.write_array_header_1_0(file, told)
        file.write(bytes(96))
    else:
        np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def header(**changes) -> bytes:
    whole = {
        "format": "difflab",
        "version": 1,
        "kind": "network",
        "header": network().description(),
    }
    whole["header"] |= changes
    return json.dumps(whole).encode()


def archive(changed, names=(), compression=zipfile.ZIP_STORED, text=None) -> bytes:
    """The file of a network with other members, and further ones."""
    net, file = network(), io.BytesIO()
    members = {"header.npy": member(np.frombuffer(text or header(), np.uint8))}
    for i, own in enumerate(net.parameters, 1):
        members |= {f"{name}{i}.npy": member(array) for name, array in own.items()}
    members |= changed
    with zipfile.ZipFile(file, "w", compression) as whole, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in [*members.items(), *((name, b"x") for name in names)]:
            whole.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def patched(whole: bytes, *places: tuple[int, bytes], mark: bytes = b"PK\1\2") -> bytes:
    """A file with other bytes at places after each such mark."""
    found, at = bytearray(whole), whole.find(mark)
    while at >= 0:
        for place, new in places:
            found[at + place : at + place + len(new)] = new
        at = whole.find(mark, at + 4)
    return bytes(found)


def damaged(compression) -> bytes:
    whole = archive({}, compression=compression)
    return whole[:60] + bytes([whole[60] ^ 0x55] * 40) + whole[100:]


BOMB = member(np.zeros(2**24))
HOSTILE = {
    **{f"a bomb, {how}": (lambda how=how: archive({"W1.npy": BOMB}, compression=how))
       for how in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)},
    **{f"damaged, {how}": (lambda how=how: damaged(how))
       for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)},
    "compressed": lambda: archive({}, compression=zipfile.ZIP_DEFLATED),
    "an unknown compression": lambda: patched(archive({}), (10, b"\x63\0")),
    "encrypted": lambda: patched(archive({}), (8, b"\1")),
    "a size of 4 GB": lambda: patched(archive({}), (20, b"\xf0\xff\xff\xff" * 2)),
    "places before the file": lambda: patched(archive({}), (42, b"\xf0\xff\xff\x7f")),
    "a directory of 4 GB": lambda: patched(
        archive({}), (12, b"\xf0\xff\xff\xff"), mark=b"PK\5\6"),
    "a second directory": lambda: archive({})[:-22] + b"PK\6\7" + bytes(16) + archive({})[-22:],
    "100,000 members": lambda: archive({}, map(str, range(100_000))),
    "a comment": lambda: archive({}) + b"and more",
    "one name twice": lambda: archive({}, ["W1.npy"]),
    "a path": lambda: archive({}, ["../../W1.npy"]),
    "an absolute path": lambda: archive({}, ["/etc/W1.npy"]),
    "another array": lambda: archive({"W3.npy": member(np.ones(3))}),
    "no weights": lambda: archive({}).replace(b"W1.npy", b"V1.npy"),
    "8 TB": lambda: archive({"W1.npy": member(shape=(10**6, 10**6))}),
    "a negative shape": lambda: archive({"W1.npy": member(shape=(-3, -4))}),
    "a shape of floats": lambda: archive({"W1.npy": member(shape=(3.0, 4.0))}),
    "a long shape": lambda: archive({"W1.npy": member(shape=(1,) * 3000)}),
    "more bytes than the shape": lambda: archive({"W1.npy": member() + b"x"}),
    "fewer bytes than the shape": lambda: archive({"W1.npy": member()[:-1]}),
    "no array": lambda: archive({"W1.npy": b"x"}),
    "another version": lambda: archive({"W1.npy": member().replace(b"NUMPY\1", b"NUMPY\2")}),
    **{f"weights of {dtype}":
           (lambda dtype=dtype: archive({"W1.npy": member(np.ones((3, 4), dtype))}))
       for dtype in ("O", "c16", ">f8", "f4", "i8", "u1", "?", "M8[s]", "m8[s]", "S8", "U2", "V8",
                     [("a", "f8")])},
    "NaN": lambda: archive({"W1.npy": member(np.full((3, 4), np.nan))}),
    "infinity": lambda: archive({"b1.npy": member(np.full(4, np.inf))}),
    "a header of 4 MB": lambda: archive({}, text=b"[" + b"[]," * 2**20 + b"[]]"),
    "a header of many lists": lambda: archive({}, text=b"[" + b"[]," * 330_000 + b"[]]"),
    "17,000 members": lambda: archive({}, map(hex, range(17_000))),
    "a deep header": lambda: archive({}, text=b"[" * 200_000),
    "a deep dictionary": lambda: archive({}, text=b'{"a":' * 100_000),
    "a long number": lambda: archive({}, text=b"9" * 10_000),
    "a header that is no text": lambda: archive({}, text=b"\xff\xfe\x00"),
    "a long kind": lambda: archive({}, text=header().replace(b"network", b"n" * 10**5, 1)),
    "wider than a float": lambda: archive({}, text=header(inputs=10**400)),
    "a header of two axes": lambda: archive(
        {"header.npy": member(np.frombuffer(header(), np.uint8).reshape(1, -1))}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(tmp_path, kind):
    path = tmp_path / "file"
    path.write_bytes(HOSTILE[kind]())
    with pytest.raises(StorageError, match="is no network that difflab has written") as caught:
        Network.load(path)
    assert caught.value.remedy and len(caught.value.what) < 400 + len(str(path))


def test_archives_as_they_should_be_are_read(tmp_path):
    """What the files above are made of."""
    path = tmp_path / "file"
    path.write_bytes(archive({}))
    assert bits(Network.load(path)) == bits(network())
    turned = np.asfortranarray(network().parameters[0]["W"])
    path.write_bytes(archive({"W1.npy": member(turned)}))
    found = Network.load(path).parameters[0]["W"]
    assert np.array_equal(found, turned) and found.flags.f_contiguous


MEASURED = """
import re, sys
from difflab.networks import Network, StorageError

def used():  # ru_maxrss would start with what the parent process uses
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1])

before = used()
for path in sys.argv[1:]:
    try:
        Network.load(path)
    except StorageError:
        print(used() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_refusals_take_little_memory(tmp_path):
    for i, make in enumerate(HOSTILE.values()):
        (tmp_path / str(i)).write_bytes(make())
    command = [sys.executable, "-c", MEASURED, *map(str, tmp_path.iterdir())]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(found) == len(HOSTILE) and max(map(int, found)) < 50_000  # kB


@pytest.mark.parametrize(
    "changes",
    [{"loss": {"name": "CrossEntropy", "l2": 1e-3, "fused": "no"}}, {"labelled": 1},
     {"loss": {"name": "CrossEntropy", "l2": 1e-3, "fused": True, "more": 1}}, {"more": 1},
     {"loss": 5}, {"loss": []}, {"loss": {"name": []}}, {"dtype": []}, {"dtype": None},
     {"inputs": -3}, {"inputs": 10**30}, {"inputs": True}, {"inputs": "3"}, {"layers": "relu"},
     {"layers": [{"units": 10**12}]}, {"layers": [{"units": -1}]}, {"layers": {"units": 4}},
     {"layers": [{"units": 4, "activation": "leaky_relu", "initialiser": 0, "alpha": 0.2},
                 {"units": 2, "activation": "softmax", "initialiser": "glorot"}]},
     {"layers": [{"units": 4, "activation": [], "initialiser": "he"}]},
     {"solver": {"name": "Adam", "learning_rate": float("nan")}},
     {"solver": {"name": "Adam", "learning_rate": 10**400}},
     {"solver": {"name": "Adam", "schedule": []}}, {"solver": {"name": "Loss"}}],
)  # fmt: skip
def test_settings_of_wrong_kinds_are_refused(tmp_path, changes):
    path = tmp_path / "file"
    path.write_bytes(archive({}, text=header(**changes)))
    with pytest.raises(StorageError, match="is no network that difflab has written"):
        Network.load(path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/zero"
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            os.chdir(tmp_path)  # the name of a socket has to be short
            bound.bind("file")
    with pytest.raises(StorageError, match="a folder, a pipe or a device"):
        Network.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("update", -1), ("update", 1.5), ("update", "3"), ("rows", [1]), ("rows", [{"loss": "x"}]),
     ("losses", "x"), ("losses", [None]), ("lowest", None), ("waited", True), ("seconds", [])],
)  # fmt: skip
def test_checkpoints_of_wrong_kinds_are_refused(tmp_path, name, value):
    path = tmp_path / "file"
    network().fit(X, y, updates=3, checkpoint=path)
    with np.load(path) as stored:
        arrays = dict(stored)
    whole = json.loads(arrays["header"].tobytes())
    whole["header"]["state"][name] = value
    arrays["header"] = np.frombuffer(json.dumps(whole).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(StorageError, match="is no checkpoint that difflab has written"):
        network().fit(X, y, updates=6, checkpoint=path)


def test_a_network_that_is_not_finite_is_not_saved(tmp_path):
    net = network()
    net.parameters[1]["b"][0] = np.nan
    with pytest.raises(DomainError, match="b2 holds values that are not finite"):
        net.save(tmp_path / "net")
    assert not [*tmp_path.iterdir()]


def test_a_checkpoint_that_could_not_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(storage.HEADERS, "checkpoint", 2000)
    with pytest.raises(StorageError, match="it may have 2,000"):
        network().fit(X, y, updates=20, every=1, checkpoint=tmp_path / "file")


# -- writing ---------------------------------------------------------------------------------------


def test_threads_that_save_to_one_place(tmp_path):
    nets = [network() for _ in range(8)]
    for i, net in enumerate(nets):
        net.parameters[1]["b"][:] = i
    path = tmp_path / "net"

    def save(number: int) -> float:
        nets[number % 8].save(path)
        return Network.load(path).parameters[1]["b"][0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(save, range(300))) <= set(range(8))
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_in_the_place_is_replaced_and_not_followed(tmp_path):
    other, path = tmp_path / "other", tmp_path / "net"
    other.write_text("mine")
    path.symlink_to(other)
    network().save(path)
    assert other.read_text() == "mine" and not path.is_symlink()
    assert path.stat().st_mode == other.stat().st_mode
    network().save(tmp_path / ("n" * 255))
    network().save(os.fsencode(path))


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
