// Buffers, and whole files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace kit {

// Zeroed memory, aligned to a cache line. Kernels may read a little past the
// end of a tensor, so some bytes follow; untouched pages cost nothing.
class Buffer {
 public:
  static constexpr size_t kAlignment = 64;

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

// Opens a regular file for reading and finds its size; returns the descriptor,
// or -1 with the reason in `problem`.
int open_file(const std::string& path, size_t& size, std::string& problem);

// Reads exactly `size` bytes at `offset`.
bool read_exactly(int fd, size_t offset, size_t size, void* to);

// Writes the whole file under a temporary name first. Empty on success.
std::string write_file(const std::string& path, const std::string& content);

}  // namespace kit
