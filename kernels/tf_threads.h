// The driver's tasks on TensorFlow's intra-op threads.

#ifndef BVKERAS_KERNELS_TF_THREADS_H_
#define BVKERAS_KERNELS_TF_THREADS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/synchronization/notification.h"
#include "linear_pooling.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"

namespace bvkeras {
namespace {

// Tasks that threads take one after the other. Shared, since a thread may come
// when all is done and whoever waited has gone.
struct SharedTasks {
  explicit SharedTasks(int64_t tasks) : count(tasks), left(tasks) {}

  void Work(const std::function<void(int64_t)>* task) {
    for (int64_t i = next++; i < count; i = next++) {
      (*task)(i);
      if (--left == 0) done.Notify();
    }
  }

  const int64_t count;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> left;
  absl::Notification done;
};

inline int64_t ThreadsOf(tensorflow::OpKernelContext* context) {
  return context->device()->tensorflow_cpu_worker_threads()->num_threads;
}

// Runs tasks on TensorFlow's intra-op threads.
inline ParallelFor OnThreadsOf(tensorflow::OpKernelContext* context) {
  const auto& workers =
      *context->device()->tensorflow_cpu_worker_threads();
  return [&workers](int64_t tasks, int64_t cost,
                    const std::function<void(int64_t)>& task) {
    constexpr int64_t kLeastCost = 100000;
    const int64_t threads = std::min<int64_t>(tasks, workers.num_threads);
    if (threads < 2 || cost * tasks < kLeastCost ||
        workers.workers->CurrentThreadId() >= 0) {
      for (int64_t i = 0; i < tasks; ++i) task(i);
      return;
    }
    const auto shared = std::make_shared<SharedTasks>(tasks);
    for (int64_t i = 0; i < threads; ++i) {
      workers.workers->Schedule([shared, &task] { shared->Work(&task); });
    }
    // This thread waits, as it does for TensorFlow's own products: where it
    // works too, it and a worker that it woke often share a processor while
    // another has nothing to do.
    shared->done.WaitForNotification();
  };
}

}  // namespace
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_TF_THREADS_H_
