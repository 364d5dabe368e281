"""Prints, as JSON, what CMake must know of the TensorFlow it builds for."""

import json

import tensorflow as tf

flags = tf.sysconfig.get_compile_flags()
print(
    json.dumps(
        {
            "version": tf.__version__,
            "cxx11_abi": tf.sysconfig.CXX11_ABI_FLAG,
            "include": tf.sysconfig.get_include(),
            # Joined as CMake's lists are.
            "definitions": ";".join(f for f in flags if f.startswith("-D")),
            "link": ";".join(tf.sysconfig.get_link_flags()),
        }
    )
)
