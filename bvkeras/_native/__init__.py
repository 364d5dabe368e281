"""Where a native build puts its libraries; `bvkeras.ops.library` finds them."""
