// proxy/files/job_store.h - JobStore: which files and batches there are, whose they are, and
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

#include "proxy/files/query.h"
#include "proxy/files/stored_batch.h"
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

class JobStore {
 public:
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
  // Whether a batch that is not over reads it.
  bool is_needed(std::string_view file_id);

  // --- batches ---
  std::string ledger_path(std::string_view id) const { return path("ledgers", id); }
  // The ledger of a durable bulk run.
  std::string bulk_path(std::string_view owner, std::string_view name) const;
  void add_batch(const StoredBatch& batch);
  // Replaces all of it but whose it is and what it was asked for.
  void update_batch(const StoredBatch& batch);
  // The same, when uploads become its files; its ledger goes.
  void finish_batch(const StoredBatch& batch, const std::vector<StoredFile>& files);
  std::optional<StoredBatch> batch(std::string_view id, std::string_view owner);
  std::optional<Page<StoredBatch>> batches(std::string_view owner, const PageWanted& page);
  // Of all owners, the oldest first.
  std::vector<StoredBatch> batches_not_over();

 private:
  std::string path(std::string_view room, std::string_view id) const;
  void clean_up();
  void insert_file(const StoredFile& file);
  std::optional<std::int64_t> place_after(const char* table, std::string_view owner,
                                          const PageWanted& wanted);

  const std::string folder_;
  Database database_;
};

// `prefix` and 24 random hex digits.
std::string new_id(std::string_view prefix);

}  // namespace batchproxy
