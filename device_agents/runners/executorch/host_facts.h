// What can be known of the machine without privileges; all of it may be unknown.
#pragma once

#include <sched.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kit {

// CLOCK_MONOTONIC: the finest clock that every target has. Rate adjustment by
// NTP is at most 0.05 % and the same for all items.
int64_t now_ns();
std::optional<int64_t> clock_resolution_ns();

// Involuntary context switches so far, of this thread or of all threads.
int64_t involuntary_switches(bool all_threads);
std::optional<int64_t> max_rss_kb();

// CPUs that this thread, and threads it will start, may run on.
class Affinity {
 public:
  Affinity();

  // Null means what was allowed at start. A refusal is no error: what is
  // really allowed is read back with allowed().
  void apply(const std::optional<std::vector<int64_t>>& cpus) const;
  static std::optional<std::vector<int64_t>> allowed();

 private:
  cpu_set_t at_start_;
  bool known_;
};

// Clock and temperature from sysfs. Files are opened once, so that a sample
// costs one read each and nothing where they do not exist.
class Sensors {
 public:
  Sensors();

  std::optional<int64_t> freq_khz() const;
  std::optional<int64_t> temperature_mc() const;

 private:
  std::vector<int> freq_fds_;  // by CPU number, -1 where unreadable
  int thermal_fd_ = -1;
};

}  // namespace kit
