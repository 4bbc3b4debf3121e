"""The app that MONAI Label starts in its own environment: thin, since all work is done by the product."""
