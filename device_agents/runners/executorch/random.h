// splitmix64: small, seedable, the same on every platform.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace kit {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // Uniform in [-1, 1): 24 bits, exact in a float.
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f; }

 private:
  uint64_t state_;
};

// The order of one round: Fisher-Yates from the end, index = next() % (i + 1),
// with a generator seeded by (first output for order_seed) + round. The modulo
// bias is below n / 2^64.
inline std::vector<size_t> order_of_round(uint64_t order_seed, uint64_t round, size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(Random(order_seed).next() + round);
  for (size_t i = count; i-- > 1;) std::swap(order[i], order[random.next() % (i + 1)]);
  return order;
}

}  // namespace kit
