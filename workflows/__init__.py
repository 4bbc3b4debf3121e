"""A run, from a data set to a report; tests/test_architecture.py lists the modules as a case travels."""
