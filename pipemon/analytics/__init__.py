"""Arithmetic on small tuples, from the standard library alone."""
