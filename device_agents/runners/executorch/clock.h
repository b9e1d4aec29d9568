// The clock that the current core really runs at, without any privilege.
#pragma once

#include <cstdint>
#include <optional>

namespace kit {

// Times a chain of dependent instructions whose latency in cycles is the same
// on every core of the architecture: 3 for a multiplication on x86-64, 1 for
// an addition on arm64. Unlike sysfs it sees boosts, throttling and what a
// hypervisor does, and it is there on every phone. Touches no memory; takes
// some 25 us. Nothing on other architectures.
std::optional<int64_t> effective_khz();

}  // namespace kit
