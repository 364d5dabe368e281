// kernels/cpu/avx512bf16.cc with the instructions of immintrin.h beside this file.

#include "../../cpu/avx512bf16.cc"
