// What the runner says and does of the runtime that it is linked with, beside its programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kit {

extern const char* const kRunner;   // this program's name in records
extern const char* const kRuntime;  // the runtime's

std::string runtime_version();

// Once, before anything else of the runtime.
void start_runtime();

// Returns the threads that programs will have, the calling one included, or 0.
int64_t set_threads(int64_t wanted);

// Names of what can execute programs.
std::vector<std::string> backends();

// Returns the first error that the runtime logged since the last call, or nothing. Builds
// without logging have none.
std::string take_first_error();

}  // namespace kit
