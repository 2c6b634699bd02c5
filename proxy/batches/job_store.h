// proxy/batches/job_store.h - JobStore: which files and batches there are, whose they are, and
// where their bytes lie.
//
// One folder: `store.sqlite` with a row for each, `files/ID` with the bytes, `uploads/` with what
// is on its way, `ledgers/ID` with what has become of a batch's items (proxy/jobs/ledger.h). The
// database is locked for as long as the JobStore lives, so only one process uses the folder. What a
// function has returned from is on disk. Nobody sees what belongs to another owner.
//
// Every function throws LedgerError, a sentence for people.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/batches/query.h"
#include "proxy/jobs/sqlite.h"

namespace batchproxy {

struct StoredFile {
  std::string id{};
  std::string owner{};  // name of an API key; empty where none are asked for
  std::string filename{};
  std::string purpose{};
  std::int64_t bytes = 0;
  std::int64_t created_at = 0;  // seconds since 1970, as all times here
};

template <class Item>
struct Page {
  std::vector<Item> items{};
  bool has_more = false;
};

class JobStore {
 public:
  static constexpr int kSchema = 1;

  // Opens or makes the folder. What a crash left of uploads is removed.
  explicit JobStore(std::string folder);
  // Whether there is a store in `folder`, perhaps another process's.
  static bool exists(const std::string& folder);

  // --- files ---
  std::string upload_path(std::string_view id) const { return path("uploads", id); }
  std::string file_path(std::string_view id) const { return path("files", id); }
  // The upload of this id is whole: it becomes the file.
  void add_file(const StoredFile& file);
  std::optional<StoredFile> file(std::string_view id, std::string_view owner);
  // Nothing: `page.after` is unknown. `purpose`: of any when empty.
  std::optional<Page<StoredFile>> files(std::string_view owner, std::string_view purpose,
                                        const PageWanted& page);
  void remove_file(std::string_view id);
  std::int64_t bytes_of_files();

 private:
  std::string path(std::string_view room, std::string_view id) const;
  void migrate();
  void clean_up();
  std::optional<std::int64_t> place_after(const char* table, std::string_view owner,
                                          const PageWanted& wanted);

  const std::string folder_;
  Database database_;
};

// `prefix` and 24 random hex digits.
std::string new_id(std::string_view prefix);

}  // namespace batchproxy
