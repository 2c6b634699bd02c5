// launcher/repair/remember.cc - repairs as JSON.
#include "launcher/repair/remember.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fcntl.h>
#include <simdjson.h>
#include <unistd.h>

#include "backends/net/descriptor.h"

namespace batchproxy {
namespace {

namespace json = boost::json;
using Element = simdjson::dom::element;

// More models than anybody serves from one machine; the oldest go first.
constexpr std::size_t kMostEntries = 256;

constexpr std::array<std::string_view, 12> kChangeable{
    "--max-num-seqs",
    "--max-model-len",
    "--gpu-memory-utilization",
    "--max-num-batched-tokens",
    "--disable-custom-all-reduce",
    "--tensor-parallel-size",
    "--kv-cache-dtype",
    "--cpu-offload-gb",
    "--max-lora-rank",
    "VLLM_USE_FLASHINFER_SAMPLER",
    "NCCL_P2P_DISABLE",
    "VLLM_WORKER_MULTIPROC_METHOD",
};
// These two are changed to one value only.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kFixed{
    {{"--dtype", "half"}, {"--quantization", "fp8_per_tensor"}}};

bool may_be_changed(const RepairChange& change) {
  return std::ranges::find(kChangeable, change.name) != kChangeable.end() ||
         std::ranges::any_of(kFixed, [&change](const auto& fixed) {
           return fixed.first == change.name && change.after == fixed.second;
         });
}

// Empty if it is not there or is no text.
std::string text_in(const Element& object, std::string_view name) {
  std::string_view text;
  return object[name].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

std::optional<std::string> optional_in(const Element& object, std::string_view name) {
  std::string_view text;
  if (object[name].get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
  return std::string(text);
}

// Nothing if one of its changes is none that we would make.
std::optional<std::vector<RepairChange>> changes_in(const Element& repair) {
  std::vector<RepairChange> changes;
  simdjson::dom::array list;
  if (repair["changes"].get_array().get(list) != simdjson::SUCCESS) return std::nullopt;
  for (const Element& element : list) {
    RepairChange change;
    change.name = text_in(element, "name");
    change.is_variable = !change.name.starts_with('-');
    change.before = optional_in(element, "before");
    change.after = optional_in(element, "after");
    if (!may_be_changed(change)) return std::nullopt;
    changes.push_back(std::move(change));
  }
  return changes;
}

std::optional<RememberedRepair> repair_in(const Element& element) {
  auto changes = changes_in(element);
  if (!changes) return std::nullopt;
  RememberedRepair repair{cause_of(text_in(element, "cause")),
                          repair_kind_of(text_in(element, "kind")), *std::move(changes),
                          text_in(element, "sentence")};
  if (repair.cause == Cause::kCount || repair.kind == RepairKind::kCount) return std::nullopt;
  return repair;
}

json::object to_object(const RepairChange& change) {
  json::object object;
  object["name"] = change.name;
  if (change.before) object["before"] = *change.before;
  if (change.after) object["after"] = *change.after;
  return object;
}

json::object to_object(const RememberedRepair& repair) {
  json::array changes;
  for (const RepairChange& change : repair.changes) changes.push_back(to_object(change));
  json::object object;
  object["cause"] = describe(repair.cause).word;
  object["kind"] = word(repair.kind);
  object["sentence"] = repair.sentence;
  object["changes"] = std::move(changes);
  return object;
}

std::string reason_of(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

bool write_whole(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(descriptor) == 0;
}

}  // namespace

RepairMemory RepairMemory::parse(std::string_view json) {
  RepairMemory memory;
  simdjson::dom::parser parser;
  simdjson::dom::array entries;
  const simdjson::padded_string padded(json);
  if (parser.parse(padded)["repairs"].get_array().get(entries) != simdjson::SUCCESS) return memory;
  for (const Element& element : entries) {
    const RepairKey key{text_in(element, "model"), text_in(element, "gpu"),
                        text_in(element, "version")};
    simdjson::dom::array repairs;
    if (element["made"].get_array().get(repairs) != simdjson::SUCCESS) continue;
    for (const Element& repair : repairs) {
      if (auto made = repair_in(repair)) memory.remember(key, *std::move(made));
    }
  }
  return memory;
}

std::string RepairMemory::to_json() const {
  json::array entries;
  for (const Entry& entry : entries_) {
    json::array made;
    for (const RememberedRepair& repair : entry.repairs) made.push_back(to_object(repair));
    json::object object;
    object["model"] = entry.key.model;
    object["gpu"] = entry.key.gpu;
    object["version"] = entry.key.version;
    object["made"] = std::move(made);
    entries.push_back(std::move(object));
  }
  json::object file;
  file["repairs"] = std::move(entries);
  return json::serialize(file) + "\n";
}

const std::vector<RememberedRepair>& RepairMemory::repairs_for(const RepairKey& key) const {
  static const std::vector<RememberedRepair> kNone;
  const auto entry = std::ranges::find(entries_, key, &Entry::key);
  return entry == entries_.end() ? kNone : entry->repairs;
}

void RepairMemory::remember(const RepairKey& key, RememberedRepair repair) {
  Entry entry{key, repairs_for(key)};
  forget(key);
  std::erase_if(entry.repairs,
                [&repair](const RememberedRepair& old) { return old.kind == repair.kind; });
  entry.repairs.push_back(std::move(repair));
  entries_.push_back(std::move(entry));
  if (entries_.size() > kMostEntries) entries_.erase(entries_.begin());
}

void RepairMemory::forget(const RepairKey& key) {
  std::erase_if(entries_, [&key](const Entry& entry) { return entry.key == key; });
}

std::optional<RepairMemory> RepairMemory::load(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return error ? std::nullopt : std::optional(RepairMemory());
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return std::nullopt;
  return parse(text);
}

std::string RepairMemory::save(const std::string& path) const {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return path + ": " + error.message();
  // Beside it, so that the rename stays within one file system.
  const std::string fresh = path + "." + std::to_string(::getpid()) + ".new";
  const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.get() < 0) return reason_of(fresh);
  if (!write_whole(file.get(), to_json()) || ::rename(fresh.c_str(), path.c_str()) != 0) {
    std::string reason = reason_of(path);
    ::unlink(fresh.c_str());
    return reason;
  }
  return {};
}

}  // namespace batchproxy
