#include "host_facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace kit {
namespace {

constexpr int64_t kHottestMc = 150'000;  // above this no chip runs: another unit, or a fault

// Another root lets the readers be tried where the kernel offers nothing.
std::string sysfs() {
  const char* root = std::getenv("KIT_SYSFS");
  return root != nullptr ? root : "/sys";
}

std::string read_text(int fd) {
  char text[64];
  const ssize_t count = pread(fd, text, sizeof text, 0);
  return count > 0 ? std::string(text, static_cast<size_t>(count)) : std::string();
}

std::optional<int64_t> read_number(int fd) {
  if (fd < 0) return std::nullopt;
  const std::string text = read_text(fd);
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (end == text.c_str()) return std::nullopt;
  return value;
}

// Returns a descriptor only if a number above zero can be read now.
int open_number(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && read_number(fd).value_or(0) <= 0) {
    close(fd);
    return -1;
  }
  return fd;
}

bool is_cpu_zone(const std::string& path) {
  const int fd = open((path + "/type").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  std::string type = read_text(fd);
  close(fd);
  for (char& c : type) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  type.erase(type.find_last_not_of('\n') + 1);
  if (type == "soc") return false;  // on many phones the battery's state of charge
  for (const char* word : {"cpu", "big", "mid", "little", "cluster", "core", "x86_pkg", "soc"}) {
    if (type.find(word) != std::string::npos) return true;
  }
  return false;
}

std::vector<std::string> thermal_zones() {
  std::vector<std::string> zones;
  const std::string folder = sysfs() + "/class/thermal";
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return zones;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.rfind("thermal_zone", 0) == 0) zones.push_back(folder + "/" + name);
  }
  closedir(dir);
  // By number: a shorter name is a smaller number.
  std::sort(zones.begin(), zones.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return zones;
}

int64_t to_ns(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec;
}

}  // namespace

int64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return to_ns(time);
}

std::optional<int64_t> clock_resolution_ns() {
  timespec time;
  if (clock_getres(CLOCK_MONOTONIC, &time) != 0) return std::nullopt;
  return to_ns(time);
}

int64_t involuntary_switches(bool all_threads) {
  rusage usage = {};
  getrusage(all_threads ? RUSAGE_SELF : RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

std::optional<int64_t> max_rss_kb() {
  // Not ru_maxrss: that counts what the parent held before it started us.
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t size = 0;
  while (status >> word && word != "VmHWM:") {
  }
  if (!(status >> size)) return std::nullopt;
  return size;
}

Affinity::Affinity() {
  CPU_ZERO(&at_start_);
  known_ = sched_getaffinity(0, sizeof at_start_, &at_start_) == 0;
}

void Affinity::apply(const std::optional<std::vector<int64_t>>& cpus) const {
  if (known_) (void)sched_setaffinity(0, sizeof at_start_, &at_start_);
  if (!cpus) return;
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (const int64_t cpu : *cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(static_cast<int>(cpu), &wanted);
  }
  (void)sched_setaffinity(0, sizeof wanted, &wanted);
}

std::optional<std::vector<int64_t>> Affinity::allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::nullopt;
  std::vector<int64_t> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

Sensors::Sensors() {
  const long count = std::clamp(sysconf(_SC_NPROCESSORS_CONF), 0L, long{CPU_SETSIZE});
  for (long cpu = 0; cpu < count; ++cpu) {
    const std::string name = "/devices/system/cpu/cpu" + std::to_string(cpu);
    freq_fds_.push_back(open_number(sysfs() + name + "/cpufreq/scaling_cur_freq"));
  }
  for (const std::string& zone : thermal_zones()) {
    if (is_cpu_zone(zone)) thermal_fd_ = open_number(zone + "/temp");
    if (thermal_fd_ >= 0) break;
  }
}

std::optional<int64_t> Sensors::freq_khz() const {
  const int cpu = sched_getcpu();
  if (cpu < 0 || static_cast<size_t>(cpu) >= freq_fds_.size()) return std::nullopt;
  const auto value = read_number(freq_fds_[static_cast<size_t>(cpu)]);
  return value.value_or(0) > 0 ? value : std::nullopt;
}

std::optional<int64_t> Sensors::temperature_mc() const {
  const auto value = read_number(thermal_fd_);
  if (value.value_or(0) <= 0) return std::nullopt;
  const int64_t read = *value < 200 ? *value * 1000 : *value;  // some old kernels: whole degrees
  return read <= kHottestMc ? std::optional<int64_t>(read) : std::nullopt;
}

}  // namespace kit
