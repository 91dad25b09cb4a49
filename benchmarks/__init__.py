"""The ASV suite."""
