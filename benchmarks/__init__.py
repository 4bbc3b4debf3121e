"""Measurements of this project beside its peers, each run by one command."""
