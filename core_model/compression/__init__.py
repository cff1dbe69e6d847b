"""Smaller checkpoints: int8 numbers (`quantization`), fewer attention heads (`heads`), fewer layers (`distillation`)."""
