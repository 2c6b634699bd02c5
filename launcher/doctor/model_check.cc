// launcher/doctor/model_check.cc - is the model complete? Only heads of weights are read, never the
// weights: a download that was cut short shows in a shard that is missing or too small. How the
// files are to be read is memory/model/'s business; they come by way of Machine.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "configs/vllm/arguments.h"
#include "launcher/doctor/checks.h"
#include "launcher/doctor/model_folder.h"
#include "launcher/memory/model/config_json.h"
#include "launcher/memory/model/safetensors.h"

namespace batchproxy {
namespace {

constexpr std::size_t kLargestJson = 64 << 20;  // an index has a line for each of 100,000 tensors
constexpr const char* kLoadAgain = "download the model again (`hf download`), it may have been cut";

class ModelCheck {
 public:
  ModelCheck(const Subject& subject, const std::string& folder)
      : subject_(subject), machine_(subject.machine), folder_(folder) {}

  FindingList run() {
    check_config();
    check_weights();
    check_tokenizer();
    check_chat_template();
    return std::move(list_);
  }

 private:
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  bool has(const std::string& name) const { return machine_.exists(path(name)); }

  // A JSON file; nothing, and a finding, when it is no JSON object.
  std::unique_ptr<ConfigJson> parse(const std::string& name) {
    const auto text = machine_.read(path(name), kLargestJson);
    auto file = std::make_unique<ConfigJson>(name, text.value_or(""));
    if (file->fault().empty()) return file;
    list_.push_back(failure(path(name) + " is no JSON object", kLoadAgain));
    return nullptr;
  }

  bool argument_given(std::string_view name) const {
    return std::ranges::any_of(subject_.wishes, [&](const EngineWish& wish) {
      return find_argument(wish.arguments, name) != nullptr;
    });
  }

  void check_config() {
    if (!has("config.json")) {
      const bool is_mistral = has("params.json");
      if (is_mistral) return list_.push_back(ok("params.json (Mistral's own form)"));
      return list_.push_back(failure("no config.json in " + folder_, kLoadAgain));
    }
    const auto config = parse("config.json");
    if (!config) return;
    const auto type = config->root().text({"model_type"});
    if (!type && config->root().texts("architectures").empty()) {
      return list_.push_back(
          failure(path("config.json") + " has no model_type and no architectures",
                  "take the file that belongs to the model"));
    }
    list_.push_back(ok("config.json: " + type.value_or("no model_type")));
  }

  // The shards that the index names, or all weights where there is none.
  std::vector<std::string> expected_weights() {
    for (const char* name : {"model.safetensors.index.json", "pytorch_model.bin.index.json"}) {
      if (!has(name)) continue;
      const auto text = machine_.read(path(name), kLargestJson);
      auto index = read_shard_index(path(name), text.value_or(""));
      if (index) return std::move(index->shards);
      list_.push_back(failure(index.error().reason, kLoadAgain));
    }
    std::vector<std::string> files = machine_.names_in(folder_);
    std::erase_if(files, [](const std::string& name) { return !is_weights(name); });
    std::ranges::sort(files);
    return files;
  }

  void check_weights() {
    const std::vector<std::string> files = expected_weights();
    if (files.empty()) {
      return list_.push_back(failure("no weights in " + folder_, kLoadAgain));
    }
    std::vector<std::string> missing;
    bool all_whole = true;
    for (const std::string& name : files) {
      if (!has(name)) {
        missing.push_back(name);
      } else if (const std::string fault = fault_of(name); !fault.empty()) {
        list_.push_back(failure(fault, kLoadAgain));
        all_whole = false;
      }
    }
    if (!missing.empty()) {
      return list_.push_back(failure(fmt::format("{} of {} shards are missing: {}", missing.size(),
                                                 files.size(), fmt::join(missing, ", ")),
                                     kLoadAgain));
    }
    if (!all_whole) return;
    list_.push_back(ok(fmt::format(
        "weights: {} file{}, {:.1f} GiB", files.size(), files.size() == 1 ? "" : "s",
        static_cast<double>(checkpoint_size(machine_, folder_)) / (1024.0 * 1024.0 * 1024.0))));
  }

  // What is wrong with a file of weights; empty when nothing is seen.
  std::string fault_of(const std::string& name) const {
    constexpr std::string_view kPointer = "version https://git-lfs";
    const std::uint64_t size = machine_.size_of(path(name)).value_or(0);
    const std::string head = machine_.read(path(name), kPointer.size()).value_or("");
    if (head.starts_with(kPointer)) {
      return path(name) + ": a git-lfs pointer, not the weights (`git lfs pull`)";
    }
    if (size == 0) return path(name) + ": empty";
    return name.ends_with(".safetensors") ? safetensors_fault(path(name), size) : "";
  }

  std::string safetensors_fault(const std::string& file, std::uint64_t size) const {
    constexpr std::size_t kLength = 8;
    const std::string first = machine_.read(file, kLength).value_or("");
    const auto length = header_length(file, first, static_cast<std::int64_t>(size));
    if (!length) return length.error().reason;
    const std::uint64_t begin = kLength + static_cast<std::uint64_t>(*length);  // of the tensors
    const std::string text = machine_.read(file, begin).value_or("");
    if (text.size() < begin) return file + ": cannot be read to its end";
    const auto header = read_header(file, std::string_view(text).substr(kLength));
    if (!header) return header.error().reason;
    const std::uint64_t whole = begin + static_cast<std::uint64_t>(header->data_bytes);
    if (size >= whole) return "";
    return fmt::format("{}: cut short: {} of {} bytes are here", file, size, whole);
  }

  void check_tokenizer() {
    if (argument_given("tokenizer") || argument_given("skip_tokenizer_init")) return;
    constexpr std::array kFiles{"tokenizer.json", "tokenizer.model", "tekken.json",
                                "tiktoken.model", "vocab.json",      "vocab.txt"};
    const auto found = std::ranges::find_if(kFiles, [&](const char* name) { return has(name); });
    if (found == kFiles.end()) {
      return list_.push_back(failure("no tokenizer in " + folder_,
                                     "copy the model's tokenizer files there, or name one by "
                                     "vllm_args.tokenizer"));
    }
    list_.push_back(ok(std::string("tokenizer: ") + *found));
  }

  void check_chat_template() {
    if (argument_given("chat_template")) return list_.push_back(ok("chat template: given"));
    for (const char* name : {"chat_template.jinja", "chat_template.json"}) {
      if (has(name)) return list_.push_back(ok(std::string("chat template: ") + name));
    }
    if (has("tokenizer_config.json")) {
      const auto config = parse("tokenizer_config.json");
      if (!config) return;
      if (config->root().has("chat_template")) {
        return list_.push_back(ok("chat template: tokenizer_config.json"));
      }
    }
    list_.push_back(warning("no chat template: chat calls will be answered 400, completions work",
                            "name one by vllm_args.chat_template"));
  }

  const Subject& subject_;
  const Machine& machine_;
  const std::string& folder_;
  FindingList list_;
};

}  // namespace

FindingList check_model(const Subject& subject) {
  const std::string& asked = subject.model_path;
  const std::string name = !asked.empty()           ? asked
                           : subject.wishes.empty() ? ""
                                                    : subject.wishes.front().model;
  if (name.empty() || (asked.empty() && !subject.starts_vllm())) return {};
  if (!subject.model_folder.empty()) return ModelCheck(subject, subject.model_folder).run();
  const bool is_path = name.starts_with('/') || name.starts_with('.') || name.starts_with('~');
  if (!asked.empty() || is_path) {
    return {failure(name + " is neither a folder nor in the cache of Hugging Face",
                    is_path ? "correct the path" : "download it: `hf download " + name + "`")};
  }
  const bool is_offline = subject.machine.variable("HF_HUB_OFFLINE") == "1";
  if (is_offline) {
    return {failure(name + " is not in the cache, and HF_HUB_OFFLINE=1 keeps it from being loaded",
                    "unset HF_HUB_OFFLINE once, or copy the cache here")};
  }
  return {warning(name + " is not in the cache: the first start downloads it",
                  "download it beforehand: `hf download " + name + "`")};
}

}  // namespace batchproxy
