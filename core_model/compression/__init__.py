"""Smaller checkpoints: int8 numbers, fewer attention heads, fewer layers."""
