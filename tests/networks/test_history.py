"""The history of a training, drawn; its bar on a terminal, in a notebook and in a file."""

from __future__ import annotations

import io
import pickle
import sys
import time
import types
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.networks import Adam, Network
from difflab.networks.progress import bar

X = np.linspace(-1.0, 1.0, 60)[:, None]
Y = (X[:, 0] > 0).astype(int)


def trained(activation: str = "sigmoid", epochs: int = 5, **options: Any) -> Any:
    net = Network(inputs=1)
    net.fc(1, activation=activation)
    net.solver = Adam(epochs=epochs, batch_size=20)
    return net.fit(X, Y, **options)


@pytest.mark.parametrize("validation", [None, 0.2])
@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize(("activation", "score"), [("sigmoid", "accuracy"), ("identity", "R²")])
def test_a_history_draws_loss_and_score(
    activation: str, score: str, epochs: int, validation: float | None
) -> None:
    history = trained(activation, epochs, validation=validation)
    figure = history.plot()
    figure.draw_without_rendering()
    left, right = figure.axes
    assert left.get_ylabel().startswith("loss") and right.get_ylabel().startswith(score)
    assert {axis.get_xlabel() for axis in figure.axes} == {"epoch"}
    names = ["training", "validation"] if validation else ["training"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    prefixes = ["", "validation_"][: len(names)]
    for prefix, line in zip(prefixes, left.lines, strict=True):
        assert np.array_equal(line.get_ydata(), history[f"{prefix}loss"])
        assert line.get_marker() not in ("None", "", None)  # one epoch is a point
    box = legend.get_window_extent()
    assert all(not box.overlaps(axis.get_window_extent()) for axis in figure.axes)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_rows_within_an_epoch_are_drawn_by_update() -> None:
    left, _ = trained(every=1, updates=7).plot().axes
    assert left.get_xlabel() == "update" and list(left.lines[0].get_xdata()) == list(range(1, 8))


def test_losses_of_many_sizes_are_drawn_logarithmically() -> None:
    history = trained()
    history["loss"] = np.logspace(0, -4, len(history))
    left, right = history.plot().axes
    assert left.get_yscale() == "log" and right.get_yscale() == "linear"
    assert "logarithmic" in left.get_ylabel()


def test_a_history_is_a_frame_otherwise() -> None:
    history = trained()
    assert type(history.iloc[1:]) is pd.DataFrame and isinstance(history, pd.DataFrame)
    assert history.plot(x="epoch", y="loss").get_xlabel() == "epoch"
    assert len(history.plot.line(y="loss").lines) == 1
    back = pickle.loads(pickle.dumps(history))
    pd.testing.assert_frame_equal(back, history)
    assert len(back.plot().axes) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def strict() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("forced", [False, True])
def test_a_file_gets_no_bar_or_one_line(monkeypatch: pytest.MonkeyPatch, forced: bool) -> None:
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    for wanted, lines in ((None, 0), (False, 0), (True, 1)):
        monkeypatch.setattr(sys, "stderr", file := io.StringIO())
        trained(progress=wanted)
        assert len(file.getvalue().split("\n")) - 1 == lines and "\033" not in file.getvalue()
        assert ("15/15" in file.getvalue()) == bool(wanted)


def test_a_terminal_gets_a_bar_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", file := Terminal())
    trained()
    assert "15/15" in file.getvalue() and file.getvalue().endswith("\033[2K")


def test_a_notebook_gets_one_output_without_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[dict[str, str]] = []

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Any:
        assert raw and display_id and not outputs
        outputs.append(data)
        return types.SimpleNamespace(update=lambda data, raw: outputs.append(data))

    shell = types.SimpleNamespace(kernel=object())
    known = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", known)  # type: ignore[arg-type]
    there = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", there)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    clock = iter(np.arange(0.0, 100.0, 0.05).tolist())
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with bar(True, 10, 60) as advance:
        for _ in range(50):
            advance()
    assert 3 <= len(outputs) <= 25 and outputs[0]["text/plain"] == "updates 10/60"
    assert "<progress" in outputs[1]["text/html"] and outputs[-1]["text/html"] == ""
    assert file.getvalue() == ""
