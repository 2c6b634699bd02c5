// backends/model_table.h - ModelTable: which backends serve which model name. It follows
// from what is configured for the backends and from what they have said.
//
// Threading: immutable; every I/O thread holds a pointer to the newest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/backend.h"
#include "batcher/base/backend_set.h"

namespace batchproxy {

class ModelTable {
 public:
  // The table of no backend.
  ModelTable() = default;
  // Of those of `backends` that are present. An engine of ours serves the names that are configured
  // for it beside its own list, and before it has one; any other server's list takes their place.
  // What is known of one that has ended stays, so that its requests wait. `version` differs from
  // that of any other table of these backends.
  ModelTable(const std::vector<BackendPtr>& backends, std::uint64_t version);

  // Backends for requests that name `model`: those that list it, else those that may serve
  // anything. An empty name (the server's default) means all.
  BackendSet find(std::string_view model) const;
  const std::map<std::string, BackendSet, std::less<>>& by_name() const { return sets_; }
  const BackendSet& all() const { return all_; }
  const BackendSet& anything() const { return anything_; }
  std::uint64_t version() const { return version_; }
  // False while some backend has not yet said what it serves: an unknown name may become known.
  bool complete() const { return complete_; }

  // The models that the backends `among` serve: "a, b", for messages.
  std::string names(const BackendSet& among) const;
  std::string names() const { return names(all_); }
  // Whether there is a model to show: of a backend's list, or of one that has no list.
  bool has_list() const;
  // The body of GET /v1/models: the backends' own objects, in their own order, and plain ones of
  // those that have no list.
  std::string models_json() const;

 private:
  // One name, once, where the first backend has it in its list.
  struct Entry {
    std::string name;
    std::string json;  // empty: nobody has said it yet
  };
  void add(BackendId backend, const std::string& name, const std::string& json);

  std::map<std::string, BackendSet, std::less<>> sets_;
  std::vector<Entry> entries_;
  BackendSet all_;
  BackendSet anything_;
  bool complete_ = true;
  std::uint64_t version_ = 0;
};

using ModelTablePtr = std::shared_ptr<const ModelTable>;

}  // namespace batchproxy
