"""The TensorFlow operations an export is made of."""

# What signatures compute with: texts, numbers, and the shapes of both.
COMPUTING = frozenset(
    {
        *("AddV2", "All", "Any", "ArgMax", "Assert", "BatchMatMulV2"),
        *("BiasAdd", "BitwiseAnd", "BroadcastTo", "Cast", "ConcatV2", "Const"),
        *("Cumsum", "Einsum", "Equal", "Erf", "Erfc", "ExpandDims"),
        *("FastWordpieceTokenizeWithOffsets", "Fill", "FloorDiv", "FloorMod"),
        *("GatherV2", "Greater", "GreaterEqual", "Identity", "Less"),
        *("LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "LowerBound"),
        *("MatMul", "Max", "Maximum", "Mean", "Min", "Minimum", "Mul", "Neg"),
        *("NoOp", "NotEqual", "OnesLike", "Pack", "Pad", "PartitionedCall"),
        *("Placeholder", "Pow", "Prod", "Range", "ReadVariableOp", "RealDiv"),
        *("Reshape", "ResourceGather", "RightShift", "Rsqrt", "ScatterNd"),
        *("Select", "SelectV2", "Shape", "Sigmoid", "Softmax", "Square"),
        *("Squeeze", "StatefulPartitionedCall", "StopGradient"),
        *("StridedSlice", "StringJoin", "Sub", "Substr", "Sum", "Tanh"),
        *("Tile", "TopKV2", "Transpose", "UnicodeDecode", "UnicodeEncode"),
        *("UnicodeTranscode", "Unpack", "UnsortedSegmentMax"),
        *("UnsortedSegmentMin", "UpperBound", "VarHandleOp", "Where"),
    }
)
# What every SavedModel has to read its variables, and no signature may reach.
LOADING = frozenset(
    {
        *("AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints"),
        *("RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch"),
        "VarIsInitializedOp",
    }
)
