// Runs plans: device_agents/protocol.py says what goes in and what comes out.
//
//   runner --serve      one plan a line on standard input, until its end
//   runner PLAN.json    one plan
//   runner --version    what this runner is, as one line of JSON
//
// Exit codes: 0 done (or nobody reads any more), 2 a bad plan or wrong use,
// 3 the runtime could not be started, 4 the device is another holder's (fenced off).

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "bench.h"
#include "json.h"
#include "runtime.h"

namespace kit {
namespace {

constexpr int kDone = 0;
constexpr int kBadPlan = 2;
constexpr int kBroken = 3;
constexpr int kFencedOff = 4;

int complain(const std::string& message, int code) {
  std::cerr << "runner: " << message << std::endl;
  return code;
}

std::optional<std::string> own_sha256() {
  const char* text = std::getenv("KIT_RUNNER_SHA256");
  if (text == nullptr || *text == '\0') return std::nullopt;
  return text;
}

Record hello(const Plan& plan, int64_t threads) {
  Record record("hello");
  record.add("schema_version", int64_t{1})
      .add("nonce", plan.nonce)
      .add("runner", std::string(kRunner))
      .add("runner_sha256", own_sha256())
      .add("runtime", std::string(kRuntime))
      .add("runtime_version", runtime_version())
      .add("backend", plan.backend)
      .add("threads", threads)
      .add("affinity", Affinity::allowed())
      .add("clock_resolution_ns", clock_resolution_ns())
      .add("pid", static_cast<int64_t>(getpid()));
  return record;
}

class Session {
 public:
  explicit Session(int fd) : output_(fd) {}

  int run(const std::string& line) const {
    Plan plan;
    std::string problem;
    if (!read_plan(line, plan, problem)) return complain("bad plan: " + problem, kBadPlan);
    check_fence(plan.fence);
    affinity_.apply(plan.affinity);  // first: the pool's threads inherit it
    const int64_t threads = set_threads(plan.threads);
    if (threads == 0) return complain("no thread pool", kBroken);
    output_.send(hello(plan, threads));
    Bench(plan, sensors_, output_).run();
    return kDone;
  }

  int serve() const {
    std::string line;
    while (std::getline(std::cin, line)) {
      const int code = run(line);
      if (code != kDone) return code;
    }
    return kDone;
  }

  int run_file(const char* path) const {
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    return file.fail() ? complain("the plan cannot be read", kBadPlan) : run(text);
  }

  int version() const {
    std::string names;
    for (const std::string& name : backends()) names += (names.empty() ? "" : ",") + quote(name);
    output_.write_line("{\"schema_version\":1,\"runner\":" + quote(kRunner) + ",\"runtime\":" +
                       quote(kRuntime) + ",\"runtime_version\":" + quote(runtime_version()) +
                       ",\"backends\":[" + names + "]}\n");
    return kDone;
  }

 private:
  Output output_;
  Affinity affinity_;
  Sensors sensors_;
};

// Keeps standard output for records: whatever else is printed goes to stderr.
int claim_stdout() {
  const int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  return fd;
}

int start(int argc, char** argv) {
  const int fd = claim_stdout();
  if (argc != 2 || fd < 0) return complain("use: runner --serve | --version | PLAN.json", kBadPlan);
  start_runtime();
  const Session session(fd);
  const std::string what = argv[1];
  if (what == "--version") return session.version();
  return what == "--serve" ? session.serve() : session.run_file(argv[1]);
}

}  // namespace
}  // namespace kit

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return kit::start(argc, argv);
  } catch (const kit::FencedOff& error) {
    return kit::complain(error.what(), kit::kFencedOff);
  } catch (const std::exception& error) {
    return kit::complain(error.what(), 3);
  } catch (...) {
    return kit::complain("unknown exception", 3);
  }
}
