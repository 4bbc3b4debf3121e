"""Masks that come from elsewhere, to be measured against the truth."""
