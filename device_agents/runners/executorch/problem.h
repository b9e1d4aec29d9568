// Why an item failed, as its `failure` record says it.
#pragma once

#include <optional>
#include <string>

namespace kit {

struct Problem {
  std::string kind;  // load, input, execute or output
  std::string message;
};

using Maybe = std::optional<Problem>;  // nothing: all went well

}  // namespace kit
