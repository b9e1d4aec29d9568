// Calls with and without a tracer in turn: where a program's time goes, and what asking costs.

#include "profile.h"

#include <algorithm>
#include <vector>

#include "bench.h"
#include "host_facts.h"

namespace kit {
namespace {

using executorch::runtime::Error;

Problem call_problem(Error error) { return {"execute", describe("Method::execute", error)}; }

struct Traced {
  int64_t whole_ns = 0;   // of a call without tracer
  int64_t traced_ns = 0;  // of the one after it, with tracer
  int64_t switches = 0;   // involuntary, during both
  std::vector<Event> events;
};

}  // namespace

Tracer::Entry Tracer::start_profiling(const char* name, Chain, Handle) { return open(name, false); }

void Tracer::end_profiling(Entry entry) { close(entry); }

Tracer::Entry Tracer::start_profiling_delegate(const char* name, DelegateId id) {
  return open(name == nullptr ? std::to_string(id).c_str() : name, true);
}

void Tracer::log_profiling_delegate(const char* name, DelegateId id, et_timestamp_t start,
                                    et_timestamp_t stop, const void*, size_t) {
  if (!recording_) return;
  Event event;
  event.name = name == nullptr ? std::to_string(id) : name;
  event.delegated = true;
  event.depth = open_;
  // Ticks of ExecuTorch's POSIX platform are nanoseconds.
  event.ns = static_cast<int64_t>(stop - start);
  events_.push_back(std::move(event));
}

Tracer::Entry Tracer::open(const char* name, bool delegated) {
  Entry entry{};
  entry.event_id = -1;
  if (!recording_) return entry;
  entry.event_id = static_cast<int64_t>(events_.size());
  Event event;
  event.name = name == nullptr ? "" : name;
  event.delegated = delegated;
  event.depth = open_++;
  event.start_ns = now_ns();
  events_.push_back(std::move(event));
  return entry;
}

void Tracer::close(const Entry& entry) {
  const auto index = static_cast<size_t>(entry.event_id);
  if (!recording_ || entry.event_id < 0 || index >= events_.size()) return;
  events_[index].ns = now_ns() - events_[index].start_ns;
  if (open_ > 0) --open_;
}

bool EventSums::add(const std::vector<Event>& events) {
  if (sums_.empty()) {
    sums_ = events;
    return true;
  }
  if (sums_.size() != events.size()) return false;
  for (size_t i = 0; i < events.size(); ++i) {
    if (sums_[i].name != events[i].name || sums_[i].depth != events[i].depth) return false;
  }
  for (size_t i = 0; i < events.size(); ++i) sums_[i].ns += events[i].ns;
  return true;
}

Maybe Bench::traced_call(LoadedProgram& program, Tracer& tracer, int64_t& ns) {
  tracer.begin();
  const int64_t start = now_ns();
  const Error error = program.execute();
  ns = now_ns() - start;
  tracer.end();
  if (error != Error::Ok) return call_problem(error);
  return std::nullopt;
}

// The quieter half of the calls counts: what disturbs a call makes it longer.
Maybe Bench::profile(Item& item) {
  Tracer tracer;
  LoadedProgram traced;
  if (Maybe failed = traced.load(item.plan->file, item.plan->method, &tracer)) return failed;
  const auto seed = static_cast<uint64_t>(item.plan->id);
  if (Maybe failed = traced.set_inputs(item.plan->input, seed)) return failed;
  std::vector<Traced> calls(static_cast<size_t>(item.plan->profile));
  int64_t warm = 0;
  for (int64_t i = 0; i < plan_.warmup; ++i) {
    if (Maybe failed = traced_call(traced, tracer, warm)) return failed;
  }
  for (Traced& one : calls) {
    const int64_t before = involuntary_switches(plan_.threads > 1);
    const int64_t start = now_ns();
    if (Maybe failed = call(item, 1)) return failed;
    one.whole_ns = now_ns() - start;
    if (Maybe failed = traced_call(traced, tracer, one.traced_ns)) return failed;
    one.switches = involuntary_switches(plan_.threads > 1) - before;
    one.events = tracer.events();
  }
  std::sort(calls.begin(), calls.end(), [](const Traced& a, const Traced& b) {
    if ((a.switches == 0) != (b.switches == 0)) return a.switches == 0;
    return a.whole_ns + a.traced_ns < b.whole_ns + b.traced_ns;
  });
  calls.resize((calls.size() + 1) / 2);
  EventSums sums;
  int64_t whole_ns = 0;
  int64_t traced_ns = 0;
  for (const Traced& one : calls) {
    if (!sums.add(one.events)) return Problem{"execute", "two calls took different steps"};
    whole_ns += one.whole_ns;
    traced_ns += one.traced_ns;
  }
  send_profile(item, static_cast<int64_t>(calls.size()), whole_ns, traced_ns, sums);
  return std::nullopt;
}

void Bench::send_profile(const Item& item, int64_t calls, int64_t whole_ns, int64_t traced_ns,
                         const EventSums& sums) {
  output_.send(Record("profile")
                   .add("item", item.plan->id)
                   .add("calls", calls)
                   .add("whole_ns", whole_ns)
                   .add("traced_ns", traced_ns));
  for (const Event& event : sums.sums()) {
    output_.send(Record("event")
                     .add("item", item.plan->id)
                     .add("name", event.name)
                     .add("kind", std::string(event.delegated ? "delegated" : "step"))
                     .add("depth", event.depth)
                     .add("ns", std::max<int64_t>(event.ns, 0)));
  }
}

}  // namespace kit
