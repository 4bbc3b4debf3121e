"""What can be wrong with scans and labels: each fault, and the sentence that tells it."""
