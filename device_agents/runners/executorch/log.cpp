#include "log.h"

#include <executorch/runtime/platform/platform.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

namespace kit {
namespace {

constexpr size_t kLongest = 200;

std::mutex lock;  // pool threads may log as well
std::string first_error;

// Messages may quote bytes of a broken file: keep records valid UTF-8.
std::string printable(const char* message, size_t length) {
  std::string text(message, std::min(length, kLongest));
  for (char& c : text) c = c >= 0x20 && c < 0x7F ? c : '?';
  return text;
}

void emit(et_timestamp_t, et_pal_log_level_t level, const char* file, const char*, size_t line,
          const char* message, size_t length) {
  if (level != kError && level != kFatal) return;
  const std::string text = printable(message, length);
  std::fprintf(stderr, "[%s:%zu] %s\n", file, line, text.c_str());
  const std::lock_guard<std::mutex> guard(lock);
  if (first_error.empty()) first_error = text;
}

}  // namespace

void install_log() {
  // The runtime warns when another log was there first; ours is meant.
  const int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (saved >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(emit, "log.cpp"));
  if (saved >= 0) dup2(saved, STDERR_FILENO);
  if (saved >= 0) close(saved);
  if (nowhere >= 0) close(nowhere);
}

std::string take_first_error() {
  const std::lock_guard<std::mutex> guard(lock);
  std::string text;
  text.swap(first_error);
  return text;
}

}  // namespace kit
