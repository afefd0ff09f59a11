"""How NumPy's functions are spelt in primitives, and what is refused."""
