"""The parts of a training around MONAI's loop: its config, data, folder, length and end.

The parts inside the loop are named by configs and lie one folder up, see ``workflows``.
"""
