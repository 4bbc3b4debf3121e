"""The parts of the pages, and of the pictures in them: words, figures, charts, rows of patients, curves."""
