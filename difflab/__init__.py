"""difflab: a lab that compares the three ways to differentiate a program.

>>> import difflab
>>> import numpy as np
>>> difflab.gradient(lambda x: np.sum(np.sin(x) ** 2))(np.zeros(2))
array([0., 0.])
"""

from difflab.ir.special import erf, leaky_relu, log_softmax, relu, sigmoid, softmax, softplus
from difflab.ir.trace import trace
from difflab.methods import METHODS, Forward, Numerical, Reverse
from difflab.operators import (
    derivative,
    gradient,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_gradient,
    vjp,
)
