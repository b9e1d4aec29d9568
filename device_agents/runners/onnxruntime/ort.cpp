#include "ort.h"

#include <stdexcept>

namespace kit::ort {

const void* const* table() {
  static const void* const* const found = OrtGetApiBase()->get_api(kTableVersion);
  if (found == nullptr) throw std::runtime_error("this ONNX Runtime has no table of version 1");
  return found;
}

std::string take_message(OrtStatus* status) {
  if (status == nullptr) return "";
  std::string message = call<2, const char*>(static_cast<const OrtStatus*>(status));
  call<93, void>(status);
  // Messages may quote bytes of a broken file: keep records valid UTF-8, on one line.
  if (message.size() > 200) message.resize(200);
  for (char& c : message) c = c >= 0x20 && c < 0x7F ? c : '?';
  return message.empty() ? "no reason given" : message;
}

size_t bytes_of(int type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool: return 1;
    case kUint16:
    case kInt16:
    case kFloat16:
    case kBfloat16: return 2;
    case kFloat:
    case kInt32:
    case kUint32: return 4;
    case kDouble:
    case kInt64:
    case kUint64: return 8;
    default: return 0;
  }
}

}  // namespace kit::ort
