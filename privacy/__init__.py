"""Train with differential privacy, and attack what was trained. Nothing works here yet."""
