#include "emulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "fibers.h"

namespace emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kMostShared = 48 << 10;
constexpr unsigned kMostThreads = 1024;
// ThreadSanitizer has room for 8,128, and keeps them apart only while all of
// a launch exist.
constexpr unsigned kMostTsanThreads = 7000;

// Tells ThreadSanitizer that what came before a Leave comes before what
// follows an Enter of the same object.
void Leave(void* object) {
#if defined(BVKERAS_EMULATION_TSAN)
  __tsan_release(object);
#endif
  (void)object;
}
void Enter(void* object) {
#if defined(BVKERAS_EMULATION_TSAN)
  __tsan_acquire(object);
#endif
  (void)object;
}

// Threads that meet. A thread can be one meeting ahead of another that has
// not read yet, so everything that belongs to a meeting is there twice.
struct Meeting {
  explicit Meeting(unsigned threads = kWarp) { waiting.reserve(threads); }

  unsigned arrived = 0;
  unsigned number = 0;
  const char* what = nullptr;
  std::vector<unsigned> waiting;
  // Two objects for ThreadSanitizer in turn: with one, a thread that is ahead
  // would be ordered before one that is not.
  char synchronized[2] = {};
};

struct Warp {
  Meeting exchange, barrier;
  uint32_t words[2][kWarp];
  float a[2][256], b[2][256];
};

struct Thread {
  Fiber fiber;
  bool ended = false;
  void* pending_copies = nullptr;
  unsigned barriers = 0;
};

// Memory of exactly its size, with a pattern after it where no sanitizer
// watches.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes)
      : bytes_(bytes),
        memory_(static_cast<unsigned char*>(
            ::operator new(bytes + kGuard, kAlignment))) {
    std::memset(memory_, 0xff, bytes);
    std::memset(memory_ + bytes, kPattern, kGuard);
  }
  ~SharedMemory() { ::operator delete(memory_, kAlignment); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  unsigned char* get() const { return memory_; }
  bool overrun() const {
    return std::any_of(memory_ + bytes_, memory_ + bytes_ + kGuard,
                       [](unsigned char byte) { return byte != kPattern; });
  }

 private:
  static constexpr std::align_val_t kAlignment{128};
  static constexpr unsigned char kPattern = 0xa5;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kGuard = 0;
#else
  static constexpr size_t kGuard = 256;
#endif
  size_t bytes_;
  unsigned char* memory_;
};

struct Block {
  Block(unsigned index, unsigned size, unsigned blocks, size_t shared_bytes,
        const std::function<void()>* body)
      : index(index),
        size(size),
        blocks(blocks),
        alive(size),
        stacks(new char[size * Fiber::kStackBytes]),
        shared(shared_bytes),
        body(body),
        barrier(size) {}

  const unsigned index;
  const unsigned size;
  const unsigned blocks;
  unsigned alive;
  unsigned running = 0;
  const std::unique_ptr<char[]> stacks;
  const SharedMemory shared;
  const std::function<void()>* const body;
  Meeting barrier;
  std::deque<Warp> warps;
  std::vector<Thread> threads;
  std::vector<unsigned> runnable;
};

unsigned seed = 0;
std::mt19937 random_numbers;
Block* block = nullptr;
Fiber* scheduler = nullptr;
char launch_end = 0;

Thread& Running() { return block->threads[block->running]; }
Warp& RunningWarp() { return block->warps[block->running / kWarp]; }

void Wait() { Running().fiber.SwitchTo(scheduler); }

// Returns, when `size` threads have come, the meeting's turn: 0 or 1.
unsigned Meet(Meeting* meeting, unsigned size, const char* what,
              bool orders_memory) {
  if (meeting->arrived == 0) meeting->what = what;
  if (meeting->what != what) Fail("meets others that do something else");
  const unsigned turn = meeting->number % 2;
  if (orders_memory) Leave(&meeting->synchronized[turn]);
  if (++meeting->arrived < size) {
    meeting->waiting.push_back(block->running);
    Wait();
  } else {
    meeting->arrived = 0;
    ++meeting->number;
    // Not by insert(): ThreadSanitizer sees the C library's copies.
    for (const unsigned thread : meeting->waiting) {
      block->runnable.push_back(thread);
    }
    meeting->waiting.clear();
  }
  if (orders_memory) Enter(&meeting->synchronized[turn]);
  return turn;
}

unsigned MeetWarp(const char* what) {
  return Meet(&RunningWarp().exchange, kWarp, what, false);
}

void RunThread() {
  Running().fiber.Begin(scheduler);
  (*block->body)();
  Thread& thread = Running();
  if (thread.pending_copies != nullptr) {
    Fail("ends before its copies do");
  }
  Leave(&launch_end);
  thread.ended = true;
  thread.fiber.SwitchTo(scheduler, true);
}

// Which of `count` comes next.
size_t Choose(const std::vector<unsigned>& candidates) {
  if (seed > 1) return random_numbers() % candidates.size();
  const auto range = std::minmax_element(candidates.begin(), candidates.end());
  return (seed == 0 ? range.first : range.second) - candidates.begin();
}

unsigned TakeNext(std::vector<unsigned>* candidates) {
  const size_t chosen = Choose(*candidates);
  const unsigned next = (*candidates)[chosen];
  (*candidates)[chosen] = candidates->back();
  candidates->pop_back();
  return next;
}

void RunBlock() {
  const unsigned size = block->size;
  block->runnable.reserve(size);
  // Emplaced, not copied: a copy has no room reserved.
  while (block->warps.size() * kWarp < size) block->warps.emplace_back();
  block->threads.reserve(size);
  for (unsigned i = 0; i < size; ++i) {
    block->threads.push_back(
        {Fiber(block->stacks.get() + i * Fiber::kStackBytes, RunThread)});
    block->runnable.push_back(i);
  }
  while (!block->runnable.empty()) {
    block->running = TakeNext(&block->runnable);
    scheduler->SwitchTo(&Running().fiber);
    if (Running().ended) --block->alive;
  }
  if (block->alive > 0) {
    for (block->running = 0; Running().ended;) ++block->running;
    Fail("waits for threads that do not come");
  }
  if (block->shared.overrun()) Fail("or another wrote behind shared memory");
}

}  // namespace

void SetSeed(unsigned value) {
  seed = value;
  random_numbers.seed(value);
}

void Launch(unsigned blocks, unsigned threads, size_t shared_bytes,
            const std::function<void()>& body) {
  Fiber main_fiber;
  scheduler = &main_fiber;
  if (blocks == 0 || threads == 0 || threads > kMostThreads) {
    Fail("is launched with a wrong number of blocks or threads");
  }
  if (shared_bytes > kMostShared) {
    Fail("is launched with more than 48 KB of shared memory");
  }
#if defined(BVKERAS_EMULATION_TSAN)
  if (uint64_t{blocks} * threads > kMostTsanThreads) {
    Fail("is one of more than ThreadSanitizer can tell apart");
  }
#endif
  std::vector<unsigned> waiting(blocks);
  for (unsigned i = 0; i < blocks; ++i) waiting[i] = i;
  // ThreadSanitizer knows memory, barriers and threads by where they are, and
  // would take one block's for another's: there all are kept to the end.
  std::vector<std::unique_ptr<Block>> run;
  while (!waiting.empty()) {
    run.push_back(std::make_unique<Block>(TakeNext(&waiting), threads, blocks,
                                          shared_bytes, &body));
    block = run.back().get();
    RunBlock();
#if !defined(BVKERAS_EMULATION_TSAN)
    run.clear();
#endif
  }
  for (const auto& one : run) {
    for (Thread& thread : one->threads) thread.fiber.Destroy();
  }
  Enter(&launch_end);
  block = nullptr;
}

Index ThreadIndex() { return {block->running, 0, 0}; }
Index BlockIndex() { return {block->index, 0, 0}; }
Index BlockSize() { return {block->size, 1, 1}; }
Index GridSize() { return {block->blocks, 1, 1}; }
unsigned char* DynamicShared() { return block->shared.get(); }

void SyncThreads() {
  Meet(&block->barrier, block->size, "__syncthreads", true);
}

void SyncWarp() { Meet(&RunningWarp().barrier, kWarp, "__syncwarp", true); }

uint32_t Shuffle(uint32_t value, unsigned lane) {
  Warp& warp = RunningWarp();
  const unsigned turn = warp.exchange.number % 2;
  warp.words[turn][block->running % kWarp] = value;
  MeetWarp("a shuffle");
  return warp.words[turn][lane % kWarp];
}

int Place(Matrix matrix, unsigned lane, int number) {
  // Odd factors: every place once, and no lane has neighbours.
  const unsigned factor = matrix == Matrix::kA ? 83 : matrix == Matrix::kB
                                                          ? 149
                                                          : 211;
  return (lane * kLaneNumbers + number) * factor % 256;
}

void Multiply(const float* a, const float* b, const float* c, float* d) {
  Warp& warp = RunningWarp();
  const unsigned lane = block->running % kWarp;
  const unsigned turn = warp.exchange.number % 2;
  for (int i = 0; i < kLaneNumbers; ++i) {
    warp.a[turn][Place(Matrix::kA, lane, i)] = a[i];
    warp.b[turn][Place(Matrix::kB, lane, i)] = b[i];
  }
  MeetWarp("a product");
  for (int i = 0; i < kLaneNumbers; ++i) {
    const int place = Place(Matrix::kAccumulator, lane, i);
    const float* row = warp.a[turn] + place / 16 * 16;
    const float* column = warp.b[turn] + place % 16;
    float sum = c[i];
    for (int k = 0; k < 16; ++k) sum += row[k] * column[k * 16];
    d[i] = sum;
  }
}

bool CopiesAtOnce() {
  return seed == 1 || (seed > 1 && random_numbers() % 2 == 0);
}

void*& PendingCopies() { return Running().pending_copies; }

void Fail(const char* what) {
  std::fprintf(stderr, "emulation: block %u thread %u %s\n",
               block == nullptr ? 0 : block->index,
               block == nullptr ? 0 : block->running, what);
  std::fflush(stderr);
  std::abort();
}

}  // namespace emulation
