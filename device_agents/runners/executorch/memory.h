// Buffers, allocator and file access that ExecuTorch asks its caller to bring.
#pragma once

#include <executorch/runtime/core/data_loader.h>
#include <executorch/runtime/core/memory_allocator.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kit {

// Zeroed memory, aligned to a cache line. Kernels may read a little past the
// end of a tensor, so some bytes follow; untouched pages cost nothing.
class Buffer {
 public:
  // Null when there is not that much memory.
  static std::unique_ptr<Buffer> make(size_t size);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Buffer(void* block, uint8_t* data, size_t size) : block_(block), data_(data), size_(size) {}

  void* block_;
  uint8_t* data_;
  size_t size_;
};

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

// Opens a regular file for reading and finds its size; returns the descriptor,
// or -1 with the reason in `problem`.
int open_file(const std::string& path, size_t& size, std::string& problem);

// Reads exactly `size` bytes at `offset`.
bool read_exactly(int fd, size_t offset, size_t size, void* to);

// Writes the whole file under a temporary name first. Empty on success.
std::string write_file(const std::string& path, const std::string& content);

}  // namespace kit
