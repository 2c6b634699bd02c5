// launcher/memory/model/config_json.h - a model's JSON file read key by key, with one fault that
// names the file and the key.
//
//   const ConfigJson file("config.json", text);
//   const auto layers = file.root().integer({"num_hidden_layers", "n_layer"}, 4096);
//   if (!file.fault().empty()) return NotPlanned{file.fault()};
//
// A getter whose key is missing or null returns nothing. One whose value is of another kind returns
// nothing too, and sets the fault: "config.json: text_config.vocab_size must be ...". The first
// fault stays. Of several names the first that is there counts.
//
// Threading: confined to one thread. Objects are views: the ConfigJson must outlive them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy {

class ConfigObject {
 public:
  using Names = std::initializer_list<std::string_view>;

  bool has(std::string_view name) const;  // and is not null

  // A whole number from 0 to `most`; 4096.0 is one.
  std::optional<std::int64_t> integer(Names names, std::int64_t most) const;
  // As integer(), and a fault if there is none.
  std::int64_t required(Names names, std::int64_t most) const;
  std::optional<double> number(std::string_view name) const;
  std::optional<bool> flag(std::string_view name) const;
  std::optional<std::string> text(Names names) const;
  std::vector<std::string> texts(std::string_view name) const;
  std::vector<std::int64_t> integers(std::string_view name, std::int64_t most) const;
  std::optional<ConfigObject> object(Names names) const;

  // Sets the fault: "FILE: KEY SENTENCE".
  void refuse(std::string_view name, std::string_view sentence) const;

 private:
  friend class ConfigJson;
  struct Document;
  struct Place;
  ConfigObject(Document* document, std::shared_ptr<const Place> place)
      : document_(document), place_(std::move(place)) {}

  Document* document_;
  std::shared_ptr<const Place> place_;
};

class ConfigJson {
 public:
  // `file` names the text in faults. Text that is no JSON object is a fault, and an empty object.
  ConfigJson(std::string file, std::string_view text);
  ~ConfigJson();
  ConfigJson(const ConfigJson&) = delete;
  ConfigJson& operator=(const ConfigJson&) = delete;

  ConfigObject root() const;
  const std::string& fault() const;  // empty when nothing was wrong so far

 private:
  std::unique_ptr<ConfigObject::Document> document_;
};

}  // namespace batchproxy
