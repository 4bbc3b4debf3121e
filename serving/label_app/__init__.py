"""The app that MONAI Label starts, in an environment of its own: thin, since all work is done by the product."""
