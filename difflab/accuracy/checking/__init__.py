"""What a check is made of.

What flows: `candidate` reads the gradient that is to be judged; `judge` (in balls) and `bands` (by
differences) give a verdict for each component; `diagnosis` recognises the mistake; `wording` says
it. The order of these names is the order in which they may import each other.
"""
