"""What can be wrong with scans and labels, and how each fault is told."""
