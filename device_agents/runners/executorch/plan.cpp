#include "plan.h"

#include <dirent.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <set>

#include "json.h"

namespace kit {
namespace {

constexpr int64_t kSchemaVersion = 1;
constexpr int64_t kMaxThreads = 1024;  // beyond this the pool itself would fail
constexpr int64_t kMaxTraced = 100'000;
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

bool to_uint(const Json& value, uint64_t& out) {
  if (value.kind != Json::Kind::number) return false;
  if (value.text.find_first_not_of("0123456789") != std::string::npos) return false;
  errno = 0;
  out = std::strtoull(value.text.c_str(), nullptr, 10);
  return errno == 0;
}

// Takes fields out of an object one by one; the first mistake is kept.
class Fields {
 public:
  Fields(const Json& object, std::string& problem) : object_(object), problem_(problem) {
    if (object.kind != Json::Kind::object) fail("not an object");
  }

  // Returns null when the field is absent or null; keeps `out` as it is then.
  const Json* take(const char* name, bool required = false) {
    known_.insert(name);
    const Json* value = object_.find(name);
    if (value == nullptr && required) fail(std::string("no field ") + name);
    return value == nullptr || value->kind == Json::Kind::null ? nullptr : value;
  }

  void seed(const char* name, uint64_t& out) {
    const Json* value = take(name, true);
    if (value == nullptr || !to_uint(*value, out)) fail(std::string("bad ") + name);
  }

  void integer(const char* name, int64_t& out, int64_t low, int64_t high = kNoLimit,
               bool required = false) {
    const Json* value = take(name, required);
    if (value == nullptr) return;
    uint64_t read = 0;
    const bool fits = to_uint(*value, read) && read <= static_cast<uint64_t>(high);
    if (!fits || static_cast<int64_t>(read) < low) return fail(std::string("bad ") + name);
    out = static_cast<int64_t>(read);
  }

  void integer(const char* name, std::optional<int64_t>& out) {
    if (take(name) == nullptr) return;
    out.emplace(0);
    integer(name, *out, 0);
  }

  void string(const char* name, std::string& out, bool required) {
    const Json* value = take(name, required);
    if (value == nullptr && !required) return;
    if (value == nullptr || value->kind != Json::Kind::string) {
      return fail(std::string("bad ") + name);
    }
    out = value->text;
  }

  void string(const char* name, std::optional<std::string>& out) {
    if (take(name) == nullptr) return;
    out.emplace();
    string(name, *out, true);
  }

  // Returns an empty list when the field is absent or no list.
  const std::vector<Json>& list(const char* name, bool required) {
    static const std::vector<Json> none;
    const Json* value = take(name, required);
    if (value == nullptr) return none;
    if (value->kind != Json::Kind::array) fail(std::string("bad ") + name);
    return value->items;
  }

  // A newer host may ask for what this runner would not do: refuse.
  void end() {
    for (const std::string& name : object_.names) {
      if (known_.count(name) == 0) fail("unknown field " + name);
    }
  }

  void fail(const std::string& reason) {
    if (problem_.empty()) problem_ = reason;
  }

 private:
  const Json& object_;
  std::string& problem_;
  std::set<std::string> known_;
};

PlanItem read_item(const Json& object, std::string& problem) {
  Fields fields(object, problem);
  PlanItem item;
  std::string sha256;  // checked by the host, which sent the file
  fields.integer("id", item.id, 0, kNoLimit, true);
  fields.string("file", item.file, true);
  fields.string("sha256", sha256, true);
  fields.string("method", item.method, false);
  fields.integer("loops", item.loops, 0);
  fields.string("input", item.input);
  fields.string("output", item.output);
  fields.integer("profile", item.profile, 0, kMaxTraced);
  fields.end();
  return item;
}

void read_affinity(Fields& fields, Plan& plan) {
  if (fields.take("affinity") == nullptr) return;
  plan.affinity.emplace();
  for (const Json& cpu : fields.list("affinity", false)) {
    uint64_t number = 0;
    if (!to_uint(cpu, number) || number > INT32_MAX) return fields.fail("bad affinity");
    plan.affinity->push_back(static_cast<int64_t>(number));
  }
}

void read_temperature(Fields& fields, Plan& plan) {
  const Json* value = fields.take("max_temperature_c");
  if (value == nullptr) return;
  if (value->kind != Json::Kind::number) return fields.fail("bad max_temperature_c");
  plan.max_temperature_c = std::strtod(value->text.c_str(), nullptr);
  if (!std::isfinite(*plan.max_temperature_c)) fields.fail("bad max_temperature_c");
}

void read_fence(Fields& fields, Plan& plan, std::string& problem) {
  const Json* value = fields.take("fence");
  if (value == nullptr) return;
  plan.fence.emplace();
  Fields inner(*value, problem);
  inner.string("folder", plan.fence->folder, true);
  inner.integer("token", plan.fence->token, 1, kNoLimit, true);
  inner.end();
}

void check_ids(const Plan& plan, std::string& problem) {
  std::set<int64_t> ids;
  for (const PlanItem& item : plan.items) ids.insert(item.id);
  if (!problem.empty()) return;
  if (ids.size() != plan.items.size()) problem = "two items share an id";
  if (plan.sentinel && ids.count(*plan.sentinel) == 0) problem = "the sentinel is not an item";
}

void read_fields(const Json& object, Plan& plan, std::string& problem) {
  Fields fields(object, problem);
  int64_t schema = kSchemaVersion;
  fields.integer("schema_version", schema, kSchemaVersion, kSchemaVersion);
  fields.string("nonce", plan.nonce, true);
  fields.string("backend", plan.backend, true);
  fields.integer("threads", plan.threads, 1, kMaxThreads, true);
  read_affinity(fields, plan);
  fields.seed("order_seed", plan.order_seed);
  fields.integer("rounds", plan.rounds, 0, kNoLimit, true);
  fields.integer("warmup", plan.warmup, 1);
  fields.integer("min_block_ns", plan.min_block_ns, 0);
  fields.integer("max_loops", plan.max_loops, 1);
  fields.integer("max_attempts", plan.max_attempts, 1);
  fields.integer("sentinel", plan.sentinel);
  fields.integer("sentinel_every", plan.sentinel_every, 1);
  read_temperature(fields, plan);
  read_fence(fields, plan, problem);
  for (const Json& item : fields.list("items", true)) {
    plan.items.push_back(read_item(item, problem));
  }
  fields.end();
}

// The token that a file's name states; 0 for any other name.
int64_t token_of(const std::string& name) {
  if (name.empty() || name.size() > 18) return 0;
  if (name.find_first_not_of("0123456789") != std::string::npos) return 0;
  return std::strtoll(name.c_str(), nullptr, 10);
}

// The largest token of a folder; 0 where there is none, or no such folder.
int64_t largest_token(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(opendir(folder.c_str()), closedir);
  int64_t largest = 0;
  while (opened) {
    const dirent* entry = readdir(opened.get());
    if (entry == nullptr) break;
    const int64_t token = token_of(entry->d_name);
    if (token > largest) largest = token;
  }
  return largest;
}

}  // namespace

bool read_plan(const std::string& line, Plan& plan, std::string& problem) {
  problem.clear();
  Json json;
  if (!parse_json(line, json)) {
    problem = "not JSON";
    return false;
  }
  read_fields(json, plan, problem);
  check_ids(plan, problem);
  return problem.empty();
}

void check_fence(const std::optional<Fence>& fence) {
  if (!fence) return;
  const int64_t kept = largest_token(fence->folder);
  if (kept == fence->token) return;
  throw FencedOff("fenced off: this device belongs to token " + std::to_string(kept) +
                  ", this run has " + std::to_string(fence->token));
}

}  // namespace kit
