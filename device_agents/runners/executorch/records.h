// Records: one JSON object a line, each line one write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kit {

// Why an item failed, as its `failure` record says it.
struct Problem {
  std::string kind;  // load, input, execute or output
  std::string message;
};

using Maybe = std::optional<Problem>;  // nothing: all went well

class Record {
 public:
  explicit Record(const char* type);

  Record& add(const char* name, int64_t value);
  Record& add(const char* name, const std::string& value);
  Record& add(const char* name, const std::vector<int64_t>& values);

  // A field that is unknown is left out: unknown is never written as 0 or null.
  template <typename T>
  Record& add(const char* name, const std::optional<T>& value) {
    return value ? add(name, *value) : *this;
  }

  std::string line() const { return text_ + "}\n"; }

 private:
  Record& raw(const char* name, const std::string& value);

  std::string text_;
};

class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}

  // Ends the process quietly when nobody reads any more.
  void send(const Record& record) const { write_line(record.line()); }
  void write_line(const std::string& line) const;

 private:
  int fd_;
};

}  // namespace kit
