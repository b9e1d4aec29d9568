#include "runtime.h"

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

// The thread pool's header is not in every wheel, its functions are.
#if __has_include(<executorch/extension/threadpool/threadpool.h>)
#include <executorch/extension/threadpool/threadpool.h>
#else
#include <cstddef>
#include <cstdint>

// Only what the runner calls; objects are made and kept by the library alone, so nothing
// here depends on their layout.
namespace executorch::extension::threadpool {

class ThreadPool final {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t num_threads);
};

ThreadPool* get_threadpool();

}  // namespace executorch::extension::threadpool
#endif

#ifndef KIT_RUNTIME_VERSION
#error "define KIT_RUNTIME_VERSION as the version of ExecuTorch that is linked"
#endif

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

// Takes the log over from whatever was installed before: errors only, on standard error, the
// first one kept so that a failure can say why.
void install_log() {
  // The runtime warns when another log was there first; ours is meant.
  const int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (saved >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(emit, "runtime.cpp"));
  if (saved >= 0) dup2(saved, STDERR_FILENO);
  if (saved >= 0) close(saved);
  if (nowhere >= 0) close(nowhere);
}

}  // namespace

const char* const kRunner = "executorch-native";
const char* const kRuntime = "executorch";

std::string runtime_version() { return KIT_RUNTIME_VERSION; }

void start_runtime() {
  install_log();
  executorch::runtime::runtime_init();
}

int64_t set_threads(int64_t wanted) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (pool == nullptr) return 0;
  // By way of 1: an equal count would keep old threads, and with them an old
  // affinity. A pool of 1 has no thread but the caller's.
  pool->_unsafe_reset_threadpool(1);
  pool->_unsafe_reset_threadpool(static_cast<uint32_t>(wanted));
#pragma GCC diagnostic pop
  return static_cast<int64_t>(pool->get_thread_count());
}

std::vector<std::string> backends() {
  std::vector<std::string> names;
  for (size_t i = 0; i < executorch::runtime::get_num_registered_backends(); ++i) {
    const auto name = executorch::runtime::get_backend_name(i);
    if (name.ok()) names.push_back(*name);
  }
  return names;
}

std::string take_first_error() {
  const std::lock_guard<std::mutex> guard(lock);
  std::string text;
  text.swap(first_error);
  return text;
}

}  // namespace kit
