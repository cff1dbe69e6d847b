"""Federated training: one model across clients that never share their text. Flower is the engine."""
