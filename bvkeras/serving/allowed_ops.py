"""The TensorFlow operations an export is made of, and where each may stand."""

# What functions of signatures compute with: texts, numbers, and the shapes of
# both. None reads or writes a file.
COMPUTING = frozenset(
    {
        *("Abs", "AddV2", "All", "Any", "ArgMax", "Assert", "BatchMatMulV2"),
        *("BiasAdd", "BitwiseAnd", "BroadcastTo", "Cast", "ConcatV2", "Const"),
        *("Cumsum", "Einsum", "Equal", "Erf", "Erfc", "ExpandDims"),
        *("FastWordpieceTokenizeWithOffsets", "Fill", "FloorDiv", "FloorMod"),
        *("GatherV2", "Greater", "GreaterEqual", "Identity", "Less"),
        *("LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "LowerBound"),
        *("MatMul", "Max", "Maximum", "Mean", "Min", "Minimum", "Mul", "Neg"),
        *("NoOp", "NotEqual", "OnesLike", "Pack", "Pad", "PartitionedCall"),
        *("Pow", "Prod", "Range", "ReadVariableOp", "RealDiv", "ReduceJoin"),
        *("Reshape", "ResourceGather", "RightShift", "Rsqrt", "ScatterNd"),
        *("Select", "SelectV2", "Shape", "Sigmoid", "Softmax", "Split"),
        *("SplitV", "Square", "Squeeze", "StatefulPartitionedCall"),
        "StopGradient",
        *("StridedSlice", "StringJoin", "Sub", "Substr", "Sum", "Tanh"),
        *("Tile", "TopKV2", "Transpose", "UnicodeDecode", "UnicodeEncode"),
        *("UnicodeTranscode", "Unpack", "UnsortedSegmentMax"),
        *("UnsortedSegmentMin", "UpperBound", "Where", "ZerosLike"),
    }
)
# The graph itself: variables, constants, and one call for each signature.
GRAPH = frozenset(
    {
        *("Const", "NoOp", "Placeholder", "ReadVariableOp"),
        *("StatefulPartitionedCall", "VarHandleOp"),
    }
)
# The two functions of the saver, which every SavedModel has: an operation and
# how often it is there, `None` if that does not matter.
SAVING = {
    "Const": None,
    "DisableCopyOnRead": None,
    "Identity": None,
    "MergeV2Checkpoints": 1,
    "NoOp": None,
    "Pack": None,
    "ReadVariableOp": None,
    "SaveV2": 1,
    "Select": None,
    "ShardedFilename": 1,
    "StaticRegexFullMatch": None,
    "StringJoin": None,
}
RESTORING = {
    "AssignVariableOp": None,
    "Const": None,
    "Identity": None,
    "NoOp": None,
    "RestoreV2": 1,
}
ALL = COMPUTING | GRAPH | SAVING.keys() | RESTORING.keys()
