#include "inputs.h"

#include <cstdint>

namespace kit {
namespace {

using executorch::aten::ScalarType;

template <typename T, typename Next>
bool fill(void* data, size_t bytes, Next next) {
  auto* values = static_cast<T*>(data);
  for (size_t i = 0; i < bytes / sizeof(T); ++i) values[i] = static_cast<T>(next());
  return true;
}

}  // namespace

bool fill_random(ScalarType type, void* data, size_t bytes, Random& random) {
  const auto real = [&random] { return random.uniform(); };
  const auto wide = [&random] { return random.next() >> 48; };
  const auto bit = [&random] { return random.next() >> 63; };
  switch (type) {
    case ScalarType::Float: return fill<float>(data, bytes, real);
    case ScalarType::Double: return fill<double>(data, bytes, real);
    case ScalarType::Half: return fill<executorch::aten::Half>(data, bytes, real);
    case ScalarType::BFloat16: return fill<executorch::aten::BFloat16>(data, bytes, real);
    case ScalarType::Byte: return fill<uint8_t>(data, bytes, wide);
    case ScalarType::Char: return fill<int8_t>(data, bytes, wide);
    case ScalarType::Short: return fill<int16_t>(data, bytes, wide);
    case ScalarType::Bool: return fill<bool>(data, bytes, bit);
    case ScalarType::Int: return fill<int32_t>(data, bytes, bit);
    case ScalarType::Long: return fill<int64_t>(data, bytes, bit);
    default: return false;
  }
}

}  // namespace kit
