// launcher/doctor/model_check.cc - is the model complete? Only heads of weights are read, never the
// weights: a download that was cut short shows in a shard that is missing or too small.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <simdjson.h>

#include "configs/vllm/arguments.h"
#include "launcher/doctor/checks.h"
#include "launcher/doctor/model_files.h"

namespace batchproxy {
namespace {

namespace dom = simdjson::dom;

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

  // The root of a JSON file; nothing, and a finding, when it is no JSON object.
  std::optional<dom::element> parse(const std::string& name) {
    const auto text = machine_.read(path(name), kLargestJson);
    dom::element root;
    if (text && parser_.parse(*text).get(root) == simdjson::SUCCESS && root.is_object())
      return root;
    list_.push_back(failure(path(name) + " is no JSON object", kLoadAgain));
    return std::nullopt;
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
    std::string_view type;
    dom::array architectures;
    const bool has_type = (*config)["model_type"].get(type) == simdjson::SUCCESS;
    const bool has_architecture =
        (*config)["architectures"].get(architectures) == simdjson::SUCCESS &&
        architectures.size() > 0;
    if (!has_type && !has_architecture) {
      return list_.push_back(
          failure(path("config.json") + " has no model_type and no architectures",
                  "take the file that belongs to the model"));
    }
    list_.push_back(ok(fmt::format("config.json: {}", has_type ? type : "no model_type")));
  }

  // The shards that the index names, or all weights where there is none.
  std::set<std::string> expected_weights() {
    std::set<std::string> files;
    for (const char* index : {"model.safetensors.index.json", "pytorch_model.bin.index.json"}) {
      if (!files.empty() || !has(index)) continue;
      const auto root = parse(index);
      dom::object map;
      if (!root || (*root)["weight_map"].get(map) != simdjson::SUCCESS) continue;
      for (const auto& [tensor, file] : map) {
        std::string_view name;
        if (file.get(name) == simdjson::SUCCESS) files.emplace(name);
      }
    }
    if (!files.empty()) return files;
    for (const std::string& name : machine_.names_in(folder_)) {
      if (is_weights(name)) files.insert(name);
    }
    return files;
  }

  void check_weights() {
    const std::set<std::string> files = expected_weights();
    if (files.empty()) {
      return list_.push_back(failure("no weights in " + folder_, kLoadAgain));
    }
    std::vector<std::string> missing;
    bool all_whole = true;
    for (const std::string& name : files) {
      if (!has(name)) {
        missing.push_back(name);
      } else if (const std::string fault = fault_of(name); !fault.empty()) {
        list_.push_back(failure(path(name) + ": " + fault, kLoadAgain));
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
    if (head.starts_with(kPointer)) return "a git-lfs pointer, not the weights (`git lfs pull`)";
    if (size == 0) return "empty";
    return name.ends_with(".safetensors") ? safetensors_fault(name, size) : "";
  }

  // Eight bytes say how long the JSON behind them is, and that where each tensor ends.
  std::string safetensors_fault(const std::string& name, std::uint64_t size) const {
    constexpr std::uint64_t kLargestHead = 100'000'000;  // the format's own bound
    std::uint64_t head = 0;
    const std::string first = machine_.read(path(name), sizeof head).value_or("");
    if (first.size() < sizeof head) return "too short for its head";
    std::memcpy(&head, first.data(), sizeof head);
    if (head > kLargestHead || head + sizeof head > size) return "its head is cut or damaged";
    const std::string text =
        machine_.read(path(name), static_cast<std::size_t>(head) + sizeof head).value_or("");
    dom::parser parser;
    dom::object tensors;
    if (parser.parse(text.data() + sizeof head, text.size() - sizeof head).get(tensors) !=
        simdjson::SUCCESS) {
      return "its head is damaged";
    }
    std::uint64_t end = 0;
    for (const auto& [tensor, entry] : tensors) {
      std::uint64_t last = 0;
      if (entry["data_offsets"].at(1).get(last) == simdjson::SUCCESS) end = std::max(end, last);
    }
    const std::uint64_t whole = sizeof head + head + end;
    if (size >= whole) return "";
    return fmt::format("cut short: {} of {} bytes are here", size, whole);
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
      if ((*config)["chat_template"].error() == simdjson::SUCCESS) {
        return list_.push_back(ok("chat template: tokenizer_config.json"));
      }
    }
    list_.push_back(warning("no chat template: chat calls will be answered 400, completions work",
                            "name one by vllm_args.chat_template"));
  }

  const Subject& subject_;
  const Machine& machine_;
  const std::string& folder_;
  dom::parser parser_;
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
