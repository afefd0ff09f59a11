"""The one expression IR: trees of arguments, nodes, the table of primitives, tracing,
simplification.
"""
