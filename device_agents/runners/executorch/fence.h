// The fence of a phone that several hosts share: the largest token that it has seen.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace kit {

// As a plan names it: a folder that holds an empty file for each token, and this run's token.
struct Fence {
  std::string folder;
  int64_t token = 0;
};

// The phone is another holder's by now: nothing more may be measured or written.
class FencedOff : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws FencedOff unless the largest token there is this run's. Without a fence it does nothing.
void check_fence(const std::optional<Fence>& fence);

}  // namespace kit
