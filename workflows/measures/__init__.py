"""What is counted on a pair of masks or on probabilities, and the words on how it was averaged."""
