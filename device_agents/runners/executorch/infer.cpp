// Raw tensor files: inputs read from one, outputs written to another.

#include <executorch/runtime/core/exec_aten/exec_aten.h>
#include <unistd.h>

#include "program.h"

namespace kit {

using executorch::runtime::Error;
using executorch::runtime::EValue;

namespace {

size_t total_size(const std::vector<std::unique_ptr<Buffer>>& buffers) {
  size_t total = 0;
  for (const auto& buffer : buffers) total += buffer ? buffer->size() : 0;
  return total;
}

}  // namespace

Maybe LoadedProgram::read_inputs(const std::string& file) {
  const size_t wanted = total_size(inputs_);
  size_t size = 0;
  std::string problem;
  const int fd = open_file(file, size, problem);
  if (fd < 0) return input_problem("open: " + problem);
  close(fd);
  const bool whole = wanted == 0 ? size == 0 : size > 0 && size % wanted == 0;
  if (!whole) {
    return input_problem("the file has " + std::to_string(size) + " bytes, the inputs " +
                         std::to_string(wanted) + " or a multiple");
  }
  input_file_ = file;
  input_sets_ = wanted == 0 ? 1 : size / wanted;
  return read_set(0);
}

Maybe LoadedProgram::read_set(size_t number) {
  size_t size = 0;
  std::string problem;
  const int fd = open_file(input_file_, size, problem);
  if (fd < 0) return input_problem("open: " + problem);
  size_t offset = number * total_size(inputs_);
  bool read = true;
  for (size_t i = 0; read && i < inputs_.size(); ++i) {
    if (!inputs_[i]) continue;
    read = read_exactly(fd, offset, inputs_[i]->size(), inputs_[i]->data());
    offset += inputs_[i]->size();
  }
  close(fd);
  return read ? std::nullopt : Maybe(input_problem("the file became shorter"));
}

Maybe LoadedProgram::save_outputs(const std::string& file) {
  std::string content;
  append_outputs(content);
  if (Maybe failed = infer_further_sets(content)) return failed;
  const std::string problem = write_file(file, content);
  if (!problem.empty()) return Problem{"output", "write: " + problem};
  return std::nullopt;
}

Maybe LoadedProgram::infer_further_sets(std::string& content) {
  if (input_sets_ == 1) return std::nullopt;
  for (size_t number = 1; number < input_sets_; ++number) {
    if (Maybe failed = read_set(number)) return failed;
    if (Maybe failed = rewrite_inputs()) return failed;
    const Error error = execute();
    if (error != Error::Ok) return Problem{"execute", describe("Method::execute", error)};
    append_outputs(content);
  }
  if (Maybe failed = read_set(0)) return failed;
  return rewrite_inputs();
}

void LoadedProgram::append_outputs(std::string& content) const {
  for (size_t i = 0; i < method_->outputs_size(); ++i) {
    const EValue& value = method_->get_output(i);
    if (!value.isTensor()) continue;
    const auto& tensor = value.toTensor();
    content.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
}

}  // namespace kit
