"""Doors to the outside: other programs ask here for masks, and every answer comes from the one Segmenter."""
