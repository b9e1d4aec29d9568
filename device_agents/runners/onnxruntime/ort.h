// The part of ONNX Runtime's C interface that the runner calls.
//
// The wheels hold the library without its header. Its one exported function gives a table of
// function pointers, whose order never changes within a version of the table: new functions
// are added behind, and the library refuses a version that it does not know. So a function is
// known by its place, which the library's own sources fix (version 1 ends at place 101).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

extern "C" {
struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtTypeInfo;
struct OrtShape;  // type and shape of a tensor
struct OrtMemoryInfo;
struct OrtAllocator;

struct OrtApiBase {
  const void* const* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

const OrtApiBase* OrtGetApiBase();
}

namespace kit::ort {

constexpr uint32_t kTableVersion = 1;

// Element types of tensors that have a size of their own.
enum ElementType : int {
  kFloat = 1, kUint8 = 2, kInt8 = 3, kUint16 = 4, kInt16 = 5, kInt32 = 6, kInt64 = 7,
  kBool = 9, kFloat16 = 10, kDouble = 11, kUint32 = 12, kUint64 = 13, kBfloat16 = 16,
};

// Bytes of one element; 0 for a type that is no plain number.
size_t bytes_of(int type);

// A function by its place, and what it takes; all but the releasing ones return a status.
template <size_t place, typename Result, typename... Arguments>
Result call(Arguments... arguments);

// The table; throws std::runtime_error when the library has none of this version.
const void* const* table();

template <size_t place, typename Result, typename... Arguments>
Result call(Arguments... arguments) {
  using Function = Result (*)(Arguments...);
  return reinterpret_cast<Function>(const_cast<void*>(table()[place]))(arguments...);
}

// Frees the status; empty when there is none.
std::string take_message(OrtStatus* status);

// --- the functions -----------------------------------------------------------

inline OrtStatus* create_env(int level, const char* name, OrtEnv** out) {
  return call<3, OrtStatus*>(level, name, out);
}
inline OrtStatus* create_session(const OrtEnv* env, const char* path,
                                 const OrtSessionOptions* options, OrtSession** out) {
  return call<7, OrtStatus*>(env, path, options, out);
}
inline OrtStatus* run(OrtSession* session, const char* const* inputs, const OrtValue* const* values,
                      size_t input_count, const char* const* outputs, size_t output_count,
                      OrtValue** results) {
  return call<9, OrtStatus*>(session, static_cast<const OrtRunOptions*>(nullptr), inputs, values,
                             input_count, outputs, output_count, results);
}
inline OrtStatus* create_session_options(OrtSessionOptions** out) {
  return call<10, OrtStatus*>(out);
}
inline OrtStatus* set_intra_op_threads(OrtSessionOptions* options, int threads) {
  return call<24, OrtStatus*>(options, threads);
}
inline OrtStatus* set_inter_op_threads(OrtSessionOptions* options, int threads) {
  return call<25, OrtStatus*>(options, threads);
}
inline OrtStatus* count_inputs(const OrtSession* session, size_t* out) {
  return call<30, OrtStatus*>(session, out);
}
inline OrtStatus* count_outputs(const OrtSession* session, size_t* out) {
  return call<31, OrtStatus*>(session, out);
}
inline OrtStatus* input_type(const OrtSession* session, size_t index, OrtTypeInfo** out) {
  return call<33, OrtStatus*>(session, index, out);
}
inline OrtStatus* input_name(const OrtSession* session, size_t index, OrtAllocator* allocator,
                             char** out) {
  return call<36, OrtStatus*>(session, index, allocator, out);
}
inline OrtStatus* output_name(const OrtSession* session, size_t index, OrtAllocator* allocator,
                              char** out) {
  return call<37, OrtStatus*>(session, index, allocator, out);
}
inline OrtStatus* tensor_over(const OrtMemoryInfo* memory, void* data, size_t bytes,
                              const int64_t* shape, size_t dimensions, int type, OrtValue** out) {
  return call<49, OrtStatus*>(memory, data, bytes, shape, dimensions, type, out);
}
inline OrtStatus* is_tensor(const OrtValue* value, int* out) {
  return call<50, OrtStatus*>(value, out);
}
inline OrtStatus* data_of(OrtValue* value, void** out) { return call<51, OrtStatus*>(value, out); }
// Null where the value is no tensor.
inline OrtStatus* shape_of_type(const OrtTypeInfo* type, const OrtShape** out) {
  return call<55, OrtStatus*>(type, out);
}
inline OrtStatus* element_type(const OrtShape* shape, int* out) {
  return call<60, OrtStatus*>(shape, out);
}
inline OrtStatus* count_dimensions(const OrtShape* shape, size_t* out) {
  return call<61, OrtStatus*>(shape, out);
}
inline OrtStatus* dimensions(const OrtShape* shape, int64_t* out, size_t count) {
  return call<62, OrtStatus*>(shape, out, count);
}
inline OrtStatus* count_elements(const OrtShape* shape, size_t* out) {
  return call<64, OrtStatus*>(shape, out);
}
inline OrtStatus* shape_of_value(const OrtValue* value, OrtShape** out) {
  return call<65, OrtStatus*>(value, out);
}
inline OrtStatus* cpu_memory(OrtMemoryInfo** out) {
  constexpr int kArenaAllocator = 1;
  constexpr int kDefaultMemory = 0;
  return call<69, OrtStatus*>(kArenaAllocator, kDefaultMemory, out);
}
inline OrtStatus* default_allocator(OrtAllocator** out) { return call<78, OrtStatus*>(out); }
inline OrtStatus* free_with(OrtAllocator* allocator, void* what) {
  return call<76, OrtStatus*>(allocator, what);
}

inline void release(OrtMemoryInfo* what) { call<94, void>(what); }
inline void release(OrtSession* what) { call<95, void>(what); }
inline void release(OrtValue* what) { call<96, void>(what); }
inline void release(OrtTypeInfo* what) { call<98, void>(what); }
inline void release(OrtShape* what) { call<99, void>(what); }
inline void release(OrtSessionOptions* what) { call<100, void>(what); }

// Owns one of these.
template <typename T>
class Owned {
 public:
  Owned() = default;
  explicit Owned(T* what) : what_(what) {}
  ~Owned() {
    if (what_ != nullptr) release(what_);
  }
  Owned(Owned&& other) noexcept : what_(other.what_) { other.what_ = nullptr; }
  Owned& operator=(Owned&& other) noexcept {
    std::swap(what_, other.what_);
    return *this;
  }
  T* get() const { return what_; }
  T** out() { return &what_; }

 private:
  T* what_ = nullptr;
};

}  // namespace kit::ort
