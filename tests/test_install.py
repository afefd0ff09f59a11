"""What difflab gives where no extra is installed: all but what one brings, and then its name."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .house import PROJECT, declared

EXTRAS = PROJECT["project"]["optional-dependencies"]
REFUSED = declared(*EXTRAS) - declared() - {"mpmath", "cycler"}
"""What only extras bring: SymPy needs mpmath itself, and Matplotlib cycler."""

BEFORE = """
import contextlib, io, json, sys, traceback
from importlib import metadata

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def version(name, known=metadata.version):
    if name in PACKAGES:
        raise metadata.PackageNotFoundError(name)
    return known(name)

sys.meta_path.insert(0, Refused())
metadata.version = version
import numpy as np
import difflab
from difflab import networks
from difflab.__main__ import main

def f(x):
    return np.sum(np.tanh(x) * x)

x, many, told = np.array([1.0, 2.0]), np.arange(6.0).reshape(3, 2), {}
net = networks.Network(inputs=2)
net.fc(1, activation="sigmoid")
net.loss = networks.CrossEntropy()
net.solver = networks.MinibatchSGD(learning_rate=1.0, batch_size=2, epochs=2)

for step in STEPS:
    out, result = io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            result = eval(step) if not step.startswith("difflab ") else main(step.split()[1:])
        except difflab.errors.MissingPackageError as error:
            out.write(f"missing: {error.what}; {error.remedy}")
        except BaseException:
            out.write(traceback.format_exc())
    told[step] = f"{result}; {out.getvalue()}"
print(json.dumps(told))
"""

WORKS = {
    "difflab.gradient(f)(x)": "[1.1815",
    "difflab.gradient(f, engine='native')(x)": "[1.1815",  # falls back to NumPy
    "difflab.gradient(f, method='symbolic')(x)": "[1.1815",
    "difflab.check(f, x).verdict": "correct;",
    "len(difflab.compare(f, x, methods=['reverse', 'complex_step']).table)": "2;",
    "difflab.compare(f, x, methods=['forward']).plot().get_axes() != []": "True;",
    "difflab.truth(f, x).verdict": "smooth;",
    "difflab.explain(lambda t: np.log(1 + np.exp(t)), -40.0).guilty.name": "c;",
    "difflab.explain(f, x).save('page.html')": "None; ",
    "difflab.jet(lambda t: 1 / (1 - t), 0.0, 3)": "[1. 1. 1. 1.];",
    "difflab.enclose(lambda t: t * t, (0.0, 2.0)).value.upper": "4.0",
    "difflab.estimate(f, x).value[0]": "1.1815",
    "difflab.batch(f)(many).shape": "(3,);",
    "r'\\sin' in difflab.latex(difflab.trace(np.sin, 1.0))": "True;",
    "len(net.fit(np.eye(2), np.array([0, 1]), seed=0))": "2;",
    "difflab.testing.assert_gradient(f, x)": "None; ",
    "difflab compare sin(x)/x x=1e-6": "0; derivative of sin(x)/x",
    "difflab check x**3 x=2 --gradient 3*x**2": "0; correct",
    "difflab check x**3 x=2 --gradient 2*x**2": "1; wrong",
    "difflab explain sin(x)/x x=1e-6": "0; ",
    "difflab picture log(x)*y x=2 y=3": "0; graph(",
    "difflab methods --json": "0; {",
    "difflab primitives tanh": "0; primitive",
}
MISSING = {
    "difflab.sparse_jacobian(np.sin)(x)": ("scipy", "sparse"),
    "networks.load('digits')": ("scikit-learn", "lab"),
    "networks.load('mnist')": ("scikit-learn", "lab"),
    "networks.DNNRegressor": ("scikit-learn", "lab"),
    "net.fit(np.eye(2), np.array([0, 1]), seed=0, progress=True)": ("rich", "lab"),
    "difflab.picture(f, x)": ("pygraphviz", "lab"),
    "difflab.explain(f, x).save('graph.svg')": ("pygraphviz", "lab"),
    "difflab picture log(x) x=2 --output graph.png": ("pygraphviz", "lab"),
    "difflab run worked_examples --quick": ("", "lab"),
    "difflab run --list": ("", "lab"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What came of each step in one process without extras; elsewhere than in the checkout."""
    packages = {p.partition(">")[0] for extra in EXTRAS.values() for p in extra}
    facts = f"REFUSED, PACKAGES, STEPS = {REFUSED}, {packages}, {[*WORKS, *MISSING]}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", facts + BEFORE],
        capture_output=True, text=True, cwd=tmp_path_factory.mktemp("elsewhere"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("step", WORKS)
def test_the_core_alone(told, step):
    assert told[step].startswith(WORKS[step]) and "Traceback" not in told[step], told[step]


@pytest.mark.parametrize("step", MISSING)
def test_a_missing_extra_is_named(told, step):
    package, extra = MISSING[step]
    assert f"{package} is not installed" in told[step], told[step]
    assert f'pip install "difflab[{extra}]"' in told[step] and "Traceback" not in told[step]


def test_what_is_refused_is_what_extras_bring():
    assert {"scipy", "sklearn", "pygraphviz", "llvmlite", "rich", "jinja2", "joblib"} <= REFUSED
    assert not {"numpy", "sympy", "flint", "pandas", "matplotlib"} & REFUSED
