// The TensorFlow operations that make padded batches of a hidden-state cache:
//
//     BvkerasGatherTokens  from flat arrays in memory
//     BvkerasReadRecords   from the shards on disk, comparing CRCs
//
// What TensorFlow has takes two dozen small operations for the first and needs
// Python, with its lock, for the second; both then take time from training.
// One batch is made by one thread: tf.data runs several.
//
// Both take these, of every example of the cache or of a batch:
//
//     lengths  int64 [examples]: tokens of each
//     rows     int64 [batch]: the examples wanted
//
// and give tokens padded with zero bytes to the longest of the batch, and the
// mask, bool [batch, longest].

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "crc32c.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/tstring.h"

namespace bvkeras {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// What a record has in front of its message and after it.
constexpr int64_t kFrontBytes = 12;
constexpr int64_t kCrcBytes = 4;

const int64_t* Integers(const Tensor& tensor) {
  return static_cast<const int64_t*>(tensor.data());
}

// Which examples make the batch, and its mask.
class Batch {
 public:
  static absl::Status Make(OpKernelContext* context, const Tensor& lengths,
                           const Tensor& rows, int mask_output,
                           Batch* batch) {
    batch->lengths_ = Integers(lengths);
    batch->rows_ = Integers(rows);
    batch->size_ = rows.NumElements();
    const int64_t examples = lengths.NumElements();
    for (int64_t i = 0; i < batch->size_; ++i) {
      const int64_t row = batch->rows_[i];
      if (row < 0 || row >= examples) {
        return absl::InvalidArgumentError(
            absl::StrCat("rows: received ", row, ", expected 0 to ",
                         examples - 1));
      }
      if (batch->length(i) < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("lengths: received ", batch->length(i)));
      }
      batch->longest_ = std::max(batch->longest_, batch->length(i));
    }
    TensorShape shape;
    TF_RETURN_IF_ERROR(
        TensorShape::BuildTensorShape({batch->size_, batch->longest_}, &shape));
    Tensor* mask = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(mask_output, shape, &mask));
    bool* valid = static_cast<bool*>(mask->data());
    for (int64_t i = 0; i < batch->size_; ++i, valid += batch->longest_) {
      std::fill_n(valid, batch->length(i), true);
      std::fill(valid + batch->length(i), valid + batch->longest_, false);
    }
    return absl::OkStatus();
  }

  int64_t size() const { return size_; }
  int64_t longest() const { return longest_; }
  int64_t row(int64_t i) const { return rows_[i]; }
  int64_t length(int64_t i) const { return lengths_[rows_[i]]; }

 private:
  const int64_t* lengths_ = nullptr;
  const int64_t* rows_ = nullptr;
  int64_t size_ = 0;
  int64_t longest_ = 0;
};

class GatherTokensOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& tokens = context->input(0);
    const Tensor& starts = context->input(1);
    const Tensor& lengths = context->input(2);
    OP_REQUIRES(context, tokens.dims() >= 1,
                absl::InvalidArgumentError("tokens: received a scalar"));
    OP_REQUIRES(context, starts.shape() == lengths.shape(),
                absl::InvalidArgumentError(absl::StrCat(
                    "starts: received shape ", starts.shape().DebugString(),
                    ", expected ", lengths.shape().DebugString())));
    Batch batch;
    OP_REQUIRES_OK(context, Batch::Make(context, lengths, context->input(3),
                                        1, &batch));
    TensorShape shape({batch.size(), batch.longest()});
    int64_t item_bytes = tensorflow::DataTypeSize(tokens.dtype());
    for (int axis = 1; axis < tokens.dims(); ++axis) {
      OP_REQUIRES_OK(context, shape.AddDimWithStatus(tokens.dim_size(axis)));
      item_bytes *= tokens.dim_size(axis);
    }
    Tensor* padded = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &padded));
    const char* source = static_cast<const char*>(tokens.data());
    char* target = static_cast<char*>(padded->data());
    for (int64_t i = 0; i < batch.size(); ++i) {
      const int64_t start = Integers(starts)[batch.row(i)];
      const int64_t length = batch.length(i);
      OP_REQUIRES(context,
                  start >= 0 && start <= tokens.dim_size(0) - length,
                  absl::InvalidArgumentError(absl::StrCat(
                      "starts: received ", start, " for ", length, " of ",
                      tokens.dim_size(0), " tokens")));
      const int64_t bytes = length * item_bytes;
      const int64_t row_bytes = batch.longest() * item_bytes;
      // Arrays without a number may have no memory.
      if (row_bytes == 0) continue;
      if (bytes > 0) std::memcpy(target, source + start * item_bytes, bytes);
      std::memset(target + bytes, 0, row_bytes - bytes);
      target += row_bytes;
    }
  }
};

// Shards opened for one batch.
class OpenFiles {
 public:
  ~OpenFiles() {
    for (const auto& entry : descriptors_) close(entry.second);
  }

  absl::Status Get(const std::string& path, int* descriptor) {
    const auto found = descriptors_.find(path);
    if (found != descriptors_.end()) {
      *descriptor = found->second;
      return absl::OkStatus();
    }
    *descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (*descriptor < 0) {
      return absl::UnavailableError(
          absl::StrCat(path, ": ", std::strerror(errno)));
    }
    descriptors_.emplace(path, *descriptor);
    return absl::OkStatus();
  }

 private:
  std::unordered_map<std::string, int> descriptors_;
};

// Fills buffers one after the other. Fewer bytes than they hold, and no
// error, where the file ends.
absl::Status ReadInto(int descriptor, int64_t offset,
                      std::vector<iovec> buffers, int64_t* count) {
  *count = 0;
  size_t first = 0;
  while (first < buffers.size()) {
    const ssize_t got =
        preadv(descriptor, &buffers[first],
               static_cast<int>(buffers.size() - first), offset + *count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::UnavailableError(std::strerror(errno));
    if (got == 0) break;
    *count += got;
    size_t left = got;
    while (first < buffers.size() && left >= buffers[first].iov_len) {
      left -= buffers[first].iov_len;
      ++first;
    }
    if (left > 0) {
      iovec& buffer = buffers[first];
      buffer.iov_base = static_cast<char*>(buffer.iov_base) + left;
      buffer.iov_len -= left;
    }
  }
  return absl::OkStatus();
}

class ReadRecordsOp : public OpKernel {
 public:
  explicit ReadRecordsOp(OpKernelConstruction* context) : OpKernel(context) {
    tensorflow::DataType type;
    OP_REQUIRES_OK(context, context->GetAttr("T", &type));
    OP_REQUIRES_OK(context, context->GetAttr("layers", &layers_));
    OP_REQUIRES_OK(context, context->GetAttr("features", &features_));
    token_bytes_ = layers_ * features_ * tensorflow::DataTypeSize(type);
    scale_bytes_ =
        type == tensorflow::DT_INT8 ? layers_ * int64_t{sizeof(float)} : 0;
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& places = context->input(1);
    const Tensor& lengths = context->input(2);
    OP_REQUIRES(
        context,
        places.shape() == TensorShape({lengths.NumElements(), kColumns}),
        absl::InvalidArgumentError(absl::StrCat(
            "places: received shape ", places.shape().DebugString())));
    Batch batch;
    OP_REQUIRES_OK(context, Batch::Make(context, lengths, context->input(3),
                                        2, &batch));
    Tensor* values = nullptr;
    Tensor* scales = nullptr;
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {batch.size(), batch.longest(), layers_,
                                 features_},
                                &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &values));
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {batch.size(), batch.longest(),
                                 scale_bytes_ > 0 ? layers_ : 0},
                                &shape));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &scales));
    OpenFiles files;
    for (int64_t i = 0; i < batch.size(); ++i) {
      const int64_t row = batch.row(i);
      const absl::Status status = ReadRecord(
          context->input(0), Integers(places) + row * kColumns,
          batch.length(i), batch.longest(),
          static_cast<char*>(values->data()) +
              i * batch.longest() * token_bytes_,
          static_cast<char*>(scales->data()) +
              i * batch.longest() * scale_bytes_,
          &files);
      OP_REQUIRES(context, status.ok(),
                  absl::Status(status.code(),
                               absl::StrCat("hidden-state cache, example ",
                                            row, ": ", status.message())));
    }
  }

 private:
  // Columns of `places`.
  enum { kShard, kStart, kSize, kValuesStart, kScalesStart, kColumns };

  absl::Status ReadRecord(const Tensor& paths, const int64_t* place,
                          int64_t length, int64_t longest, char* values,
                          char* scales, OpenFiles* files) const {
    const int64_t value_bytes = length * token_bytes_;
    const int64_t behind = place[kValuesStart] + value_bytes;
    const int64_t size = place[kSize];
    const int64_t own_scales = length * scale_bytes_;
    if (place[kShard] < 0 || place[kShard] >= paths.NumElements() ||
        place[kValuesStart] < 0 || behind > size ||
        (scale_bytes_ > 0 && (place[kScalesStart] < behind ||
                              place[kScalesStart] > size - own_scales))) {
      return absl::InvalidArgumentError("places: not inside a record");
    }
    std::vector<char> front(kFrontBytes + place[kValuesStart]);
    std::vector<char> back(size - behind + kCrcBytes);
    const std::string path(
        static_cast<const tensorflow::tstring*>(paths.data())[place[kShard]]);
    int descriptor = -1;
    TF_RETURN_IF_ERROR(files->Get(path, &descriptor));
    int64_t count = 0;
    TF_RETURN_IF_ERROR(
        ReadInto(descriptor, place[kStart],
                 {{front.data(), front.size()},
                  {values, static_cast<size_t>(value_bytes)},
                  {back.data(), back.size()}},
                 &count));
    const size_t tail = back.size() - kCrcBytes;
    uint32_t crc = ExtendCrc32c(0, front.data() + kFrontBytes,
                                front.size() - kFrontBytes);
    crc = ExtendCrc32c(crc, values, value_bytes);
    crc = ExtendCrc32c(crc, back.data(), tail);
    uint32_t written = 0;
    for (int byte = 0; byte < kCrcBytes; ++byte) {
      written |= uint32_t{static_cast<uint8_t>(back[tail + byte])}
                 << (8 * byte);
    }
    if (count != kFrontBytes + size + kCrcBytes ||
        MaskedCrc32c(crc) != written) {
      return absl::DataLossError("its bytes are not those written");
    }
    // Where no example has tokens there is no memory to write to.
    if (longest == 0) return absl::OkStatus();
    std::memset(values + value_bytes, 0,
                (longest - length) * token_bytes_);
    if (scale_bytes_ > 0) {
      std::memcpy(scales, back.data() + place[kScalesStart] - behind,
                  own_scales);
      std::memset(scales + own_scales, 0, (longest - length) * scale_bytes_);
    }
    return absl::OkStatus();
  }

  int64_t layers_ = 0;
  int64_t features_ = 0;
  int64_t token_bytes_ = 0;
  int64_t scale_bytes_ = 0;
};

// [batch, unknown] and what follows.
ShapeHandle PaddedShape(InferenceContext* context, int rows_input) {
  ShapeHandle rows = context->input(rows_input);
  const DimensionHandle batch = context->RankKnown(rows)
                                    ? context->Dim(rows, 0)
                                    : context->UnknownDim();
  return context->MakeShape({batch, context->UnknownDim()});
}

REGISTER_OP("BvkerasGatherTokens")
    .Input("tokens: T")
    .Input("starts: int64")
    .Input("lengths: int64")
    .Input("rows: int64")
    .Attr("T: {uint8, uint16, uint32, uint64}")
    .Output("padded: T")
    .Output("mask: bool")
    .SetShapeFn([](InferenceContext* context) {
      const ShapeHandle outer = PaddedShape(context, 3);
      ShapeHandle item, padded;
      TF_RETURN_IF_ERROR(context->Subshape(context->input(0), 1, &item));
      TF_RETURN_IF_ERROR(context->Concatenate(outer, item, &padded));
      context->set_output(0, padded);
      context->set_output(1, outer);
      return absl::OkStatus();
    });

REGISTER_OP("BvkerasReadRecords")
    .Input("paths: string")
    // [examples, 5]: shard, first byte of the record in it, bytes of its
    // message, and where in the message its hidden states and scales begin.
    .Input("places: int64")
    .Input("lengths: int64")
    .Input("rows: int64")
    .Attr("T: {float, bfloat16, half, int8}")
    .Attr("layers: int >= 1")
    .Attr("features: int >= 1")
    .Output("values: T")
    // [batch, longest, layers] of int8; otherwise [batch, longest, 0].
    .Output("scales: float")
    .Output("mask: bool")
    .SetShapeFn([](InferenceContext* context) {
      const ShapeHandle outer = PaddedShape(context, 3);
      tensorflow::DataType type;
      int64_t layers, features;
      TF_RETURN_IF_ERROR(context->GetAttr("T", &type));
      TF_RETURN_IF_ERROR(context->GetAttr("layers", &layers));
      TF_RETURN_IF_ERROR(context->GetAttr("features", &features));
      ShapeHandle values, scales;
      TF_RETURN_IF_ERROR(context->Concatenate(
          outer, context->MakeShape({layers, features}), &values));
      TF_RETURN_IF_ERROR(context->Concatenate(
          outer,
          context->MakeShape({type == tensorflow::DT_INT8 ? layers : 0}),
          &scales));
      context->set_output(0, values);
      context->set_output(1, scales);
      context->set_output(2, outer);
      return absl::OkStatus();
    });

REGISTER_KERNEL_BUILDER(
    Name("BvkerasGatherTokens").Device(tensorflow::DEVICE_CPU),
    GatherTokensOp);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasReadRecords").Device(tensorflow::DEVICE_CPU), ReadRecordsOp);

}  // namespace
}  // namespace bvkeras
