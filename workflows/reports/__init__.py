"""The parts of the pages: words, figures, charts, the rows of patients, and curves of a run."""
