"""Speed: an export, its conversions and its peers side by side, each in a process of its own, over the work's floor.

`contest` asks who can run and measures them in turn; `contestants` names them, `artifacts` makes what they start
from, `session` runs one in its process (`runners`) by the rules of `protocol`. `floor` has the least time that the
machine could take, `results` the report, its tables and pages. It calls no converter: what makes conversions is handed
in (`workflows.benchmark`).
"""
