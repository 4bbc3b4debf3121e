"""The machine that all runs on: whole files, processes, memory, and words for what went wrong."""
