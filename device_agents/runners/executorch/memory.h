// Allocator and file access that ExecuTorch asks its caller to bring.
#pragma once

#include <executorch/runtime/core/data_loader.h>
#include <executorch/runtime/core/memory_allocator.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"

namespace kit {

// Allocates from the heap and frees all at its end.
class HeapAllocator final : public executorch::runtime::MemoryAllocator {
 public:
  HeapAllocator() : MemoryAllocator(0, nullptr) {}
  void* allocate(size_t size, size_t alignment) override;
  void reset() override { blocks_.clear(); }

 private:
  std::vector<std::unique_ptr<Buffer>> blocks_;
};

// Reads each segment when it is asked for, so that what a delegate has packed
// can be freed again and a huge file costs nothing before its header is seen.
class FileLoader final : public executorch::runtime::DataLoader {
 public:
  ~FileLoader() override;

  // Empty on success, else the reason.
  std::string open(const std::string& path);

  executorch::runtime::Result<executorch::runtime::FreeableBuffer> load(
      size_t offset, size_t size, const SegmentInfo& info) const override;
  executorch::runtime::Error load_into(size_t offset, size_t size, const SegmentInfo& info,
                                       void* buffer) const override;
  executorch::runtime::Result<size_t> size() const override { return size_; }

 private:
  int fd_ = -1;
  size_t size_ = 0;
};
}  // namespace kit
