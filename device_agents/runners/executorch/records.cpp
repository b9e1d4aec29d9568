#include "records.h"

#include <unistd.h>

#include <cerrno>

#include "json.h"

namespace kit {

Record::Record(const char* type) : text_("{\"type\":" + quote(type)) {}

Record& Record::raw(const char* name, const std::string& value) {
  text_ += "," + quote(name) + ":" + value;
  return *this;
}

Record& Record::add(const char* name, int64_t value) { return raw(name, std::to_string(value)); }

Record& Record::add(const char* name, const std::string& value) { return raw(name, quote(value)); }

Record& Record::add(const char* name, const std::vector<int64_t>& values) {
  std::string list;
  for (const int64_t value : values) list += (list.empty() ? "" : ",") + std::to_string(value);
  return raw(name, "[" + list + "]");
}

void Output::write_line(const std::string& line) const {
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t count = write(fd_, line.data() + done, line.size() - done);
    if (count >= 0) {
      done += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      _exit(errno == EPIPE ? 0 : 3);  // a host that went away knows it
    }
  }
}

}  // namespace kit
