// Fibers: stacks of their own that hand the processor to each other. The
// sanitizers are told of every change.

#ifndef BVKERAS_KERNELS_HOST_EMULATION_FIBERS_H_
#define BVKERAS_KERNELS_HOST_EMULATION_FIBERS_H_

#include <ucontext.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>

#if defined(BVKERAS_EMULATION_TSAN)
#include <sanitizer/tsan_interface.h>
#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {

#if defined(__x86_64__)
// Saves the registers that a call must keep, and takes up another stack.
// ucontext would ask the kernel for the signal mask every time.
extern "C" void bvkeras_switch_stack(void** save, void* next);
asm(R"(
.text
.type bvkeras_switch_stack, @function
bvkeras_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size bvkeras_switch_stack, .-bvkeras_switch_stack
)");
#endif

class Fiber {
 public:
#if defined(__SANITIZE_ADDRESS__) || defined(BVKERAS_EMULATION_TSAN)
  static constexpr size_t kStackBytes = 64 << 10;
#else
  static constexpr size_t kStackBytes = 32 << 10;
#endif

  // The one that runs already: the thread's own.
  Fiber() {
#if defined(BVKERAS_EMULATION_TSAN)
    tsan_ = __tsan_get_current_fiber();
#endif
  }

  // One that calls enter() when it first runs; it must not return. The stack
  // begins as NaN.
  Fiber(char* stack, void (*enter)()) : stack_(stack) {
    std::memset(stack, 0xff, kStackBytes);
#if defined(BVKERAS_EMULATION_TSAN)
    tsan_ = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
    auto* top = reinterpret_cast<void**>(stack + kStackBytes);
    *--top = nullptr;  // where enter() would return to; aligns the stack
    *--top = reinterpret_cast<void*>(enter);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    pointer_ = top;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = kStackBytes;
    context_.uc_link = nullptr;
    makecontext(&context_, enter, 0);
#endif
  }

  // Runs `next` until somebody switches back. `ends`: never.
  void SwitchTo(Fiber* next, bool ends = false) {
#if defined(BVKERAS_EMULATION_TSAN)
    __tsan_switch_to_fiber(next->tsan_, __tsan_switch_to_fiber_no_sync);
#elif defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(ends ? nullptr : &fake_stack,
                                   next->bottom_, next->size_);
#endif
#if defined(__x86_64__)
    bvkeras_switch_stack(&pointer_, next->pointer_);
#else
    swapcontext(&context_, &next->context_);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
    (void)ends;
  }

  // The first thing on a new stack.
  void Begin(Fiber* from) {
#if defined(__SANITIZE_ADDRESS__)
    bottom_ = stack_;
    size_ = kStackBytes;
    __sanitizer_finish_switch_fiber(nullptr, &from->bottom_, &from->size_);
#endif
    (void)from;
  }

  // When it has ended.
  void Destroy() {
#if defined(BVKERAS_EMULATION_TSAN)
    __tsan_destroy_fiber(tsan_);
#endif
  }

 private:
  char* stack_ = nullptr;
#if defined(__x86_64__)
  void* pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
#if defined(BVKERAS_EMULATION_TSAN)
  void* tsan_ = nullptr;
#endif

 public:
  // For AddressSanitizer: where the stack lies.
  const void* bottom_ = stack_;
  size_t size_ = kStackBytes;
};

}  // namespace emulation

#endif  // BVKERAS_KERNELS_HOST_EMULATION_FIBERS_H_
