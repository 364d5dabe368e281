// The passes of linear_pooling.h on numpy arrays, without TensorFlow: for
// tests, benchmarks, and who has no graph. A module of pybind11.
//
// Arrays of float32, float16, int8 and, from the package ml_dtypes, bfloat16
// are taken as they lie where they are C-contiguous and aligned, and copied
// otherwise.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "linear_pooling.h"

namespace bvkeras {
namespace {

namespace py = pybind11;
using namespace py::literals;
using Sizes = std::vector<int64_t>;
using OptionalArray = std::optional<py::array>;

[[noreturn]] void Refuse(const std::string& line) {
  throw py::value_error(line);
}

std::string Name(const py::dtype& dtype) {
  return py::str(dtype.attr("name"));
}

std::string Show(const Sizes& sizes) {
  std::string text = "(";
  for (size_t i = 0; i < sizes.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(sizes[i]);
  }
  return text + (sizes.size() == 1 ? ",)" : ")");
}

Sizes Shape(const py::array& array) {
  return Sizes(array.shape(), array.shape() + array.ndim());
}

py::array Contiguous(const py::array& array) {
  return py::module_::import("numpy").attr("require")(array, py::none(), "CA");
}

py::array Typed(const char* name, const py::array& array, const char* dtype,
                const Sizes& shape) {
  if (Name(array.dtype()) != dtype) {
    Refuse(std::string(name) + ": received dtype " + Name(array.dtype()) +
           ", expected " + dtype);
  }
  if (Shape(array) != shape) {
    Refuse(std::string(name) + ": received shape " + Show(Shape(array)) +
           ", expected " + Show(shape));
  }
  return Contiguous(array);
}

DType ToDType(const char* argument, const std::string& name) {
  if (name == "float32") return DType::kFloat32;
  if (name == "bfloat16") return DType::kBFloat16;
  if (name == "float16") return DType::kFloat16;
  if (name == "int8") return DType::kInt8;
  Refuse(std::string(argument) + ": received dtype " + name +
         ", expected float32, bfloat16, float16 or int8");
}

Stash ToStash(const std::string& name) {
  if (name == "none") return Stash::kNone;
  if (name == "float32") return Stash::kFloat32;
  if (name == "bfloat16") return Stash::kBFloat16;
  if (name == "float16") return Stash::kFloat16;
  Refuse("stash: received '" + name +
         "', expected 'none', 'float32', 'bfloat16' or 'float16'");
}

py::array Empty(const std::string& dtype, const Sizes& shape) {
  py::object type = dtype == "bfloat16"
                        ? py::module_::import("ml_dtypes").attr("bfloat16")
                        : py::object(py::str(dtype));
  return py::array(py::dtype::from_args(type), shape);
}

ParallelFor OnThreads(int threads) {
  return [threads](int64_t tasks, int64_t,
                   const std::function<void(int64_t)>& task) {
    std::atomic<int64_t> next{0};
    const auto work = [&] {
      for (int64_t i; (i = next++) < tasks;) task(i);
    };
    std::vector<std::thread> others;
    const int64_t wanted = std::min<int64_t>(threads, tasks);
    for (int64_t i = 1; i < wanted; ++i) others.emplace_back(work);
    work();
    for (std::thread& other : others) other.join();
  };
}

// A problem together with the arrays it points into.
class Call {
 public:
  Call(const py::object& hidden_states, const py::array& kernel,
       const OptionalArray& bias, const OptionalArray& projection,
       const py::object& scales, const OptionalArray& mask,
       const OptionalArray& lengths, bool approximate,
       const std::string& pooled_dtype, const std::string& stash,
       int threads)
      : pooled_dtype_(pooled_dtype), parallel_for_(OnThreads(threads)) {
    if (threads < 1) {
      Refuse("threads: received " + std::to_string(threads) +
             ", expected at least 1");
    }
    problem_.approximate = approximate;
    problem_.pooled_dtype = ToDType("dtype", pooled_dtype);
    problem_.stash = ToStash(stash);
    TakeHiddenStates(hidden_states);
    TakeScales(scales);
    TakeValid(mask, lengths);
    TakeWeights(kernel, bias, projection);
    const std::string wrong = Check(problem_);
    if (!wrong.empty()) Refuse(wrong);
    std::string unusable;
    cpu::Variant(&unusable);
    if (!unusable.empty()) Refuse(unusable);
  }

  py::tuple Forward() {
    py::array output = Empty(OutputType(), OutputShape());
    py::array stash = Empty("uint8", {StashBytes()});
    void* output_data = output.mutable_data();
    void* stash_data =
        problem_.stash == Stash::kNone ? nullptr : stash.mutable_data();
    {
      py::gil_scoped_release unlocked;
      cpu::Forward(problem_, output_data, stash_data, parallel_for_);
    }
    return py::make_tuple(output, stash);
  }

  py::tuple Backward(const py::array& output_gradient,
                     const OptionalArray& stash) {
    const void* gradient_data = TakeGradient(output_gradient);
    const void* stash_data = TakeStash(stash);
    auto kernel =
        Empty("float32", {problem_.features, problem_.units});
    auto bias = Empty("float32", {problem_.units});
    py::object projection = py::none();
    float* projection_data = nullptr;
    if (problem_.outputs > 0) {
      py::array array = Empty("float32", ProjectionShape());
      projection_data = static_cast<float*>(array.mutable_data());
      projection = array;
    }
    auto* kernel_data = static_cast<float*>(kernel.mutable_data());
    auto* bias_data = static_cast<float*>(bias.mutable_data());
    {
      py::gil_scoped_release unlocked;
      cpu::Backward(problem_, gradient_data, stash_data, kernel_data,
                    bias_data, projection_data, parallel_for_);
    }
    return py::make_tuple(kernel, bias, projection);
  }

  py::object BackwardHiddenStates(const py::array& output_gradient,
                                  const OptionalArray& stash) {
    if (problem_.dtype == DType::kInt8) {
      Refuse("hidden_states: received dtype int8, expected one that has a"
             " gradient");
    }
    const void* gradient_data = TakeGradient(output_gradient);
    const void* stash_data = TakeStash(stash);
    py::list gradients;
    std::vector<void*> pointers;
    for (const py::array& array : arrays_) {
      py::array gradient = Empty(Name(array.dtype()), Shape(array));
      pointers.push_back(gradient.mutable_data());
      gradients.append(gradient);
    }
    {
      py::gil_scoped_release unlocked;
      cpu::BackwardHiddenStates(problem_, gradient_data, stash_data,
                                pointers.data(), parallel_for_);
    }
    if (problem_.stacked) return gradients[0];
    return gradients;
  }

 private:
  void TakeHiddenStates(const py::object& hidden_states) {
    problem_.stacked = py::isinstance<py::array>(hidden_states);
    for (const py::array& array : Arrays(hidden_states)) {
      arrays_.push_back(Contiguous(array));
    }
    if (arrays_.empty()) Refuse("hidden_states: received no layers");
    const Sizes shape = Shape(arrays_[0]);
    const size_t rank = problem_.stacked ? 4 : 3;
    if (shape.size() != rank) {
      Refuse("hidden_states: received shape " + Show(shape) +
             ", expected (batch, tokens, layers, features) or a list of"
             " (batch, tokens, features)");
    }
    const std::string dtype = Name(arrays_[0].dtype());
    for (const py::array& array : arrays_) {
      hidden_states_.push_back(
          Typed("hidden_states", array, dtype.c_str(), shape).data());
    }
    problem_.dtype = ToDType("hidden_states", dtype);
    problem_.batch = shape[0];
    problem_.tokens = shape[1];
    problem_.layers = problem_.stacked
                          ? shape[2]
                          : static_cast<int64_t>(arrays_.size());
    problem_.features = shape[rank - 1];
    problem_.hidden_states = hidden_states_.data();
  }

  void TakeScales(const py::object& scales) {
    if ((problem_.dtype == DType::kInt8) == scales.is_none()) {
      Refuse("scales: expected with int8 hidden states, and with no others");
    }
    if (scales.is_none()) return;
    Sizes shape = {problem_.batch, problem_.tokens};
    if (problem_.stacked) shape.push_back(problem_.layers);
    for (const py::array& array : Arrays(scales)) {
      kept_.push_back(Typed("scales", array, "float32", shape));
      scales_.push_back(static_cast<const float*>(kept_.back().data()));
    }
    if (scales_.size() != hidden_states_.size()) {
      Refuse("scales: received " + std::to_string(scales_.size()) +
             " layers, expected " + std::to_string(hidden_states_.size()));
    }
    problem_.scales = scales_.data();
  }

  void TakeValid(const OptionalArray& mask, const OptionalArray& lengths) {
    if (mask && lengths) Refuse("lengths: received with mask, expected one");
    if (mask) {
      kept_.push_back(
          Typed("mask", *mask, "bool", {problem_.batch, problem_.tokens}));
      problem_.mask = static_cast<const bool*>(kept_.back().data());
    }
    if (!lengths) return;
    kept_.push_back(Typed("lengths", *lengths, "int64", {problem_.batch}));
    problem_.lengths = static_cast<const int64_t*>(kept_.back().data());
    for (int64_t row = 0; row < problem_.batch; ++row) {
      const int64_t length = problem_.lengths[row];
      if (length < 0 || length > problem_.tokens) {
        Refuse("lengths: received " + std::to_string(length) + " in row " +
               std::to_string(row) + ", expected 0 to " +
               std::to_string(problem_.tokens));
      }
    }
  }

  void TakeWeights(const py::array& kernel, const OptionalArray& bias,
                   const OptionalArray& projection) {
    const Sizes kernel_shape = Shape(kernel);
    problem_.units = kernel_shape.size() == 2 ? kernel_shape[1] : 0;
    problem_.kernel = TakeFloats("kernel", kernel,
                                 {problem_.features, problem_.units});
    if (bias) problem_.bias = TakeFloats("bias", *bias, {problem_.units});
    if (!projection) return;
    const Sizes shape = Shape(*projection);
    if (shape.size() == 4) {
      problem_.positions = shape[0];
      const int64_t least = std::max<int64_t>(1, problem_.tokens);
      if (shape[0] < least) {
        Refuse("projection: received " + std::to_string(shape[0]) +
               " positions, expected at least " + std::to_string(least));
      }
    }
    problem_.outputs = shape.empty() ? 0 : shape.back();
    if (problem_.outputs < 1) {
      Refuse("projection: received shape " + Show(shape) +
             ", expected at least 1 output");
    }
    problem_.projection =
        TakeFloats("projection", *projection, ProjectionShape());
  }

  const float* TakeFloats(const char* name, const py::array& array,
                          const Sizes& shape) {
    kept_.push_back(Typed(name, array, "float32", shape));
    return static_cast<const float*>(kept_.back().data());
  }

  const void* TakeGradient(const py::array& output_gradient) {
    kept_.push_back(Typed("output_gradient", output_gradient,
                          OutputType().c_str(), OutputShape()));
    return kept_.back().data();
  }

  const void* TakeStash(const OptionalArray& stash) {
    if (problem_.stash == Stash::kNone) return nullptr;
    if (!stash) Refuse("stash: expected what the forward pass returned");
    kept_.push_back(Typed("stash", *stash, "uint8", {StashBytes()}));
    return kept_.back().data();
  }

  static std::vector<py::array> Arrays(const py::object& arrays) {
    if (py::isinstance<py::array>(arrays)) {
      return {py::reinterpret_borrow<py::array>(arrays)};
    }
    return arrays.cast<std::vector<py::array>>();
  }

  Sizes ProjectionShape() const {
    Sizes shape = {problem_.layers, problem_.units, problem_.outputs};
    if (problem_.positions > 0) {
      shape.insert(shape.begin(), problem_.positions);
    }
    return shape;
  }

  Sizes OutputShape() const {
    if (problem_.outputs > 0) {
      return {problem_.batch, problem_.tokens, problem_.outputs};
    }
    return {problem_.batch, problem_.tokens, problem_.layers, problem_.units};
  }

  std::string OutputType() const {
    return problem_.outputs > 0 ? "float32" : pooled_dtype_;
  }

  int64_t StashBytes() const {
    return static_cast<int64_t>(cpu::StashBytes(problem_));
  }

  Problem problem_;
  std::string pooled_dtype_;
  ParallelFor parallel_for_;
  std::vector<py::array> arrays_, kept_;
  std::vector<const void*> hidden_states_;
  std::vector<const float*> scales_;
};

// Defines a function that takes a Call's arguments, and then more of its own.
template <typename... More, typename Function, typename... Extra>
void Define(py::module_* module, const char* name, const char* doc,
            Function function, Extra... extra) {
  module->def(
      name,
      [function](const py::object& hidden_states, const py::array& kernel,
                 const OptionalArray& bias, More... more,
                 const OptionalArray& projection, const py::object& scales,
                 const OptionalArray& mask, const OptionalArray& lengths,
                 bool approximate, const std::string& dtype,
                 const std::string& stash_type, int threads) {
        Call call(hidden_states, kernel, bias, projection, scales, mask,
                  lengths, approximate, dtype, stash_type, threads);
        return function(call, more...);
      },
      doc, "hidden_states"_a, "kernel"_a, "bias"_a.none(true), extra...,
      py::kw_only(), "projection"_a = py::none(), "scales"_a = py::none(),
      "mask"_a = py::none(), "lengths"_a = py::none(),
      "approximate"_a = false, "dtype"_a = "float32",
      "stash_type"_a = "none", "threads"_a = 1);
}

py::dict BuildInfo() {
  std::string error;
  const char* variant = cpu::Variant(&error);
  return py::dict("contract_version"_a = kContractVersion,
                  "compiled_variants"_a = cpu::CompiledVariants(),
                  "variant"_a = variant, "variant_error"_a = error);
}

}  // namespace

PYBIND11_MODULE(kernels, module) {
  module.doc() = "Linear pooling on numpy arrays; see kernels/linear_pooling.h";
  Define(
      &module, "forward",
      "(output, stash): Y, or P where a projection is given.\n\n"
      "The stash is empty where stash_type is 'none'.",
      [](Call& call) { return call.Forward(); });
  Define<const py::array&, const OptionalArray&>(
      &module, "backward",
      "(dW, db, dV) from the output's gradient and the forward pass's stash.",
      [](Call& call, const py::array& output_gradient,
         const OptionalArray& stash) {
        return call.Backward(output_gradient, stash);
      },
      "output_gradient"_a, "stash"_a.none(true));
  Define<const py::array&, const OptionalArray&>(
      &module, "backward_hidden_states",
      "dH, of the type and in the form of the hidden states.",
      [](Call& call, const py::array& output_gradient,
         const OptionalArray& stash) {
        return call.BackwardHiddenStates(output_gradient, stash);
      },
      "output_gradient"_a, "stash"_a.none(true));
  module.def("build_info", &BuildInfo,
             "What was compiled in, and the instruction set in use.");
}

}  // namespace bvkeras
