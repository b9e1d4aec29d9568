#include "program.h"

#include <unistd.h>

#include <stdexcept>

namespace kit {
namespace {

constexpr int kErrorsOnly = 3;
constexpr size_t kMostBytes = size_t{1} << 40;

int session_threads = 1;

// One environment for all sessions, never released: its log outlives whatever speaks last.
OrtEnv* environment() {
  static OrtEnv* const env = [] {
    OrtEnv* made = nullptr;
    const std::string problem = ort::take_message(ort::create_env(kErrorsOnly, "kit", &made));
    if (!problem.empty()) throw std::runtime_error("environment: " + problem);
    return made;
  }();
  return env;
}

const OrtMemoryInfo* cpu() {
  static const ort::Owned<OrtMemoryInfo> memory = [] {
    ort::Owned<OrtMemoryInfo> made;
    const std::string problem = ort::take_message(ort::cpu_memory(made.out()));
    if (!problem.empty()) throw std::runtime_error("memory: " + problem);
    return made;
  }();
  return memory.get();
}

// Nothing where the status is none; names the step and says what the runtime said.
Maybe failed(const char* kind, const char* step, OrtStatus* status) {
  if (status == nullptr) return std::nullopt;
  return Problem{kind, std::string(step) + ": " + ort::take_message(status)};
}

// A name that the runtime allocated, as ours.
std::string take_name(OrtAllocator* allocator, char* name) {
  std::string text = name == nullptr ? "" : name;
  (void)ort::take_message(ort::free_with(allocator, name));
  return text;
}

template <typename T, typename Next>
void fill(uint8_t* data, size_t bytes, Next next) {
  auto* values = reinterpret_cast<T*>(data);
  for (size_t i = 0; i < bytes / sizeof(T); ++i) values[i] = static_cast<T>(next());
}

// As in the other runner: floats uniform in [-1, 1), small integers over their range, bool and
// wider integers (often indices) 0 or 1. False for a type without a rule.
bool fill_random(int type, uint8_t* data, size_t bytes, Random& random) {
  const auto real = [&random] { return random.uniform(); };
  const auto wide = [&random] { return random.next() >> 48; };
  const auto bit = [&random] { return random.next() >> 63; };
  switch (type) {
    case ort::kFloat: fill<float>(data, bytes, real); return true;
    case ort::kDouble: fill<double>(data, bytes, real); return true;
    case ort::kUint8: fill<uint8_t>(data, bytes, wide); return true;
    case ort::kInt8: fill<int8_t>(data, bytes, wide); return true;
    case ort::kUint16: fill<uint16_t>(data, bytes, wide); return true;
    case ort::kInt16: fill<int16_t>(data, bytes, wide); return true;
    case ort::kBool: fill<uint8_t>(data, bytes, bit); return true;
    case ort::kInt32: fill<int32_t>(data, bytes, bit); return true;
    case ort::kInt64: fill<int64_t>(data, bytes, bit); return true;
    default: return false;
  }
}

// Writes each cache line again, with what it holds.
void touch(Buffer& buffer) {
  volatile uint8_t* data = buffer.data();
  for (size_t i = 0; i < buffer.size(); i += 64) data[i] = data[i];
}

}  // namespace

Problem input_problem(const std::string& message) { return {"input", message}; }

void set_session_threads(int64_t threads) { session_threads = static_cast<int>(threads); }

Maybe LoadedProgram::load(const std::string& file, const std::string&) {
  ort::Owned<OrtSessionOptions> options;
  if (auto no = failed("load", "options", ort::create_session_options(options.out()))) return no;
  OrtSessionOptions* const set = options.get();
  if (auto no = failed("load", "threads", ort::set_intra_op_threads(set, session_threads))) return no;
  if (auto no = failed("load", "threads", ort::set_inter_op_threads(set, 1))) return no;
  OrtStatus* const made = ort::create_session(environment(), file.c_str(), set, session_.out());
  if (auto no = failed("load", "CreateSession", made)) return no;
  OrtAllocator* allocator = nullptr;
  if (auto no = failed("load", "allocator", ort::default_allocator(&allocator))) return no;
  size_t count = 0;
  if (auto no = failed("load", "inputs", ort::count_inputs(session_.get(), &count))) return no;
  for (size_t i = 0; i < count; ++i) {
    if (auto no = read_input(i, allocator)) return no;
  }
  return read_names(allocator);
}

Maybe LoadedProgram::read_input(size_t index, OrtAllocator* allocator) {
  Input input;
  ort::Owned<OrtTypeInfo> type;
  char* name = nullptr;
  OrtSession* const session = session_.get();
  if (auto no = failed("load", "input name", ort::input_name(session, index, allocator, &name))) {
    return no;
  }
  input.name = take_name(allocator, name);
  if (auto no = failed("load", "input type", ort::input_type(session, index, type.out()))) return no;
  const OrtShape* shape = nullptr;  // belongs to the type
  if (auto no = failed("load", "input type", ort::shape_of_type(type.get(), &shape))) return no;
  if (shape == nullptr) return Problem{"load", "the input " + input.name + " is no tensor"};
  size_t dimensions = 0;
  if (auto no = failed("load", "shape", ort::element_type(shape, &input.type))) return no;
  if (auto no = failed("load", "shape", ort::count_dimensions(shape, &dimensions))) return no;
  input.shape.resize(dimensions);
  if (auto no = failed("load", "shape", ort::dimensions(shape, input.shape.data(), dimensions))) {
    return no;
  }
  size_t bytes = ort::bytes_of(input.type);
  if (bytes == 0) return Problem{"load", "no numbers for the element type of " + input.name};
  for (const int64_t side : input.shape) {
    if (side < 1) return Problem{"load", "the input " + input.name + " has no fixed shape"};
    if (static_cast<uint64_t>(side) > kMostBytes / bytes) return input_problem("not enough memory");
    bytes *= static_cast<size_t>(side);
  }
  input.buffer = Buffer::make(bytes);
  if (input.buffer == nullptr) return input_problem("not enough memory");
  inputs_.push_back(std::move(input));
  return std::nullopt;
}

// Names of outputs, and all that a call takes as arrays: neither changes any more.
Maybe LoadedProgram::read_names(OrtAllocator* allocator) {
  size_t count = 0;
  if (auto no = failed("load", "outputs", ort::count_outputs(session_.get(), &count))) return no;
  for (size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    OrtStatus* const status = ort::output_name(session_.get(), i, allocator, &name);
    if (auto no = failed("load", "output name", status)) return no;
    output_names_.push_back(take_name(allocator, name));
  }
  for (const std::string& name : output_names_) output_words_.push_back(name.c_str());
  for (const Input& input : inputs_) input_words_.push_back(input.name.c_str());
  results_.assign(count, nullptr);
  return std::nullopt;
}

size_t LoadedProgram::input_bytes() const {
  size_t total = 0;
  for (const Input& input : inputs_) total += input.buffer->size();
  return total;
}

Maybe LoadedProgram::set_inputs(const std::optional<std::string>& file, uint64_t seed) {
  if (file) {
    size_t size = 0;
    std::string problem;
    const int fd = open_file(*file, size, problem);
    if (fd < 0) return input_problem("open: " + problem);
    close(fd);
    const size_t wanted = input_bytes();
    if (wanted == 0 ? size != 0 : size == 0 || size % wanted != 0) {
      return input_problem("the file has " + std::to_string(size) + " bytes, the inputs " +
                           std::to_string(wanted) + " or a multiple");
    }
    input_file_ = *file;
    input_sets_ = wanted == 0 ? 1 : size / wanted;
    if (Maybe no = read_set(0)) return no;
  }
  Random random(seed);
  for (Input& input : inputs_) {
    if (file) break;
    if (!fill_random(input.type, input.buffer->data(), input.buffer->size(), random)) {
      return input_problem("no random numbers for this element type");
    }
  }
  return bind_inputs();
}

Maybe LoadedProgram::bind_inputs() {
  given_.clear();
  for (Input& input : inputs_) {
    input.value = {};
    OrtStatus* const status =
        ort::tensor_over(cpu(), input.buffer->data(), input.buffer->size(), input.shape.data(),
                         input.shape.size(), input.type, input.value.out());
    if (auto no = failed("input", "CreateTensor", status)) return no;
    given_.push_back(input.value.get());
  }
  return std::nullopt;
}

// The values lie over the buffers, so that writing those is enough.
Maybe LoadedProgram::rewrite_inputs() {
  for (Input& input : inputs_) touch(*input.buffer);
  return std::nullopt;
}

Maybe LoadedProgram::read_set(size_t number) {
  size_t size = 0;
  std::string problem;
  const int fd = open_file(input_file_, size, problem);
  if (fd < 0) return input_problem("open: " + problem);
  size_t offset = number * input_bytes();
  bool read = true;
  for (Input& input : inputs_) {
    read = read && read_exactly(fd, offset, input.buffer->size(), input.buffer->data());
    offset += input.buffer->size();
  }
  close(fd);
  return read ? std::nullopt : Maybe(input_problem("the file became shorter"));
}

Maybe LoadedProgram::run() {
  OrtStatus* const status =
      ort::run(session_.get(), input_words_.data(), given_.data(), given_.size(),
               output_words_.data(), output_words_.size(), results_.data());
  if (status != nullptr) return failed("execute", "Run", status);
  if (outputs_.empty()) {
    for (OrtValue* value : results_) outputs_.emplace_back(value);
  }
  return std::nullopt;
}

Maybe LoadedProgram::save_outputs(const std::string& file) {
  std::string content;
  if (Maybe no = append_outputs(content)) return no;
  if (Maybe no = infer_further_sets(content)) return no;
  const std::string problem = write_file(file, content);
  if (!problem.empty()) return Problem{"output", "write: " + problem};
  return std::nullopt;
}

Maybe LoadedProgram::infer_further_sets(std::string& content) {
  for (size_t number = 1; number < input_sets_; ++number) {
    if (Maybe no = read_set(number)) return no;
    if (Maybe no = run()) return no;
    if (Maybe no = append_outputs(content)) return no;
  }
  return input_sets_ == 1 ? std::nullopt : read_set(0);
}

Maybe LoadedProgram::append_outputs(std::string& content) const {
  for (const ort::Owned<OrtValue>& output : outputs_) {
    int tensor = 0;
    if (auto no = failed("output", "IsTensor", ort::is_tensor(output.get(), &tensor))) return no;
    if (tensor == 0) continue;
    ort::Owned<OrtShape> shape;
    int type = 0;
    size_t elements = 0;
    void* data = nullptr;
    if (auto no = failed("output", "shape", ort::shape_of_value(output.get(), shape.out()))) return no;
    if (auto no = failed("output", "shape", ort::element_type(shape.get(), &type))) return no;
    if (auto no = failed("output", "shape", ort::count_elements(shape.get(), &elements))) return no;
    if (auto no = failed("output", "data", ort::data_of(output.get(), &data))) return no;
    content.append(static_cast<const char*>(data), elements * ort::bytes_of(type));
  }
  return std::nullopt;
}

}  // namespace kit
