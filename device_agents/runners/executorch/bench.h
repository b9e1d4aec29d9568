// The measuring loop over one plan.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "host_facts.h"
#include "plan.h"
#ifdef KIT_ONNXRUNTIME  // the other runtime that this loop measures with
#include "../onnxruntime/program.h"
#else
#include "program.h"
#endif
#include "records.h"

namespace kit {

class EventSums;
class Tracer;

class Bench {
 public:
  Bench(const Plan& plan, const Sensors& sensors, const Output& output);

  // Writes everything between `hello` and `bye`, and `bye`.
  void run();

 private:
  struct Item {
    const PlanItem* plan;
    std::unique_ptr<LoadedProgram> program;  // null once it has failed
    int64_t loops = 1;
    int64_t first_ns = 0;  // the first call after it was loaded
  };

  struct Block {
    int64_t ns = 0;
    int64_t at_ns = 0;
    int64_t switches = 0;
    int64_t attempts = 0;
    std::optional<int64_t> freq_khz;
  };

  void load(Item& item);
  Maybe prepare(Item& item);
  Maybe first_call(Item& item);
  Maybe choose_loops(Item& item);
  Maybe profile(Item& item);
  Maybe traced_call(LoadedProgram& program, Tracer& tracer, int64_t& ns);
  void send_profile(const Item& item, int64_t calls, int64_t whole_ns, int64_t traced_ns,
                    const EventSums& sums);
  void run_round(int64_t round);
  void visit(Item& item, int64_t round);
  void visit_sentinel();
  Maybe measure(Item& item, int64_t& first_ns, Block& block);
  Maybe time_block(Item& item, Block& block);
  Maybe call(Item& item, int64_t times);
  void fail(Item& item, const Problem& problem);
  void wait_until_cool();
  std::optional<int64_t> clock_khz() const;
  Record& add_state(Record& record, const Block& block) const;

  template <typename Step>
  bool guarded(Item& item, const char* kind, Step step);

  const Plan& plan_;
  const Sensors& sensors_;
  const Output& output_;
  std::vector<Item> items_;
  Item* sentinel_ = nullptr;
  bool waited_in_vain_ = false;
  int64_t samples_ = 0;
  int64_t sentinels_ = 0;
  int64_t failures_ = 0;
};

}  // namespace kit
