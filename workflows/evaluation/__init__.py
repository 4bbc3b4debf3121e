"""Truths and masks as they are read, what is odd about them, and how finished evaluations are compared."""
