"""What is counted on a pair of masks or on probabilities, one measure a module."""
