"""Who trained a model, and who of them is met again where it is tested."""
