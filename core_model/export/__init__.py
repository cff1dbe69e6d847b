"""A checkpoint as ONNX: the graph, the session that runs it, and how far it is from torch on real rows."""
