"""The version, where setup.cfg reads it and every stage may."""

__version__ = "0.1.0"
