// A minimal JSON reader, enough for a plan, and the quoting needed for records.
#pragma once

#include <string>
#include <vector>

namespace kit {

struct Json {
  enum class Kind { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  bool boolean = false;
  std::string text;  // a string's content, or a number as it was written
  std::vector<std::string> names;  // of an object's fields, parallel to items
  std::vector<Json> items;

  // Returns null when there is no such field.
  const Json* find(const std::string& name) const;
};

// Reads one complete JSON text; false if it is anything else.
bool parse_json(const std::string& text, Json& out);

// Returns the text as a JSON string, quotes included.
std::string quote(const std::string& text);

}  // namespace kit
