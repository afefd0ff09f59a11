"""Graphs as machine code: LLVM IR, compiled by llvmlite where it is installed."""
