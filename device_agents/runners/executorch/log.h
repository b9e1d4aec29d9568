// ExecuTorch's log: errors only, on standard error, the first one kept so that
// a failure can say why.
#pragma once

#include <string>

namespace kit {

// Takes the log over from whatever was installed before.
void install_log();

// Returns the first error since the last call, or nothing. Builds without
// logging have none.
std::string take_first_error();

}  // namespace kit
