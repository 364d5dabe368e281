# Compiles linear_pooling.cu where nvcc is there, a system's or that of PyPI's
# wheels, and leaves it out where not. Sets cuda_object, cuda_runtime (the
# static library), cuda_version and cuda_architectures; all empty without.
#
# In the environment:
#     BVKERAS_CUDA                 0: leave it out; 1: without it, fail
#     BVKERAS_NVCC                 which nvcc
#     BVKERAS_CUDA_ARCHITECTURES   such as 80;90, of compute capabilities; the
#                                  last is also there as PTX for later GPUs
#
# nvcc is called as it is: CMake's own support of CUDA does not know how the
# wheels lie.

set(cuda_object "")
set(cuda_runtime "")
set(cuda_version "")
set(cuda_architectures "$ENV{BVKERAS_CUDA_ARCHITECTURES}")

macro(without_cuda reason)
  if("$ENV{BVKERAS_CUDA}" STREQUAL "1")
    message(FATAL_ERROR "bvkeras: cannot build the CUDA kernels: ${reason}")
  endif()
  message(STATUS "bvkeras: without CUDA kernels: ${reason}")
  return()
endmacro()

if("$ENV{BVKERAS_CUDA}" STREQUAL "0")
  without_cuda("BVKERAS_CUDA is 0")
endif()
if(APPLE)
  without_cuda("macOS has no CUDA")
endif()

execute_process(
  COMMAND "${Python_EXECUTABLE}" kernels/cuda/find_nvcc.py
  WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
  OUTPUT_VARIABLE found
  ERROR_VARIABLE problem
  RESULT_VARIABLE failed
  OUTPUT_STRIP_TRAILING_WHITESPACE
  ERROR_STRIP_TRAILING_WHITESPACE)
if(failed)
  without_cuda("${problem}")
endif()
string(JSON nvcc GET "${found}" nvcc)
string(JSON cuda_runtime GET "${found}" runtime)
string(JSON cuda_version GET "${found}" version)
if(cuda_architectures STREQUAL "")
  string(JSON cuda_architectures GET "${found}" architectures)
endif()

set(cuda_flags
    -std=c++17 -O3 -ccbin "${CMAKE_CXX_COMPILER}" -Xcompiler
    -fPIC,-fvisibility=hidden,-fvisibility-inlines-hidden
    ${tensorflow_definitions} -I "${CMAKE_SOURCE_DIR}/kernels"
    -I "${CMAKE_SOURCE_DIR}/kernels/cuda")
foreach(architecture IN LISTS cuda_architectures)
  list(APPEND cuda_flags -gencode
       "arch=compute_${architecture},code=sm_${architecture}")
endforeach()
list(GET cuda_architectures -1 last)
list(APPEND cuda_flags -gencode "arch=compute_${last},code=compute_${last}")

# Whether this nvcc knows the architectures and likes the compiler.
set(probe "${CMAKE_BINARY_DIR}/probe.cu")
file(WRITE "${probe}" "__global__ void Probe() {}\n")
execute_process(
  COMMAND "${nvcc}" ${cuda_flags} -c "${probe}" -o
          "${CMAKE_BINARY_DIR}/probe.o"
  ERROR_VARIABLE problem
  OUTPUT_VARIABLE problem
  RESULT_VARIABLE failed)
if(failed)
  string(REGEX REPLACE "[\r\n].*" "" problem "${problem}")
  set(cuda_version "")
  without_cuda("${nvcc} fails: ${problem}")
endif()

message(STATUS "bvkeras: CUDA ${cuda_version} for ${cuda_architectures}")
set(cuda_object "${CMAKE_BINARY_DIR}/linear_pooling.cu.o")
file(GLOB cuda_headers "${CMAKE_SOURCE_DIR}/kernels/cuda/*.cuh"
     "${CMAKE_SOURCE_DIR}/kernels/cuda/*.h")
add_custom_command(
  OUTPUT "${cuda_object}"
  COMMAND "${nvcc}" ${cuda_flags} -c
          "${CMAKE_SOURCE_DIR}/kernels/cuda/linear_pooling.cu" -o
          "${cuda_object}"
  DEPENDS kernels/cuda/linear_pooling.cu ${cuda_headers}
          kernels/linear_pooling.h
  COMMENT "Compiling the CUDA kernels"
  VERBATIM)
