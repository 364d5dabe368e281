// kernels/cpu/avx512bf16.cc with the instructions of this folder.

#include "../../cpu/avx512bf16.cc"
