// What one launch must do; the fields are those of device_agents/protocol.py.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace kit {

// Whose a device is that several hosts share: a folder that holds an empty file for each token,
// and this run's token.
struct Fence {
  std::string folder;
  int64_t token = 0;
};

// The phone is another holder's by now: nothing more may be measured or written.
class FencedOff : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct PlanItem {
  int64_t id = 0;
  std::string file;
  std::string method = "forward";
  int64_t loops = 0;
  std::optional<std::string> input;
  std::optional<std::string> output;
  int64_t profile = 0;  // traced calls, told by operator; 0 none
};

struct Plan {
  std::string nonce;
  std::string backend;
  int64_t threads = 1;
  std::optional<std::vector<int64_t>> affinity;
  uint64_t order_seed = 0;
  int64_t rounds = 0;
  int64_t warmup = 2;
  int64_t min_block_ns = 1000000;
  int64_t max_loops = 10000;
  int64_t max_attempts = 5;
  std::optional<int64_t> sentinel;
  int64_t sentinel_every = 10;
  std::optional<double> max_temperature_c;
  std::optional<Fence> fence;  // none where no farm shares the device
  std::vector<PlanItem> items;
};

// Reads a plan from one line of JSON; false with the reason in `problem`.
bool read_plan(const std::string& line, Plan& plan, std::string& problem);

// Throws FencedOff unless the largest token there is this run's. Without a fence it does nothing.
void check_fence(const std::optional<Fence>& fence);

}  // namespace kit
