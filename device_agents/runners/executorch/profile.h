// Where a call's time goes: the events that ExecuTorch and its delegates tell of one call.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstdint>
#include <string>
#include <vector>

namespace kit {

// One event of a call. `depth` counts the events around it; a delegate's own
// operators, which are told at its end, lie one below the delegate's call.
struct Event {
  std::string name;
  bool delegated = false;
  int64_t depth = 0;
  int64_t start_ns = 0;
  int64_t ns = 0;
};

// Keeps the events of the calls between begin() and the next one. Times of a
// delegate's operators are the delegate's own: XNNPACK counts whole microseconds.
class Tracer final : public executorch::runtime::EventTracer {
 public:
  void begin() { events_.clear(); open_ = 0; recording_ = true; }
  void end() { recording_ = false; }
  const std::vector<Event>& events() const { return events_; }

  using Entry = executorch::runtime::EventTracerEntry;
  using Chain = executorch::runtime::ChainID;
  using Handle = executorch::runtime::DebugHandle;
  using DelegateId = executorch::runtime::DelegateDebugIntId;
  template <typename T>
  using Result = executorch::runtime::Result<T>;

  void create_event_block(const char*) override {}
  Entry start_profiling(const char* name, Chain chain, Handle handle) override;
  void end_profiling(Entry entry) override;
  Entry start_profiling_delegate(const char* name, DelegateId id) override;
  void end_profiling_delegate(Entry entry, const void*, size_t) override { close(entry); }
  void log_profiling_delegate(const char* name, DelegateId id, et_timestamp_t start,
                              et_timestamp_t stop, const void*, size_t) override;
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }

  // Values are not looked at: this is about time.
  Result<bool> log_evalue(const executorch::runtime::EValue&,
                          executorch::runtime::LoggedEValueType) override { return false; }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId,
                                                const executorch::aten::Tensor&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(
      const char*, DelegateId,
      const executorch::runtime::ArrayRef<executorch::aten::Tensor>) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const int&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const bool&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const double&) override {
    return false;
  }
  void set_delegation_intermediate_output_filter(
      executorch::runtime::EventTracerFilterBase*) override {}

 private:
  Entry open(const char* name, bool delegated);
  void close(const Entry& entry);

  std::vector<Event> events_;
  int64_t open_ = 0;
  bool recording_ = false;
};

// The events of several calls of one program, added up; every call must tell
// the same ones in the same order.
class EventSums {
 public:
  // False, and nothing added, if this call differs from the ones before.
  bool add(const std::vector<Event>& events);
  const std::vector<Event>& sums() const { return sums_; }

 private:
  std::vector<Event> sums_;
};

}  // namespace kit
