// bench/trial/programs.cc - see programs.h.
#include "bench/trial/programs.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/child/program_output.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr const char* kName = "batchproxy";
// A driver that hangs, or a model on a slow disk.
constexpr std::chrono::seconds kPatience(60);

bool is_program(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
}

json::value parsed(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  return error ? json::value() : value;
}

bool is_true(const json::value& object, const char* pointer, bool otherwise) {
  boost::system::error_code error;
  const json::value* found = object.find_pointer(pointer, error);
  return found != nullptr && found->is_bool() ? found->get_bool() : otherwise;
}

}  // namespace

std::string find_batchproxy(const std::string& told) {
  if (!told.empty()) {
    if (is_program(told)) return fs::absolute(told);
    throw std::runtime_error(
        fmt::format("--program {}: there is no such program", printable(told)));
  }
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {here / kName, here.parent_path() / "proxy" / kName}) {
    if (!error && is_program(place)) return place;
  }
  const char* path = std::getenv("PATH");
  for (std::string_view folders = path == nullptr ? "" : path; !folders.empty();) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    folders.remove_prefix(std::min(folders.size(), folder.size() + 1));
    if (!folder.empty() && is_program(fs::path(folder) / kName)) return fs::path(folder) / kName;
  }
  throw std::runtime_error(
      "the program `batchproxy` is neither beside this one nor on PATH: name it with --program");
}

std::size_t count_gpus(const std::string& gpus_json) {
  const json::value told = parsed(gpus_json);
  boost::system::error_code error;
  const json::value* gpus = told.find_pointer("/gpus", error);
  if (gpus == nullptr || !gpus->is_array()) return 0;
  std::size_t count = 0;
  for (const json::value& gpu : gpus->get_array()) count += is_true(gpu, "/ours", false) ? 1 : 0;
  return count;
}

std::size_t gpus_here(const std::string& program) {
  const auto told = program_output({program, "gpus", "--json"}, kPatience);
  return told ? count_gpus(*told) : 0;
}

MemoryAnswer read_plan(const std::string& plan_json) {
  MemoryAnswer answer;
  const json::value told = parsed(plan_json);
  if (!told.is_object() || !is_true(told, "/planned", false)) return answer;
  answer.fits = is_true(told, "/fits", true);
  if (answer.fits) return answer;
  boost::system::error_code error;
  const json::value* first = told.find_pointer("/problems/0", error);
  answer.reason = first != nullptr && first->is_string()
                      ? std::string(first->get_string())
                      : std::string("it does not fit into the GPUs' memory");
  return answer;
}

MemoryAnswer plan_of(const std::string& program, const std::string& config) {
  const auto told = program_output({program, "--config", config, "plan", "--json"}, kPatience);
  return told ? read_plan(*told) : MemoryAnswer{};
}

}  // namespace batchproxy::bench
