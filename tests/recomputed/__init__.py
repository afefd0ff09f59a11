"""Tables that claims are computed on where rows.csv alone is not enough: twins of the experiments'
own, in plain pandas."""
