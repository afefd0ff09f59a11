"""How cells run: named by number, not by a file of the day; errors in words; figures as SVG."""

from IPython import get_ipython

shell = get_ipython()
shell.compile.get_code_name = lambda raw, code, number: f"cell {number}"
shell.run_line_magic("xmode", "Minimal")
shell.run_line_magic("matplotlib", "inline")
shell.run_line_magic("config", "InlineBackend.figure_formats = ['svg']")
