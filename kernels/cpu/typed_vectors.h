// Vectors of floats from and to the types of hidden states.

// `count` numbers of a type as floats; the lanes after them are zero.
template <class S>
inline typename S::Vec LoadAs(const void* source, DType dtype, int64_t index,
                              int64_t count) {
  const char* first =
      static_cast<const char*>(source) + index * SizeOf(dtype);
  alignas(64) char part[S::kLanes * sizeof(float)];
  if (count < S::kLanes) {
    __builtin_memset(part, 0, sizeof part);
    __builtin_memcpy(part, first, count * SizeOf(dtype));
    first = part;
  }
  switch (dtype) {
    case DType::kFloat32:
      return S::Load(reinterpret_cast<const float*>(first));
    case DType::kBFloat16:
      return S::LoadBFloat16(first);
    case DType::kFloat16:
      return S::LoadFloat16(first);
    default:
      return S::LoadInt8(first);
  }
}

template <class S>
inline void StoreAs(void* target, DType dtype, int64_t index, int64_t count,
                    typename S::Vec value) {
  char* first = static_cast<char*>(target) + index * SizeOf(dtype);
  alignas(64) char part[S::kLanes * sizeof(float)];
  char* to = count < S::kLanes ? part : first;
  switch (dtype) {
    case DType::kFloat32:
      S::Store(reinterpret_cast<float*>(to), value);
      break;
    case DType::kBFloat16:
      S::StoreBFloat16(to, value);
      break;
    default:
      S::StoreFloat16(to, value);
      break;
  }
  if (to == part) __builtin_memcpy(first, part, count * SizeOf(dtype));
}

inline DType StashType(Stash stash) {
  return stash == Stash::kFloat32    ? DType::kFloat32
         : stash == Stash::kBFloat16 ? DType::kBFloat16
                                     : DType::kFloat16;
}

// What Z is cut to in a stash: the largest number that a half type has; float32
// keeps Z as it is.
inline float LargestKept(DType dtype) {
  return dtype == DType::kFloat32    ? __builtin_inff()
         : dtype == DType::kBFloat16 ? 0x1.fep127f
                                     : 65504.0f;
}
