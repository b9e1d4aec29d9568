#include "program.h"

#include <executorch/runtime/core/exec_aten/util/dim_order_util.h>

#include <cstdio>
#include <cstring>

#include "inputs.h"

namespace kit {

using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Method;
using executorch::runtime::MethodMeta;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;
using executorch::runtime::Tag;
using executorch::runtime::TensorInfo;

namespace {

Problem load_problem(const char* step, Error error) { return {"load", describe(step, error)}; }

// Null for an input or output that is no tensor.
std::optional<TensorInfo> tensor_info(const Result<Tag>& tag, Result<TensorInfo> info) {
  if (!tag.ok() || *tag != Tag::Tensor || !info.ok()) return std::nullopt;
  return *info;
}

std::optional<TensorInfo> input_info(const MethodMeta& meta, size_t index) {
  return tensor_info(meta.input_tag(index), meta.input_tensor_meta(index));
}

std::optional<TensorInfo> output_info(const MethodMeta& meta, size_t index) {
  return tensor_info(meta.output_tag(index), meta.output_tensor_meta(index));
}

// Writes each cache line again, with what it holds.
void touch(Buffer& buffer) {
  volatile uint8_t* data = buffer.data();
  for (size_t i = 0; i < buffer.size(); i += 64) data[i] = data[i];
}

}  // namespace

Problem input_problem(const std::string& message) { return {"input", message}; }

std::string describe(const std::string& step, Error error) {
  char number[16];
  std::snprintf(number, sizeof number, " (0x%x)", static_cast<unsigned>(error));
  return step + ": " + executorch::runtime::to_string(error) + number;
}

// Returns null when there is not that much memory.
uint8_t* LoadedProgram::keep(size_t size) {
  std::unique_ptr<Buffer> buffer = Buffer::make(size);
  if (buffer == nullptr) return nullptr;
  buffers_.push_back(std::move(buffer));
  return buffers_.back()->data();
}

Maybe LoadedProgram::load(const std::string& file, const std::string& method,
                          executorch::runtime::EventTracer* tracer) {
  const std::string problem = loader_.open(file);
  if (!problem.empty()) return Problem{"load", "open: " + problem};
  Result<Program> program = Program::load(&loader_, Program::Verification::InternalConsistency);
  if (!program.ok()) return load_problem("Program::load", program.error());
  program_ = std::make_unique<Program>(std::move(*program));
  const Result<MethodMeta> meta = program_->method_meta(method.c_str());
  if (!meta.ok()) return load_problem("Program::method_meta", meta.error());
  if (Maybe failed = plan_memory(*meta)) return failed;
  Result<Method> loaded = program_->load_method(method.c_str(), &*manager_, tracer);
  if (!loaded.ok()) return load_problem("Program::load_method", loaded.error());
  method_ = std::make_unique<Method>(std::move(*loaded));
  return place_outputs(*meta);
}

Maybe LoadedProgram::plan_memory(const MethodMeta& meta) {
  for (size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
    const Result<int64_t> size = meta.memory_planned_buffer_size(i);
    if (!size.ok()) return load_problem("planned buffer", size.error());
    uint8_t* data = *size < 0 ? nullptr : keep(static_cast<size_t>(*size));
    if (data == nullptr) return load_problem("planned buffer", Error::MemoryAllocationFailed);
    spans_.push_back({data, static_cast<size_t>(*size)});
  }
  planned_.emplace(Span<Span<uint8_t>>(spans_.data(), spans_.size()));
  manager_.emplace(&allocator_, &*planned_);
  return std::nullopt;
}

Maybe LoadedProgram::run() {
  const Error error = execute();
  if (error != Error::Ok) return Problem{"execute", describe("Method::execute", error)};
  return std::nullopt;
}

int64_t LoadedProgram::planned_bytes() const {
  size_t total = 0;
  for (const Span<uint8_t>& span : spans_) total += span.size();
  return static_cast<int64_t>(total);
}

// Outputs that the memory plan leaves out need a place of their own.
Maybe LoadedProgram::place_outputs(const MethodMeta& meta) {
  for (size_t i = 0; i < meta.num_outputs(); ++i) {
    const auto info = output_info(meta, i);
    if (!info || info->is_memory_planned() || info->nbytes() == 0) continue;
    if (method_->get_output(i).toTensor().const_data_ptr() != nullptr) continue;  // a constant
    uint8_t* data = keep(info->nbytes());
    if (data == nullptr) return load_problem("output buffer", Error::MemoryAllocationFailed);
    const Error error = method_->set_output_data_ptr(data, info->nbytes(), i);
    if (error != Error::Ok) return load_problem("Method::set_output_data_ptr", error);
  }
  return std::nullopt;
}

Maybe LoadedProgram::make_input_buffers(const MethodMeta& meta) {
  inputs_.clear();
  for (size_t i = 0; i < meta.num_inputs(); ++i) {
    const auto info = input_info(meta, i);
    inputs_.push_back(info ? Buffer::make(info->nbytes()) : nullptr);
    if (info && inputs_.back() == nullptr) return input_problem("not enough memory");
  }
  return std::nullopt;
}

Maybe LoadedProgram::bind_input(size_t index, const TensorInfo& info, Buffer& buffer) {
  std::vector<TensorImpl::SizesType> sizes(info.sizes().begin(), info.sizes().end());
  std::vector<TensorImpl::DimOrderType> order(info.dim_order().begin(), info.dim_order().end());
  std::vector<TensorImpl::StridesType> strides(sizes.size());
  Error error = executorch::runtime::dim_order_to_stride(sizes.data(), order.data(), sizes.size(),
                                                         strides.data());
  if (error != Error::Ok) return input_problem(describe("dim order", error));
  TensorImpl impl(info.scalar_type(), static_cast<ssize_t>(sizes.size()), sizes.data(),
                  buffer.data(), order.data(), strides.data());
  error = method_->set_input(EValue(Tensor(&impl)), index);
  if (error != Error::Ok) return input_problem(describe("Method::set_input", error));
  return std::nullopt;
}

Maybe LoadedProgram::set_inputs(const std::optional<std::string>& file, uint64_t seed) {
  const MethodMeta meta = method_->method_meta();
  if (Maybe failed = make_input_buffers(meta)) return failed;
  if (file) {
    if (Maybe failed = read_inputs(*file)) return failed;
  }
  Random random(seed);
  for (size_t i = 0; !file && i < inputs_.size(); ++i) {
    const auto info = input_info(meta, i);
    if (!info) continue;  // a number fixed at export
    if (!fill_random(info->scalar_type(), inputs_[i]->data(), inputs_[i]->size(), random)) {
      return input_problem("no random numbers for this element type");
    }
  }
  return rewrite_inputs();
}

Maybe LoadedProgram::rewrite_inputs() {
  const MethodMeta meta = method_->method_meta();
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const auto info = input_info(meta, i);
    if (!info) continue;
    // A planned input is copied when bound; any other is read where it lies.
    if (!info->is_memory_planned()) touch(*inputs_[i]);
    if (Maybe failed = bind_input(i, *info, *inputs_[i])) return failed;
  }
  return std::nullopt;
}

}  // namespace kit
