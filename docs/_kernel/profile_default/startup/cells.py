"""Names cells by their number, where Jupyter would name a file of the day."""

from IPython import get_ipython

get_ipython().compile.get_code_name = lambda raw, code, number: f"cell {number}"
