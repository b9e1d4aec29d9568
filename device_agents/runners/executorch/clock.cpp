#include "clock.h"

#include <algorithm>

#include "host_facts.h"

namespace kit {
namespace {

constexpr int kChain = 100;  // instructions between two branches
constexpr int kTries = 3;    // an interruption can only make one look slow

#if defined(__x86_64__)
constexpr int64_t kCycles = 3;
constexpr int kRepeats = 100;
inline uint64_t chain(uint64_t x) {
  __asm__ volatile(".rept 100\n\timul %0, %0\n\t.endr" : "+r"(x));
  return x;
}
#elif defined(__aarch64__)
constexpr int64_t kCycles = 1;
constexpr int kRepeats = 200;
inline uint64_t chain(uint64_t x) {
  __asm__ volatile(".rept 100\n\tadd %0, %0, %0\n\t.endr" : "+r"(x));
  return x;
}
#else
constexpr int64_t kCycles = 0;
constexpr int kRepeats = 0;
inline uint64_t chain(uint64_t x) { return x; }
#endif

}  // namespace

std::optional<int64_t> effective_khz() {
  if (kCycles == 0) return std::nullopt;
  constexpr int64_t kCyclesTimesMhz = int64_t{kChain} * kRepeats * kCycles * 1'000'000;
  int64_t fastest = 0;
  uint64_t x = 3;
  for (int i = 0; i < kTries; ++i) {
    const int64_t start = now_ns();
    for (int k = 0; k < kRepeats; ++k) x = chain(x);
    const int64_t took = std::max<int64_t>(now_ns() - start, 1);
    fastest = std::max(fastest, kCyclesTimesMhz / took);
  }
  return fastest;
}

}  // namespace kit
