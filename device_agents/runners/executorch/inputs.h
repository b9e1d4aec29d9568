// What goes into a method: a raw file, or seeded random numbers.
#pragma once

#include <executorch/runtime/core/exec_aten/exec_aten.h>

#include <cstddef>

#include "random.h"

namespace kit {

// Fills `bytes` of elements of this type: floats uniform in [-1, 1), 8-bit and
// 16-bit integers over their range, bool and wider integers (often indices) 0
// or 1. False for a type without a rule.
bool fill_random(executorch::aten::ScalarType type, void* data, size_t bytes, Random& random);

}  // namespace kit
