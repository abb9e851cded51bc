"""The tasks: a module for each, the table of them, and how their results are drawn.

A new task is a module that ends with a `Task`, and a row in `table`. Importing them loads no framework: the modules
import TensorFlow and supervision where they use them, for export reads them in a process that has PyTorch instead.
"""
