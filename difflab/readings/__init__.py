"""Readings of the IR, each a module named by what flows along the edges."""
