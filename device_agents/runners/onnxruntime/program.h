// One .onnx file as a session of ONNX Runtime, ready to be executed again and again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../executorch/buffer.h"
#include "../executorch/records.h"
#include "../executorch/random.h"
#include "ort.h"

namespace kit {

Problem input_problem(const std::string& message);

// Threads of the sessions that are loaded from now on.
void set_session_threads(int64_t threads);

class LoadedProgram {
 public:
  // `method` is of other runtimes: a file holds one graph.
  Maybe load(const std::string& file, const std::string& method);

  // From the raw file (inputs concatenated in the model's order; the first set, if the file
  // holds several), or else random numbers from the seed.
  Maybe set_inputs(const std::optional<std::string>& file, uint64_t seed);

  // Writes the inputs again, so that they are as fresh in the caches as a previous layer
  // would leave them.
  Maybe rewrite_inputs();

  // Writes the outputs' raw bytes, concatenated in the model's order: of the call just made,
  // then of one call for each further set in the input file.
  Maybe save_outputs(const std::string& file);

  // Outputs of the first call are the place of all later ones.
  Maybe run();

  // A session does not tell it.
  std::optional<int64_t> planned_bytes() const { return std::nullopt; }

 private:
  struct Input {
    std::string name;
    int type = 0;
    std::vector<int64_t> shape;
    std::unique_ptr<Buffer> buffer;
    ort::Owned<OrtValue> value;
  };

  Maybe read_input(size_t index, OrtAllocator* allocator);
  Maybe read_names(OrtAllocator* allocator);
  Maybe bind_inputs();
  Maybe read_set(size_t number);
  Maybe infer_further_sets(std::string& content);
  Maybe append_outputs(std::string& content) const;
  size_t input_bytes() const;

  // In this order, so that values go before the session that made them.
  ort::Owned<OrtSession> session_;
  std::vector<Input> inputs_;
  std::vector<std::string> output_names_;
  std::vector<ort::Owned<OrtValue>> outputs_;
  // What a call takes, as plain arrays.
  std::vector<const char*> input_words_, output_words_;
  std::vector<const OrtValue*> given_;
  std::vector<OrtValue*> results_;
  std::string input_file_;
  size_t input_sets_ = 1;
};

}  // namespace kit
