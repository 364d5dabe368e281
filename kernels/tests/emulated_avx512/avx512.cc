// kernels/cpu/avx512.cc with the instructions of this folder.

#include "../../cpu/avx512.cc"
