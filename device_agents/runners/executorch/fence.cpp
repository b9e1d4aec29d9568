#include "fence.h"

#include <dirent.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

namespace kit {
namespace {

// The token that a file's name states; 0 for any other name.
int64_t token_of(const std::string& name) {
  if (name.empty() || name.size() > 18) return 0;
  if (name.find_first_not_of("0123456789") != std::string::npos) return 0;
  return std::strtoll(name.c_str(), nullptr, 10);
}

// The largest token of a folder; 0 where there is none, or no such folder.
int64_t largest_token(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(opendir(folder.c_str()), closedir);
  int64_t largest = 0;
  while (opened) {
    const dirent* entry = readdir(opened.get());
    if (entry == nullptr) break;
    const int64_t token = token_of(entry->d_name);
    if (token > largest) largest = token;
  }
  return largest;
}

}  // namespace

void check_fence(const std::optional<Fence>& fence) {
  if (!fence) return;
  const int64_t kept = largest_token(fence->folder);
  if (kept == fence->token) return;
  throw FencedOff("fenced off: this device belongs to token " + std::to_string(kept) +
                  ", this run has " + std::to_string(fence->token));
}

}  // namespace kit
