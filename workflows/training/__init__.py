"""The parts of a training: what is asked for, its config, data and folder, and how it ends."""
