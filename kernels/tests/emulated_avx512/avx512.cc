// kernels/cpu/avx512.cc with the instructions of immintrin.h beside this file.

#include "../../cpu/avx512.cc"
