#include "bench.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

#include "clock.h"
#include "random.h"
#include "runtime.h"

namespace kit {
namespace {

constexpr int kFewestTrials = 3;  // one may be interrupted
constexpr int kMostTrials = 10;
constexpr int64_t kCoolPollNs = 500'000'000;
constexpr int64_t kCoolLimitNs = 60'000'000'000;

}  // namespace

Bench::Bench(const Plan& plan, const Sensors& sensors, const Output& output)
    : plan_(plan), sensors_(sensors), output_(output) {
  for (const PlanItem& item : plan.items) items_.push_back({&item, nullptr, 1});
  for (Item& item : items_) {
    if (plan.sentinel && item.plan->id == *plan.sentinel) sentinel_ = &item;
  }
}

void Bench::run() {
  for (Item& item : items_) load(item);
  for (int64_t round = 0; round < plan_.rounds; ++round) run_round(round);
  items_.clear();
  output_.send(Record("bye")
                   .add("samples", samples_)
                   .add("sentinels", sentinels_)
                   .add("failures", failures_)
                   .add("max_rss_kb", max_rss_kb()));
}

// Runs a step of one item; whatever goes wrong becomes that item's failure.
template <typename Step>
bool Bench::guarded(Item& item, const char* kind, Step step) {
  Maybe failed;
  (void)take_first_error();
  try {
    failed = step();
  } catch (const std::exception& error) {
    failed = Problem{kind, error.what()};
  } catch (...) {
    failed = Problem{kind, "unknown exception"};
  }
  if (failed) fail(item, *failed);
  return !failed;
}

void Bench::fail(Item& item, const Problem& problem) {
  const std::string cause = take_first_error();
  item.program.reset();
  ++failures_;
  output_.send(Record("failure")
                   .add("item", item.plan->id)
                   .add("kind", problem.kind)
                   .add("message", problem.message + (cause.empty() ? "" : ": " + cause)));
}

void Bench::load(Item& item) {
  output_.send(Record("begin").add("item", item.plan->id));
  int64_t load_ns = 0;
  const bool ready = guarded(item, "load", [&] {
    const int64_t start = now_ns();
    item.program = std::make_unique<LoadedProgram>();
    const Maybe failed = item.program->load(item.plan->file, item.plan->method);
    load_ns = now_ns() - start;
    return failed ? failed : prepare(item);
  });
  if (!ready) return;
  output_.send(Record("loaded")
                   .add("item", item.plan->id)
                   .add("load_ns", load_ns)
                   .add("loops", item.loops)
                   .add("first_ns", item.first_ns)
                   .add("planned_bytes", item.program->planned_bytes()));
  if (item.plan->profile > 0) (void)guarded(item, "execute", [&] { return profile(item); });
}

// Inputs, a first call that shows whether the item works at all, outputs, loops.
Maybe Bench::prepare(Item& item) {
  const auto seed = static_cast<uint64_t>(item.plan->id);
  if (Maybe failed = item.program->set_inputs(item.plan->input, seed)) return failed;
  if (Maybe failed = first_call(item)) return failed;
  if (item.plan->output) {
    if (Maybe failed = item.program->save_outputs(*item.plan->output)) return failed;
  }
  item.loops = item.plan->loops;
  return item.loops > 0 ? std::nullopt : choose_loops(item);
}

// Alone it also pays for what the runtime puts off until then.
Maybe Bench::first_call(Item& item) {
  const int64_t start = now_ns();
  if (Maybe failed = call(item, 1)) return failed;
  item.first_ns = now_ns() - start;
  return std::nullopt;
}

// From the fastest of a few calls, and a tenth more, so that blocks are not
// shorter than asked: calls in a row are a little faster than calls apart.
Maybe Bench::choose_loops(Item& item) {
  if (Maybe failed = call(item, plan_.warmup)) return failed;
  int64_t fastest = std::numeric_limits<int64_t>::max();
  int64_t spent = 0;
  const auto wanted = [&](int i) { return i < kFewestTrials || spent < plan_.min_block_ns; };
  for (int i = 0; i < kMostTrials && wanted(i); ++i) {
    const int64_t start = now_ns();
    if (Maybe failed = call(item, 1)) return failed;
    const int64_t took = std::max<int64_t>(now_ns() - start, 1);
    fastest = std::min(fastest, took);
    spent += took;
  }
  const double needed = std::ceil(1.1 * static_cast<double>(plan_.min_block_ns) /
                                  static_cast<double>(fastest));
  item.loops = static_cast<int64_t>(
      std::clamp(needed, 1.0, static_cast<double>(plan_.max_loops)));
  return std::nullopt;
}

Maybe Bench::call(Item& item, int64_t times) {
  LoadedProgram& program = *item.program;
  for (int64_t i = 0; i < times; ++i) {
    if (Maybe failed = program.run()) return failed;
  }
  return std::nullopt;
}

void Bench::run_round(int64_t round) {
  waited_in_vain_ = false;
  int64_t visited = 0;
  for (const size_t i : order_of_round(plan_.order_seed, static_cast<uint64_t>(round),
                                       items_.size())) {
    // A failed item keeps its place in the order, so the others keep theirs.
    if (visited % plan_.sentinel_every == 0 && items_[i].program) visit_sentinel();
    if (!items_[i].program) continue;
    visit(items_[i], round);
    ++visited;
  }
}

void Bench::visit(Item& item, int64_t round) {
  wait_until_cool();
  int64_t first_ns = 0;
  Block block;
  if (!guarded(item, "execute", [&] { return measure(item, first_ns, block); })) return;
  check_fence(plan_.fence);  // as late as can be, and outside of what is timed
  Record record("sample");
  record.add("item", item.plan->id)
      .add("round", round)
      .add("loops", item.loops)
      .add("ns", block.ns)
      .add("first_ns", first_ns)
      .add("switches", block.switches)
      .add("attempts", block.attempts)
      .add("at_ns", block.at_ns);
  output_.send(add_state(record, block));
  ++samples_;
}

void Bench::visit_sentinel() {
  if (sentinel_ == nullptr || !sentinel_->program) return;
  wait_until_cool();
  int64_t first_ns = 0;
  Block block;
  Item& item = *sentinel_;
  if (!guarded(item, "execute", [&] { return measure(item, first_ns, block); })) return;
  check_fence(plan_.fence);
  Record record("sentinel");
  record.add("loops", item.loops)
      .add("ns", block.ns)
      .add("switches", block.switches)
      .add("at_ns", block.at_ns);
  output_.send(add_state(record, block));
  ++sentinels_;
}

Maybe Bench::measure(Item& item, int64_t& first_ns, Block& block) {
  // The clock before and after: it may change several times a second.
  const auto clock_before = clock_khz();
  if (Maybe failed = item.program->rewrite_inputs()) return failed;
  const int64_t start = now_ns();
  if (Maybe failed = call(item, 1)) return failed;
  first_ns = now_ns() - start;
  if (Maybe failed = call(item, plan_.warmup - 1)) return failed;
  do {
    if (Maybe failed = time_block(item, block)) return failed;
  } while (block.switches > 0 && block.attempts < plan_.max_attempts);
  const auto clock_after = clock_khz();
  if (clock_before && clock_after) block.freq_khz = (*clock_before + *clock_after) / 2;
  return std::nullopt;
}

Maybe Bench::time_block(Item& item, Block& block) {
  const bool all_threads = plan_.threads > 1;
  const int64_t before = involuntary_switches(all_threads);
  const int64_t start = now_ns();
  const Maybe failed = call(item, item.loops);
  block.at_ns = now_ns();
  block.ns = block.at_ns - start;
  block.switches = involuntary_switches(all_threads) - before;
  ++block.attempts;
  return failed;
}

// A limit that cannot be reached (a hot day) must not stop the run for good:
// one full wait in vain a round.
void Bench::wait_until_cool() {
  if (!plan_.max_temperature_c || waited_in_vain_) return;
  const double limit = *plan_.max_temperature_c * 1000;
  const int64_t start = now_ns();
  while (true) {
    const auto now = sensors_.temperature_mc();
    if (!now || static_cast<double>(*now) <= limit) return;
    waited_in_vain_ = now_ns() - start >= kCoolLimitNs;
    if (waited_in_vain_) return;
    usleep(kCoolPollNs / 1000);
  }
}

std::optional<int64_t> Bench::clock_khz() const {
  const auto measured = effective_khz();
  return measured ? measured : sensors_.freq_khz();
}

Record& Bench::add_state(Record& record, const Block& block) const {
  return record.add("freq_khz", block.freq_khz)
      .add("temperature_mc", sensors_.temperature_mc());
}

}  // namespace kit
