#include "runtime.h"

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/runtime.h>

#include "log.h"
#include "threadpool.h"

#ifndef KIT_RUNTIME_VERSION
#error "define KIT_RUNTIME_VERSION as the version of ExecuTorch that is linked"
#endif

namespace kit {

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

}  // namespace kit
