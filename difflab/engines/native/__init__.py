"""Fused machine code."""
