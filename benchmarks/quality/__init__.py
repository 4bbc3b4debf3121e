"""Honest figures next to the peers: a table of cells, each trained and evaluated by one command."""
