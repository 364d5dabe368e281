#include "variants.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace bvkeras {
namespace cpu {
namespace {

// Best first.
const std::vector<CpuVariant>& Variants() {
  static const std::vector<CpuVariant> variants = {
#ifdef BVKERAS_HAVE_AVX512BF16
      {"avx512bf16", Avx512Bf16Kernels, Avx512Bf16EncoderKernels,
       [] {
         return __builtin_cpu_supports("avx512bf16") &&
                __builtin_cpu_supports("avx512vnni") &&
                __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
       }},
#endif
#ifdef BVKERAS_HAVE_AVX512
      {"avx512", Avx512Kernels, Avx512EncoderKernels,
       [] {
         return __builtin_cpu_supports("avx512f") &&
                __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
       }},
#endif
#ifdef BVKERAS_HAVE_AVX2
      {"avx2", Avx2Kernels, Avx2EncoderKernels,
       [] {
         return __builtin_cpu_supports("avx2") &&
                __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("f16c");
       }},
#endif
      {"portable", PortableKernels, PortableEncoderKernels,
       [] { return true; }},
  };
  return variants;
}

const CpuVariant* Choose(std::string* error) {
  // Read at every call: tests change it.
  const char* wanted = std::getenv("BVKERAS_CPU_VARIANT");
  const bool any = wanted == nullptr || *wanted == '\0';
  for (const CpuVariant& variant : Variants()) {
    if (!any && std::strcmp(wanted, variant.name) != 0) continue;
    if (variant.supported()) return &variant;
    if (any) continue;
    *error = std::string("BVKERAS_CPU_VARIANT: received ") + wanted +
             ", which this processor does not have";
    return nullptr;
  }
  *error = std::string("BVKERAS_CPU_VARIANT: received ") + wanted +
           ", expected one of " + CompiledVariants();
  return nullptr;
}

}  // namespace

const CpuVariant& ChosenVariant() {
  std::string error;
  const CpuVariant* variant = Choose(&error);
  // Callers ask Variant() first; whoever does not gets what always works.
  return variant == nullptr ? Variants().back() : *variant;
}

const char* CompiledVariants() {
  static const std::string names = [] {
    std::string joined;
    for (const CpuVariant& variant : Variants()) {
      if (!joined.empty()) joined += ", ";
      joined += variant.name;
    }
    return joined;
  }();
  return names.c_str();
}

const char* Variant(std::string* error) {
  const CpuVariant* variant = Choose(error);
  return variant == nullptr ? nullptr : variant->name;
}

}  // namespace cpu
}  // namespace bvkeras
