"""Fused machine code through LLVM."""
