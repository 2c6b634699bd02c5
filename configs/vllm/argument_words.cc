// configs/vllm/argument_words.cc - from words to keys and values.
#include "configs/vllm/argument_words.h"

#include <cctype>
#include <string_view>
#include <utility>
#include <vector>

#include "configs/yaml/values.h"

namespace batchproxy {
namespace {

// As POSIX shells split a line, but that nothing is filled in. Nothing if a quote stays open.
std::optional<std::vector<std::string>> split(std::string_view text) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  const auto begun = [&word]() -> std::string& { return word ? *word : word.emplace(); };
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      if (text[++i] != '\n') begun() += text[i];  // else the line goes on
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
      begun();
    } else if (quote == 0 && std::isspace(static_cast<unsigned char>(c))) {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
    } else {
      begun() += c;
    }
  }
  if (quote != 0) return std::nullopt;
  if (word) words.push_back(*std::move(word));
  return words;
}

// "-1" is a value, as it is to vLLM.
bool is_flag(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && word[1] != '.' &&
         !std::isdigit(static_cast<unsigned char>(word[1]));
}

class Reader {
 public:
  Reader(const std::string& path, Findings& findings) : path_(path), findings_(findings) {
    map_.kind = Yaml::Kind::kMap;
  }

  std::optional<Yaml> read(const Yaml& node) {
    map_.place = node.place;
    if (node.is_scalar()) {
      take_text(node);
    } else {
      for (const Yaml& item : node.items) take_item(item);
    }
    if (!good_) return std::nullopt;
    for (YamlEntry& entry : map_.entries) {
      if (entry.value.is_null()) entry.value = Yaml::scalar("true", entry.key_place);
    }
    return std::move(map_);
  }

 private:
  void take_item(const Yaml& item) {
    if (item.is_map()) {  // `- tensor_parallel_size: 2`
      map_.entries.insert(map_.entries.end(), item.entries.begin(), item.entries.end());
    } else if (item.is_scalar() && is_flag(item.text)) {
      take_text(item);
    } else if (item.is_scalar()) {
      take_word(item.text, item.place);
    } else {
      report_unexpected(item, path_, "a word of vLLM's command line", findings_);
      good_ = false;
    }
  }

  void take_text(const Yaml& text) {
    const auto words = split(text.text);
    if (!words) fail(text.place, "a quote is never closed");
    for (const std::string& word : words.value_or(std::vector<std::string>())) {
      take_word(word, text.place);
    }
  }

  void take_word(const std::string& word, const Place& place) {
    Yaml value;
    value.place = place;
    if (is_flag(word)) {
      const std::size_t equals = word.find('=');
      map_.entries.push_back({word.substr(0, equals), place, value});
      if (equals != std::string::npos) add_value(word.substr(equals + 1), place);
    } else if (map_.entries.empty()) {
      if (good_) fail(place, "expected a flag such as --max-num-seqs first, found '" + word + "'");
    } else {
      add_value(word, place);
    }
  }

  void add_value(const std::string& word, const Place& place) {
    Yaml value = Yaml::scalar(word, place);
    value.plain = false;  // what is a number or a truth is for vLLM to say
    Yaml& all = map_.entries.back().value;
    if (all.is_null()) {
      all = std::move(value);
    } else if (all.is_list()) {
      all.items.push_back(std::move(value));
    } else {
      Yaml list;
      list.kind = Yaml::Kind::kList;
      list.place = all.place;
      list.items = {std::move(all), std::move(value)};
      all = std::move(list);
    }
  }

  void fail(const Place& place, const std::string& problem) {
    findings_.error(place, path_ + ": " + problem);
    good_ = false;
  }

  const std::string& path_;
  Findings& findings_;
  Yaml map_;
  bool good_ = true;
};

}  // namespace

std::optional<Yaml> mapping_of_words(const Yaml& node, const std::string& path,
                                     Findings& findings) {
  return Reader(path, findings).read(node);
}

}  // namespace batchproxy
