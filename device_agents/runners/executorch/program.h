// One method of one .pte file, ready to be executed again and again.
#pragma once

#include <executorch/runtime/executor/program.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory.h"
#include "records.h"

namespace kit {

Problem input_problem(const std::string& message);

// Names a step and ExecuTorch's error, as word and number.
std::string describe(const std::string& step, executorch::runtime::Error error);

class LoadedProgram {
 public:
  // With a tracer, it is told of every step of each call.
  Maybe load(const std::string& file, const std::string& method,
             executorch::runtime::EventTracer* tracer = nullptr);

  // From the raw file (inputs concatenated in memory order; the first set, if
  // the file holds several), or else random numbers from the seed.
  Maybe set_inputs(const std::optional<std::string>& file, uint64_t seed);

  // Writes the inputs again, so that they are as fresh in the caches as a
  // previous layer would leave them.
  Maybe rewrite_inputs();

  // Writes the outputs' raw bytes, concatenated in memory order: of the call
  // just made, then of one call for each further set in the input file. The
  // first set is the input again afterwards.
  Maybe save_outputs(const std::string& file);

  executorch::runtime::Error execute() { return method_->execute(); }
  Maybe run();  // the same, with the reason if it failed

  // Bytes of the memory that the program was planned to compute in.
  int64_t planned_bytes() const;

 private:
  Maybe plan_memory(const executorch::runtime::MethodMeta& meta);
  Maybe place_outputs(const executorch::runtime::MethodMeta& meta);
  Maybe make_input_buffers(const executorch::runtime::MethodMeta& meta);
  Maybe read_inputs(const std::string& file);
  Maybe read_set(size_t number);
  Maybe infer_further_sets(std::string& content);
  void append_outputs(std::string& content) const;
  Maybe bind_input(size_t index, const executorch::runtime::TensorInfo& info, Buffer& buffer);
  uint8_t* keep(size_t size);

  // In this order, so that the method goes before all that it points to.
  FileLoader loader_;
  HeapAllocator allocator_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<executorch::runtime::Span<uint8_t>> spans_;
  std::vector<std::unique_ptr<Buffer>> inputs_;  // null where an input is no tensor
  std::string input_file_;
  size_t input_sets_ = 1;  // how many times the inputs are in that file
  std::optional<executorch::runtime::HierarchicalAllocator> planned_;
  std::optional<executorch::runtime::MemoryManager> manager_;
  std::unique_ptr<executorch::runtime::Program> program_;
  std::unique_ptr<executorch::runtime::Method> method_;
};

}  // namespace kit
