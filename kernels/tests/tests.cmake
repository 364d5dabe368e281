# The kernels' own tests, which need no TensorFlow. All but the CPU's are built
# by name, and need CUDA's headers (not its compiler):
#
#     cmake -S . -B build/kernel_tests -D BVKERAS_KERNEL_TESTS=ON \
#       -D BVKERAS_CUDA_INCLUDE=/usr/local/cuda/include
#     cmake --build build/kernel_tests --target cuda_emulation_plain

set(address_sanitizer -fsanitize=address,undefined -fno-sanitize-recover=all)

add_executable(crc32c_test kernels/tests/crc32c_test.cc)
# AVX-512's variants on any processor: their own files, with instructions in
# plain C++, and a list of variants that finds every instruction set there.
add_library(kernels_avx512 OBJECT
            kernels/tests/emulated_avx512/avx512bf16.cc
            kernels/tests/emulated_avx512/avx512.cc
            kernels/cpu/variants.cc)
target_include_directories(kernels_avx512 BEFORE PRIVATE
                           kernels/tests/emulated_avx512)
target_compile_definitions(kernels_avx512 PRIVATE BVKERAS_HAVE_AVX512BF16
                                                  BVKERAS_HAVE_AVX512)
target_compile_options(kernels_avx512 PRIVATE
                       -Wno-psabi "-D__builtin_cpu_supports(name)=true")
set(cpu_objects "$<TARGET_OBJECTS:kernels_cpu>")
set(cpu_drivers "$<FILTER:${cpu_objects},INCLUDE,_cpu[.]cc|portable[.]cc>")
foreach(name linear_pooling_test encoder_test encoder_int8_test)
  add_executable(${name} kernels/tests/${name}.cc)
  target_link_libraries(${name} PRIVATE kernels_cpu)
  add_executable(${name}_avx512 kernels/tests/${name}.cc ${cpu_drivers})
  target_link_libraries(${name}_avx512 PRIVATE kernels_avx512)
  target_compile_definitions(${name}_avx512 PRIVATE BVKERAS_EMULATED_AVX512)
  list(APPEND cpu_tests ${name} ${name}_avx512)
endforeach()
foreach(target crc32c_test ${cpu_tests})
  target_include_directories(${target} PRIVATE kernels)
  target_link_options(${target} PRIVATE ${address_sanitizer})
  target_link_libraries(${target} PRIVATE Threads::Threads)
endforeach()
foreach(target kernels_cpu kernels_avx512 crc32c_test ${cpu_tests})
  target_compile_options(${target} PRIVATE -O1 -g ${address_sanitizer})
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
