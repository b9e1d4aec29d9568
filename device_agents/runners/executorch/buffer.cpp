#include "buffer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace kit {
namespace {

constexpr size_t kSlack = 128;

bool write_all(int fd, const std::string& content) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = write(fd, content.data() + done, content.size() - done);
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) done += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

std::unique_ptr<Buffer> Buffer::make(size_t size) {
  if (size > SIZE_MAX - Buffer::kAlignment - kSlack) return nullptr;
  void* block = std::calloc(1, size + Buffer::kAlignment + kSlack);
  if (block == nullptr) return nullptr;
  const uintptr_t start = reinterpret_cast<uintptr_t>(block) + Buffer::kAlignment - 1;
  auto* data = reinterpret_cast<uint8_t*>(start & ~uintptr_t{Buffer::kAlignment - 1});
  return std::unique_ptr<Buffer>(new Buffer(block, data, size));
}

Buffer::~Buffer() { std::free(block_); }

int open_file(const std::string& path, size_t& size, std::string& problem) {
  // Without blocking: a pipe in the file's place must not stop the run.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat facts = {};
  if (fd < 0 || fstat(fd, &facts) != 0) {
    problem = std::strerror(errno);
  } else if (!S_ISREG(facts.st_mode)) {
    problem = "not a regular file";
  } else {
    size = static_cast<size_t>(facts.st_size);
    return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

bool read_exactly(int fd, size_t offset, size_t size, void* to) {
  size_t done = 0;
  while (done < size) {
    auto* at = static_cast<uint8_t*>(to) + done;
    const ssize_t count = pread(fd, at, size - done, static_cast<off_t>(offset + done));
    if (count == 0 || (count < 0 && errno != EINTR)) return false;
    if (count > 0) done += static_cast<size_t>(count);
  }
  return true;
}

std::string write_file(const std::string& path, const std::string& content) {
  const std::string part = path + ".part";
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return std::strerror(errno);
  const bool written = write_all(fd, content);
  const int reason = errno;
  if (close(fd) == 0 && written && rename(part.c_str(), path.c_str()) == 0) return "";
  const std::string problem = std::strerror(written ? errno : reason);
  unlink(part.c_str());
  return problem;
}

}  // namespace kit
