// A GPU's blocks and threads on one thread of a CPU, for tests.
//
// Blocks run one after another; the threads of a block are fibers, and one
// runs until it must wait for others: at __syncthreads, __syncwarp, a shuffle
// or a product of a warp. Which one runs next, which block, and when an
// asynchronous copy takes place, follow from a seed:
//
//     0        lowest thread and block first, copies as late as they may be
//     1        highest first, copies at once
//     others   at random
//
// What a launch may not rely on is made to go wrong. Shared memory is a heap
// block of its exact size, new for every block and full of NaN, as stacks
// are; more than 48 KB is refused. Fragments of wmma lie scrambled over the
// lanes. A thread that ends while others of its warp wait for it, and threads
// that wait for each other for ever, end the program with a line that says
// so. Under ThreadSanitizer every thread of a launch is a thread of its own,
// and only barriers order what they do: shuffles and products do not.

#ifndef BVKERAS_KERNELS_HOST_EMULATION_EMULATION_H_
#define BVKERAS_KERNELS_HOST_EMULATION_EMULATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulation {

struct Index {
  unsigned x, y, z;
};

// For launches from now on.
void SetSeed(unsigned seed);

// Runs body() once for each thread.
void Launch(unsigned blocks, unsigned threads, size_t shared_bytes,
            const std::function<void()>& body);

// Within a launch: what the thread that runs may ask.
Index ThreadIndex();
Index BlockIndex();
Index BlockSize();
Index GridSize();
unsigned char* DynamicShared();

void SyncThreads();
void SyncWarp();
// The value that another lane of the warp gives. All lanes take part.
uint32_t Shuffle(uint32_t value, unsigned lane);

// D = A B + C of a warp, 16 x 16 each, in float32. A lane holds 8 numbers of
// each matrix, those at Place(which, lane, 0 ... 7) in row-major order, and
// gets its 8 of D.
constexpr int kLaneNumbers = 8;
enum class Matrix { kA, kB, kAccumulator };
int Place(Matrix matrix, unsigned lane, int number);
void Multiply(const float* a, const float* b, const float* c, float* d);

// Whether an asynchronous copy that begins now takes place at once.
bool CopiesAtOnce();
// A thread's own store of copies that have not taken place.
void*& PendingCopies();

// Ends the program, naming the thread.
[[noreturn]] void Fail(const char* what);

}  // namespace emulation

#endif  // BVKERAS_KERNELS_HOST_EMULATION_EMULATION_H_
