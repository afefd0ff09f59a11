"""Apparatus of the experiments: plain helpers that several of them, or their tests, stand on."""
