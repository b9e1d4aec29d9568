#include "../executorch/runtime.h"

#include "../executorch/bench.h"
#include "ort.h"
#include "program.h"

namespace kit {

const char* const kRunner = "onnxruntime-native";
const char* const kRuntime = "onnxruntime";

std::string runtime_version() { return OrtGetApiBase()->get_version(); }

void start_runtime() { (void)ort::table(); }

// Each session has a pool of its own; the calling thread is one of its threads.
int64_t set_threads(int64_t wanted) {
  set_session_threads(wanted);
  return wanted;
}

std::vector<std::string> backends() { return {"CPUExecutionProvider"}; }

// What went wrong is in the status of each call.
std::string take_first_error() { return ""; }

Maybe Bench::profile(Item&) {
  return Problem{"execute", "this runner tells no times of single operators"};
}

}  // namespace kit
