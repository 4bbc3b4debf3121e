"""The machine that all runs on: whole files, shared work, versions, and words for what went wrong."""
