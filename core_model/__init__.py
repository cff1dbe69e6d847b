"""Open, train and run Transformer checkpoints."""
