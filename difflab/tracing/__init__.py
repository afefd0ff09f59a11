"""How a plain function becomes a graph, and what it reads from outside."""
