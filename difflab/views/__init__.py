"""How graphs, formulas and traces look; nothing here computes."""
