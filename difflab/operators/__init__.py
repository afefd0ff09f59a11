"""What a user calls: from a function to a function that computes derivatives.

>>> import numpy as np
>>> gradient(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
array([2., 4.])
"""

from difflab.operators.batched import batch
from difflab.operators.derivatives import derivative, jet
from difflab.operators.operators import (
    gradient,
    hessian,
    jacobian,
    value_and_gradient,
)
from difflab.operators.own import primitive
from difflab.operators.products import hvp, jvp, vjp
from difflab.operators.sparse import sparse_hessian, sparse_jacobian

__all__ = [
    "batch", "derivative", "gradient", "hessian", "hvp", "jacobian", "jet", "jvp", "primitive",
    "sparse_hessian", "sparse_jacobian", "value_and_gradient", "vjp",
]  # fmt: skip
