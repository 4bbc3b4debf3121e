"""The parts of an evaluation that does not start from a model: masks of others, results that are written."""
