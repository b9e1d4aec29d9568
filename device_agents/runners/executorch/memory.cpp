#include "memory.h"

#include <unistd.h>

namespace kit {

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;

void* HeapAllocator::allocate(size_t size, size_t alignment) {
  if (alignment > Buffer::kAlignment) return nullptr;
  std::unique_ptr<Buffer> block = Buffer::make(size);
  if (block == nullptr) return nullptr;
  blocks_.push_back(std::move(block));
  return blocks_.back()->data();
}

FileLoader::~FileLoader() {
  if (fd_ >= 0) close(fd_);
}

std::string FileLoader::open(const std::string& path) {
  std::string problem;
  fd_ = open_file(path, size_, problem);
  return problem;
}

Result<FreeableBuffer> FileLoader::load(size_t offset, size_t size, const SegmentInfo&) const {
  if (offset > size_ || size > size_ - offset) return Error::InvalidProgram;
  std::unique_ptr<Buffer> buffer = Buffer::make(size);
  if (buffer == nullptr) return Error::MemoryAllocationFailed;
  if (!read_exactly(fd_, offset, size, buffer->data())) return Error::AccessFailed;
  const auto release = [](void* context, void*, size_t) { delete static_cast<Buffer*>(context); };
  Buffer* owned = buffer.release();
  return FreeableBuffer(owned->data(), size, release, owned);
}

Error FileLoader::load_into(size_t offset, size_t size, const SegmentInfo&, void* buffer) const {
  if (offset > size_ || size > size_ - offset) return Error::InvalidProgram;
  return read_exactly(fd_, offset, size, buffer) ? Error::Ok : Error::AccessFailed;
}

}  // namespace kit
