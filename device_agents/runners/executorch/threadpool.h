// The runtime's thread pool. Its header is not in every wheel, its functions are.
#pragma once

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
