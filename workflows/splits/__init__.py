"""The parts behind ``datalist`` and ``split``: lists of cases in files, and who of them trains."""
