// proxy/jobs/record_store.h - RecordStore: the answers of recorded requests, in one SQLite file.
//
// A recorded request is known by whose it is, its job, and all that it asks. The first answer
// stays.
//
// Threading: confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/jobs/sqlite.h"

namespace batchproxy {

// A good answer, and where it came from.
struct Recorded {
  std::string content_type{};
  std::string body{};
  std::string backend{};
  std::uint64_t batch = 0;
  std::uint32_t batch_prompts = 0;
  unsigned attempts = 1;
  bool apportioned_usage = false;
};
using RecordedPtr = std::shared_ptr<const Recorded>;

struct RecordKey {
  std::string owner{};  // name of its API key; empty where none is asked for
  std::string job{};
  std::string hash{};  // of its path and its whole body

  bool operator==(const RecordKey&) const = default;
};
struct RecordKeyHash {
  // The hash is even in all of its bytes.
  std::size_t operator()(const RecordKey& key) const {
    return std::hash<std::string_view>{}(key.hash);
  }
};

class RecordStore {
 public:
  // Where it is in a folder of jobs.
  static std::string path_in(const std::string& folder) { return folder + "/recorded.db"; }

  // Opens or makes the file, and keeps other processes out of it. Throws LedgerError, as all do.
  explicit RecordStore(const std::string& path);

  // Null: there is none.
  RecordedPtr find(const RecordKey& key);
  // On disk when it returns: all of them, or none.
  void add(const std::vector<std::pair<RecordKey, RecordedPtr>>& answers);
  std::int64_t count(std::string_view owner, std::string_view job);
  // Forgets what was recorded before `ms` since 1970, and gives its place back; how many.
  std::int64_t prune(std::int64_t ms);

 private:
  Database database_;
  Statement find_;
  Statement insert_;
  Statement count_;
};

}  // namespace batchproxy
