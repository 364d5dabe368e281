# The kernels' own tests, which need no TensorFlow. All but the CPU's are built
# by name, and need CUDA's headers (not its compiler):
#
#     cmake -S . -B build/kernel_tests -D BVKERAS_KERNEL_TESTS=ON \
#       -D BVKERAS_CUDA_INCLUDE=/usr/local/cuda/include
#     cmake --build build/kernel_tests --target cuda_emulation_plain

set(address_sanitizer -fsanitize=address,undefined -fno-sanitize-recover=all)

add_executable(linear_pooling_test kernels/tests/linear_pooling_test.cc)
target_include_directories(linear_pooling_test PRIVATE kernels)
target_link_libraries(linear_pooling_test PRIVATE kernels_cpu Threads::Threads)
add_executable(encoder_int8_test kernels/tests/encoder_int8_test.cc)
target_include_directories(encoder_int8_test PRIVATE kernels)
target_link_libraries(encoder_int8_test PRIVATE kernels_cpu Threads::Threads)
add_executable(crc32c_test kernels/tests/crc32c_test.cc)
target_include_directories(crc32c_test PRIVATE kernels)
foreach(target kernels_cpu linear_pooling_test encoder_int8_test crc32c_test)
  target_compile_options(${target} PRIVATE -O1 -g ${address_sanitizer})
endforeach()
foreach(target linear_pooling_test encoder_int8_test crc32c_test)
  target_link_options(${target} PRIVATE ${address_sanitizer})
endforeach()

set(BVKERAS_CUDA_INCLUDE "" CACHE PATH "Where cuda_runtime.h lies")
if(NOT BVKERAS_CUDA_INCLUDE)
  return()
endif()

# The unmodified kernels/cuda/linear_pooling.cu, compiled for the emulated GPU.
# What runs the threads is compiled apart: ThreadSanitizer must not look at it.
function(add_emulation name)
  cmake_parse_arguments(ARG "" "" "OPTIONS;DEFINITIONS" ${ARGN})
  set(kernel kernel_${name})
  add_library(${kernel} OBJECT EXCLUDE_FROM_ALL
              kernels/cuda/linear_pooling.cu)
  set_source_files_properties(kernels/cuda/linear_pooling.cu
                              PROPERTIES LANGUAGE CXX)
  target_compile_options(${kernel} PRIVATE -x c++ -Wno-unknown-pragmas
                                           ${ARG_OPTIONS})
  add_library(emulation_${name} OBJECT EXCLUDE_FROM_ALL
              kernels/host_emulation/emulation.cc
              kernels/host_emulation/cuda_api.cc)
  add_library(contract_${name} OBJECT EXCLUDE_FROM_ALL
              kernels/host_emulation/contract.cc)
  if(NOT "-fsanitize=thread" IN_LIST ARG_OPTIONS)
    target_compile_options(emulation_${name} PRIVATE ${ARG_OPTIONS})
    target_compile_options(contract_${name} PRIVATE ${ARG_OPTIONS})
  endif()
  foreach(target ${kernel} emulation_${name} contract_${name})
    target_include_directories(${target} PRIVATE
                               kernels kernels/cuda
                               kernels/host_emulation/include
                               kernels/host_emulation)
    target_include_directories(${target} SYSTEM PRIVATE
                               ${BVKERAS_CUDA_INCLUDE})
    target_compile_options(${target} PRIVATE -O1 -g1 -Wall -Wextra)
    target_compile_definitions(${target} PRIVATE ${ARG_DEFINITIONS})
  endforeach()
endfunction()

function(add_emulation_test name)
  cmake_parse_arguments(ARG "" "" "OPTIONS;DEFINITIONS" ${ARGN})
  add_emulation(${name} ${ARGN})
  set(target cuda_emulation_${name})
  add_executable(${target} EXCLUDE_FROM_ALL
                 kernels/tests/cuda_emulation_test.cc)
  target_include_directories(${target} PRIVATE
                             kernels kernels/cuda
                             kernels/host_emulation/include
                             kernels/host_emulation)
  target_include_directories(${target} SYSTEM PRIVATE ${BVKERAS_CUDA_INCLUDE})
  target_compile_options(${target} PRIVATE -O1 -g1 -Wno-unknown-pragmas)
  target_compile_definitions(${target} PRIVATE ${ARG_DEFINITIONS})
  target_link_options(${target} PRIVATE ${ARG_OPTIONS})
  target_link_libraries(${target} PRIVATE kernel_${name} contract_${name}
                                          emulation_${name} Threads::Threads)
endfunction()

add_emulation_test(plain)
add_emulation_test(address OPTIONS ${address_sanitizer})
add_emulation_test(thread OPTIONS -fsanitize=thread
                   DEFINITIONS BVKERAS_EMULATION_TSAN)
# As on a GPU without tensor cores for bfloat16.
add_emulation_test(sm75 DEFINITIONS BVKERAS_EMULATED_ARCH=750)

# The module on numpy arrays, on the emulated GPU.
find_package(Python COMPONENTS Interpreter Development.Module)
find_package(pybind11 CONFIG)
if(pybind11_FOUND)
  # Compiled once for both.
  add_library(module_binding OBJECT EXCLUDE_FROM_ALL kernels/python.cc)
  target_include_directories(module_binding PRIVATE kernels)
  target_link_libraries(module_binding PRIVATE pybind11::module)
  set_target_properties(module_binding PROPERTIES CXX_VISIBILITY_PRESET hidden)
  foreach(name plain sm75)
    set(target module_${name})
    pybind11_add_module(${target} MODULE NO_EXTRAS EXCLUDE_FROM_ALL
                        $<TARGET_OBJECTS:module_binding>)
    set_target_properties(
      ${target} PROPERTIES OUTPUT_NAME kernels
                           LIBRARY_OUTPUT_DIRECTORY module_${name})
    target_link_libraries(${target} PRIVATE kernel_${name} contract_${name}
                                            emulation_${name} Threads::Threads)
  endforeach()
endif()

# Its passes on products, for ctypes.
add_library(of_products MODULE EXCLUDE_FROM_ALL kernels/tests/of_products.cc)
target_include_directories(of_products PRIVATE kernels kernels/host_emulation)
target_link_libraries(of_products PRIVATE kernel_plain contract_plain
                                          emulation_plain Threads::Threads)

add_executable(cuda_launch_sizes EXCLUDE_FROM_ALL
               kernels/tests/cuda_launch_sizes.cc)
target_include_directories(cuda_launch_sizes PRIVATE
                           kernels kernels/cuda
                           kernels/host_emulation/include
                           kernels/host_emulation)
target_include_directories(cuda_launch_sizes SYSTEM PRIVATE
                           ${BVKERAS_CUDA_INCLUDE})
target_compile_options(cuda_launch_sizes PRIVATE -Wno-unknown-pragmas)
target_link_libraries(cuda_launch_sizes PRIVATE
                      kernel_plain contract_plain emulation_plain
                      Threads::Threads)

foreach(name plain thread)
  set(target emulator_test_${name})
  set(sanitizer "")
  if(name STREQUAL "thread")
    set(sanitizer -fsanitize=thread)
  endif()
  add_executable(${target} EXCLUDE_FROM_ALL kernels/tests/emulator_test.cc)
  target_include_directories(${target} PRIVATE kernels/host_emulation/include
                                               kernels/host_emulation)
  target_include_directories(${target} SYSTEM PRIVATE ${BVKERAS_CUDA_INCLUDE})
  target_compile_options(${target} PRIVATE -O1 -g1 ${sanitizer})
  target_link_options(${target} PRIVATE ${sanitizer})
  target_link_libraries(${target} PRIVATE emulation_${name} Threads::Threads)
endforeach()
