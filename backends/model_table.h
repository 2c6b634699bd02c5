// backends/model_table.h - ModelTable: which backends serve which model name.
//
// Threading: immutable once built; every I/O thread holds a pointer to the newest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/ticket.h"

namespace batchproxy {

class ModelTable {
 public:
  // `models` is a list of OpenAI model objects as a backend gave it: {"id": …}, raw JSON each.
  struct Served {
    std::string id;
    std::string json;
  };

  // Says what `backend` serves. A backend that has not said yet is in no name's set, but may turn
  // out to serve anything: see complete().
  void set(BackendId backend, const std::vector<Served>& models);
  void expect(BackendId backend);
  // It will not say, to us: whatever a request names goes to it.
  void set_anything(BackendId backend);
  // It is no backend any more.
  void remove(BackendId backend);

  // Backends for requests that name `model`; an empty name (the server's default) means all.
  BackendSet find(std::string_view model) const;
  const std::map<std::string, BackendSet, std::less<>>& by_name() const { return sets_; }
  BackendSet all() const { return all_; }
  BackendSet anything() const { return anything_; }
  // Differs whenever something else does.
  std::uint64_t version() const { return version_; }
  // False while some backend has not yet said what it serves: an unknown name may become known.
  bool complete() const { return silent_.empty(); }

  std::string names() const;        // "a, b", for messages
  std::string models_json() const;  // the body of GET /v1/models

 private:
  std::map<std::string, BackendSet, std::less<>> sets_;
  std::map<std::string, std::string, std::less<>> json_;
  BackendSet all_;
  BackendSet silent_;
  BackendSet anything_;
  std::uint64_t version_ = 0;
};

using ModelTablePtr = std::shared_ptr<const ModelTable>;

}  // namespace batchproxy
