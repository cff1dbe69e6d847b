"""Attacks on a trained model's privacy, and the statistics of their scores."""
