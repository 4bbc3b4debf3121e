"""What lies between ``split`` and ``datalist``: splits that are given, and lists of cases in files."""
