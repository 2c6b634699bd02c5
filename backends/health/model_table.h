// backends/health/model_table.h - ModelTable: which backends serve which model name.
//
// Threading: immutable once built; every I/O thread holds a pointer to the newest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/backend_set.h"

namespace batchproxy {

// The names that the configuration says a backend serves, known from the start.
struct ConfiguredModels {
  std::vector<std::string> names{};
  // Also beside its own list. Else that takes their place.
  bool always = false;
};

class ModelTable {
 public:
  // `models` is a list of OpenAI model objects as a backend gave it: {"id": …}, raw JSON each.
  struct Served {
    std::string id;
    std::string json;

    friend bool operator==(const Served&, const Served&) = default;
  };

  // There is such a backend. Until it says what it serves, it may turn out to serve anything: see
  // complete().
  void expect(BackendId backend, const ConfiguredModels& configured = {});
  // Other names are configured for one that there is.
  void configure(BackendId backend, const std::vector<std::string>& names);
  // Says what `backend` serves. False, and nothing done, when that is what it said last.
  bool set(BackendId backend, const std::vector<Served>& models);
  // It has no list: the configured names are its list. False when that is known.
  bool set_unlisted(BackendId backend);
  // It will not say, to us: what a request names and nobody lists goes to it. False likewise.
  bool set_anything(BackendId backend);
  // It has ended and says nothing more. What is known of it stays: its requests wait.
  void retire(BackendId backend);
  // It is no backend any more.
  void remove(BackendId backend);

  const ConfiguredModels& configured(BackendId backend) const {
    return backends_.at(backend).configured;
  }
  // Backends for requests that name `model`: those that list it, else those that may serve
  // anything. An empty name (the server's default) means all.
  BackendSet find(std::string_view model) const;
  const std::map<std::string, BackendSet, std::less<>>& by_name() const { return sets_; }
  BackendSet all() const { return all_; }
  BackendSet anything() const { return anything_; }
  // Differs whenever something else does.
  std::uint64_t version() const { return version_; }
  // False while some backend has not yet said what it serves: an unknown name may become known.
  bool complete() const { return silent_.empty(); }

  // What `among` serve: "a, b", for messages.
  std::string names(BackendSet among) const;
  std::string names() const { return names(all_); }
  // Whether there is a model to show: of a backend's list, or of one that has no list.
  bool has_list() const;
  // The body of GET /v1/models: the backends' own objects, in their own order, and plain ones of
  // those that have no list.
  std::string models_json() const;

 private:
  struct Backend {
    ConfiguredModels configured{};
    std::vector<Served> said{};
    bool unlisted = false;  // then `said` is what is configured

    bool tells() const { return !said.empty() && !unlisted; }
  };
  // One name, once, where the first backend has it in its list.
  struct Entry {
    std::string name;
    std::string json;  // empty: nobody has said it yet
  };
  bool has_spoken(BackendId backend) const;
  void hear(BackendId backend, std::vector<Served> models);
  void has_changed();

  std::map<BackendId, Backend> backends_;
  std::map<std::string, BackendSet, std::less<>> sets_;  // these two follow from backends_
  std::vector<Entry> entries_;
  BackendSet all_;
  BackendSet silent_;
  BackendSet anything_;
  std::uint64_t version_ = 0;
};

using ModelTablePtr = std::shared_ptr<const ModelTable>;

}  // namespace batchproxy
