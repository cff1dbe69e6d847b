"""The fields of an ONNX file, by message and number.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx-ml.proto, as of IR version 14.
"""

from core_model.supply_chain.protobuf import BLOB, NUMBER, TEXT

ENTRY, TENSOR, GRAPH, NODE, TYPE = "StringStringEntryProto", "TensorProto", "GraphProto", "NodeProto", "TypeProto"
MODEL, FUNCTION, ATTRIBUTE, SPARSE = "ModelProto", "FunctionProto", "AttributeProto", "SparseTensorProto"
OPSET, VALUE, TRAINING = "OperatorSetIdProto", "ValueInfoProto", "TrainingInfoProto"

SCHEMA = {
    MODEL: {
        1: NUMBER, 2: TEXT, 3: TEXT, 4: TEXT, 5: NUMBER, 6: TEXT, 7: GRAPH, 8: OPSET, 14: ENTRY, 20: TRAINING,
        25: FUNCTION, 26: "DeviceConfigurationProto",
    },
    OPSET: {1: TEXT, 2: NUMBER},
    GRAPH: {
        1: NODE, 2: TEXT, 5: TENSOR, 10: TEXT, 11: VALUE, 12: VALUE, 13: VALUE, 14: "TensorAnnotation", 15: SPARSE,
        16: ENTRY,
    },
    NODE: {
        1: TEXT, 2: TEXT, 3: TEXT, 4: TEXT, 5: ATTRIBUTE, 6: TEXT, 7: TEXT, 8: TEXT, 9: ENTRY,
        10: "NodeDeviceConfigurationProto",
    },
    ATTRIBUTE: {
        1: TEXT, 2: NUMBER, 3: NUMBER, 4: BLOB, 5: TENSOR, 6: GRAPH, 7: NUMBER, 8: NUMBER, 9: BLOB, 10: TENSOR,
        11: GRAPH, 13: TEXT, 14: TYPE, 15: TYPE, 20: NUMBER, 21: TEXT, 22: SPARSE, 23: SPARSE,
    },
    TENSOR: {
        1: NUMBER, 2: NUMBER, 3: "TensorProto.Segment", 4: NUMBER, 5: NUMBER, 6: BLOB, 7: NUMBER, 8: TEXT, 9: BLOB,
        10: NUMBER, 11: NUMBER, 12: TEXT, 13: ENTRY, 14: NUMBER, 16: ENTRY,
    },
    "TensorProto.Segment": {1: NUMBER, 2: NUMBER},
    ENTRY: {1: TEXT, 2: TEXT},
    SPARSE: {1: TENSOR, 2: TENSOR, 3: NUMBER},
    TYPE: {
        1: "TypeProto.Tensor", 4: "TypeProto.Sequence", 5: "TypeProto.Map", 6: TEXT, 7: "TypeProto.Opaque",
        8: "TypeProto.SparseTensor", 9: "TypeProto.Optional",
    },
    "TypeProto.Tensor": {1: NUMBER, 2: "TensorShapeProto"},
    "TypeProto.SparseTensor": {1: NUMBER, 2: "TensorShapeProto"},
    "TypeProto.Sequence": {1: TYPE},
    "TypeProto.Optional": {1: TYPE},
    "TypeProto.Map": {1: NUMBER, 2: TYPE},
    "TypeProto.Opaque": {1: TEXT, 2: TEXT},
    "TensorShapeProto": {1: "TensorShapeProto.Dimension"},
    "TensorShapeProto.Dimension": {1: NUMBER, 2: TEXT, 3: TEXT},
    VALUE: {1: TEXT, 2: TYPE, 3: TEXT, 4: ENTRY},
    "TensorAnnotation": {1: TEXT, 2: ENTRY},
    TRAINING: {1: GRAPH, 2: GRAPH, 3: ENTRY, 4: ENTRY},
    FUNCTION: {
        1: TEXT, 4: TEXT, 5: TEXT, 6: TEXT, 7: NODE, 8: TEXT, 9: OPSET, 10: TEXT, 11: ATTRIBUTE, 12: VALUE, 13: TEXT,
        14: ENTRY,
    },
    "DeviceConfigurationProto": {1: TEXT, 2: NUMBER, 3: TEXT},
    "NodeDeviceConfigurationProto": {1: TEXT, 2: "ShardingSpecProto", 3: NUMBER},
    "ShardingSpecProto": {1: TEXT, 2: NUMBER, 3: "IntIntListEntryProto", 4: "ShardedDimProto"},
    "IntIntListEntryProto": {1: NUMBER, 2: NUMBER},
    "ShardedDimProto": {1: NUMBER, 2: "SimpleShardedDimProto"},
    "SimpleShardedDimProto": {1: NUMBER, 2: TEXT, 3: NUMBER},
}  # fmt: skip

# Numbers of the fields that are looked at by name.
VERSION, MODEL_GRAPH = 1, 7
OPERATOR, NODE_DOMAIN, OVERLOAD = 4, 7, 8
FUNCTION_NAME, FUNCTION_DOMAIN, FUNCTION_OVERLOAD = 1, 10, 13
ATTRIBUTE_TEXT, ATTRIBUTE_TEXTS = 4, 9
DIMS, DATA_TYPE, FLOATS, INTS32, STRINGS, INTS64, TENSOR_NAME, RAW, DOUBLES, UINTS64 = 1, 2, 4, 5, 6, 7, 8, 9, 10, 11
EXTERNAL_DATA, LOCATION = 13, 14
KEY, VALUE_TEXT = 1, 2
