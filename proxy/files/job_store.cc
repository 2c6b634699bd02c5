// proxy/files/job_store.cc - see job_store.h.
#include "proxy/files/job_store.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <set>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "backends/net/system_random.h"
#include "configs/text/number.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

namespace fs = std::filesystem;

namespace {

constexpr const char* kMigrations[] = {
    R"(CREATE TABLE files (
         seq INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         owner TEXT NOT NULL,
         filename TEXT NOT NULL,
         purpose TEXT NOT NULL,
         bytes INTEGER NOT NULL,
         created_at INTEGER NOT NULL) STRICT;
       CREATE TABLE batches (
         seq INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         owner TEXT NOT NULL,
         endpoint TEXT NOT NULL,
         input_file TEXT NOT NULL,
         window TEXT NOT NULL,
         metadata TEXT NOT NULL,
         created_at INTEGER NOT NULL,
         output_file TEXT NOT NULL DEFAULT '',
         error_file TEXT NOT NULL DEFAULT '',
         errors TEXT NOT NULL DEFAULT '',
         status TEXT NOT NULL,
         outcome TEXT NOT NULL,
         total INTEGER NOT NULL DEFAULT 0,
         completed INTEGER NOT NULL DEFAULT 0,
         failed INTEGER NOT NULL DEFAULT 0,
         in_progress_at INTEGER NOT NULL DEFAULT 0,
         expires_at INTEGER NOT NULL DEFAULT 0,
         finalizing_at INTEGER NOT NULL DEFAULT 0,
         completed_at INTEGER NOT NULL DEFAULT 0,
         failed_at INTEGER NOT NULL DEFAULT 0,
         expired_at INTEGER NOT NULL DEFAULT 0,
         cancelling_at INTEGER NOT NULL DEFAULT 0,
         cancelled_at INTEGER NOT NULL DEFAULT 0) STRICT;)",
};
constexpr const char* kFileColumns = "id, owner, filename, purpose, bytes, created_at";

constexpr const char* kBatchColumns =
    "id, owner, endpoint, input_file, window, metadata, created_at, output_file, error_file, "
    "errors,"
    " status, outcome, total, completed, failed, in_progress_at, expires_at, finalizing_at,"
    " completed_at, failed_at, expired_at, cancelling_at, cancelled_at";

StoredBatch batch_in(const Statement& row) {
  StoredBatch batch;
  int column = 0;
  for (std::string* text : {&batch.id, &batch.owner, &batch.endpoint, &batch.input_file,
                            &batch.window, &batch.metadata}) {
    *text = row.bytes(column++);
  }
  batch.created_at = row.number(column++);
  for (std::string* text : {&batch.output_file, &batch.error_file, &batch.errors}) {
    *text = row.bytes(column++);
  }
  batch.status = batch_status_of(row.bytes(column++));
  batch.outcome = batch_status_of(row.bytes(column++));
  BatchCounts& counts = batch.counts;
  for (std::int64_t* number :
       {&counts.total, &counts.completed, &counts.failed, &batch.in_progress_at, &batch.expires_at,
        &batch.finalizing_at, &batch.completed_at, &batch.failed_at, &batch.expired_at,
        &batch.cancelling_at, &batch.cancelled_at}) {
    *number = row.number(column++);
  }
  return batch;
}

StoredFile file_in(const Statement& row) {
  StoredFile file;
  file.id = row.bytes(0);
  file.owner = row.bytes(1);
  file.filename = row.bytes(2);
  file.purpose = row.bytes(3);
  file.bytes = row.number(4);
  file.created_at = row.number(5);
  return file;
}

// What `select` finds, up to one more than is wanted: that one says that there are more.
template <class Item>
Page<Item> page_of(Statement& select, const PageWanted& wanted, Item (*read)(const Statement&)) {
  Page<Item> page;
  while (select.step()) {
    if (static_cast<std::int64_t>(page.items.size()) == wanted.limit) {
      page.has_more = true;
      break;
    }
    page.items.push_back(read(select));
  }
  return page;
}

std::string database_path(const std::string& folder) {
  return folder + "/store.sqlite";
}

// The folder with its rooms; returns the database's path.
std::string made(const std::string& folder) {
  std::error_code error;
  for (const char* room : {"/files", "/uploads", "/ledgers", "/bulk"}) {
    fs::create_directories(folder + room, error);
    if (error) {
      throw LedgerError(fmt::format("{}{} cannot be made: {}. See batchproxy.jobs.directory",
                                    folder, room, error.message()));
    }
  }
  fs::permissions(folder, fs::perms::owner_all, error);
  return database_path(folder);
}

// A file's new name, and its bytes, survive a crash.
void put_in_place(const std::string& from, const std::string& to) {
  const auto fail = [&to] {
    throw LedgerError(fmt::format("{} cannot be written: {}", to, std::strerror(errno)));
  };
  const Descriptor bytes(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (bytes.get() < 0 || ::fsync(bytes.get()) != 0) fail();
  if (std::rename(from.c_str(), to.c_str()) != 0) fail();
  const Descriptor folder(::open(fs::path(to).parent_path().c_str(), O_RDONLY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) fail();
}

}  // namespace

std::string new_id(std::string_view prefix) {
  return fmt::format("{}{:016x}{:08x}", prefix, system_random(), system_random() >> 32);
}

JobStore::JobStore(std::string folder)
    : folder_(std::move(folder)), database_(made(folder_), kMigrations) {
  clean_up();
}

bool JobStore::exists(const std::string& folder) {
  std::error_code none;
  return fs::exists(database_path(folder), none);
}

// Uploads that never ended, files that have no row because of a crash in between, and ledgers of
// batches that are over.
void JobStore::clean_up() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_ + "/uploads", error)) {
    fs::remove(entry.path(), error);
  }
  Statement find(database_, "SELECT 1 FROM files WHERE id = ?1");
  for (const auto& entry : fs::directory_iterator(folder_ + "/files", error)) {
    const std::string id = entry.path().filename().string();
    const bool known = find.bind(1, id).step();
    find.reset();
    if (!known) fs::remove(entry.path(), error);
  }
  std::set<std::string> needed;
  for (const StoredBatch& batch : batches_not_over()) needed.insert(batch.id);
  for (const auto& entry : fs::directory_iterator(folder_ + "/ledgers", error)) {
    const std::string name = entry.path().filename().string();
    if (!needed.contains(name.substr(0, name.find('-')))) fs::remove(entry.path(), error);
  }
}

std::string JobStore::path(std::string_view room, std::string_view id) const {
  return fmt::format("{}/{}/{}", folder_, room, id);
}

std::string JobStore::bulk_path(std::string_view owner, std::string_view name) const {
  // A hash: names hold anything, and those of two owners must never meet.
  std::string id;
  for (const char byte : hash_of_body(fmt::format("{}\n{}", owner, name))) {
    id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  return path("bulk", id);
}

void JobStore::add_file(const StoredFile& file) {
  put_in_place(upload_path(file.id), file_path(file.id));
  insert_file(file);
}

void JobStore::insert_file(const StoredFile& file) {
  Statement insert(database_,
                   "INSERT INTO files (id, owner, filename, purpose, bytes, created_at)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  insert.bind(1, file.id).bind(2, file.owner).bind(3, file.filename).bind(4, file.purpose);
  insert.bind(5, file.bytes).bind(6, file.created_at).run();
}

std::optional<StoredFile> JobStore::file(std::string_view id, std::string_view owner) {
  const std::string sql =
      fmt::format("SELECT {} FROM files WHERE id = ?1 AND owner = ?2", kFileColumns);
  Statement find(database_, sql.c_str());
  if (!find.bind(1, id).bind(2, owner).step()) return std::nullopt;
  return file_in(find);
}

std::optional<Page<StoredFile>> JobStore::files(std::string_view owner, std::string_view purpose,
                                                const PageWanted& wanted) {
  const auto after = place_after("files", owner, wanted);
  if (!after) return std::nullopt;
  const std::string sql = fmt::format(
      "SELECT {} FROM files WHERE owner = ?1 AND (?2 = '' OR purpose = ?2) AND seq {} ?3"
      " ORDER BY seq {} LIMIT ?4",
      kFileColumns, wanted.ascending ? ">" : "<", wanted.ascending ? "ASC" : "DESC");
  Statement select(database_, sql.c_str());
  select.bind(1, owner).bind(2, purpose).bind(3, *after).bind(4, wanted.limit + 1);
  return page_of<StoredFile>(select, wanted, &file_in);
}

void JobStore::remove_file(std::string_view id) {
  Statement remove(database_, "DELETE FROM files WHERE id = ?1");
  remove.bind(1, id).run();
  std::error_code ignored;
  fs::remove(file_path(id), ignored);
}

std::int64_t JobStore::bytes_of_files() {
  return number_in<std::int64_t>(database_.value_of("SELECT COALESCE(sum(bytes), 0) FROM files"))
      .value_or(0);
}

bool JobStore::is_needed(std::string_view file_id) {
  Statement find(database_,
                 "SELECT 1 FROM batches WHERE input_file = ?1 AND status IN"
                 " ('validating', 'in_progress', 'finalizing', 'cancelling')");
  return find.bind(1, file_id).step();
}

void JobStore::add_batch(const StoredBatch& batch) {
  Statement insert(database_,
                   "INSERT INTO batches (id, owner, endpoint, input_file, window, metadata,"
                   " created_at, status, outcome, expires_at)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
  insert.bind(1, batch.id).bind(2, batch.owner).bind(3, batch.endpoint).bind(4, batch.input_file);
  insert.bind(5, batch.window).bind(6, batch.metadata).bind(7, batch.created_at);
  insert.bind(8, describe(batch.status).word).bind(9, describe(batch.outcome).word);
  insert.bind(10, batch.expires_at).run();
}

void JobStore::update_batch(const StoredBatch& batch) {
  Statement update(database_,
                   "UPDATE batches SET output_file = ?2, error_file = ?3, errors = ?4, status = ?5,"
                   " outcome = ?6, total = ?7, completed = ?8, failed = ?9, in_progress_at = ?10,"
                   " expires_at = ?11, finalizing_at = ?12, completed_at = ?13, failed_at = ?14,"
                   " expired_at = ?15, cancelling_at = ?16, cancelled_at = ?17 WHERE id = ?1");
  update.bind(1, batch.id).bind(2, batch.output_file).bind(3, batch.error_file);
  update.bind(4, batch.errors);
  update.bind(5, describe(batch.status).word).bind(6, describe(batch.outcome).word);
  int at = 7;
  for (const std::int64_t number :
       {batch.counts.total, batch.counts.completed, batch.counts.failed, batch.in_progress_at,
        batch.expires_at, batch.finalizing_at, batch.completed_at, batch.failed_at,
        batch.expired_at, batch.cancelling_at, batch.cancelled_at}) {
    update.bind(at++, number);
  }
  update.run();
}

void JobStore::finish_batch(const StoredBatch& batch, const std::vector<StoredFile>& files) {
  for (const StoredFile& file : files) put_in_place(upload_path(file.id), file_path(file.id));
  Transaction transaction(database_);
  for (const StoredFile& file : files) insert_file(file);
  update_batch(batch);
  transaction.commit();
  std::error_code ignored;
  for (const char* part : {"", "-wal", "-shm"}) fs::remove(ledger_path(batch.id) + part, ignored);
}

std::optional<StoredBatch> JobStore::batch(std::string_view id, std::string_view owner) {
  const std::string sql =
      fmt::format("SELECT {} FROM batches WHERE id = ?1 AND owner = ?2", kBatchColumns);
  Statement find(database_, sql.c_str());
  if (!find.bind(1, id).bind(2, owner).step()) return std::nullopt;
  return batch_in(find);
}

std::optional<Page<StoredBatch>> JobStore::batches(std::string_view owner,
                                                   const PageWanted& wanted) {
  const auto after = place_after("batches", owner, wanted);
  if (!after) return std::nullopt;
  const std::string sql =
      fmt::format("SELECT {} FROM batches WHERE owner = ?1 AND seq {} ?2 ORDER BY seq {} LIMIT ?3",
                  kBatchColumns, wanted.ascending ? ">" : "<", wanted.ascending ? "ASC" : "DESC");
  Statement select(database_, sql.c_str());
  select.bind(1, owner).bind(2, *after).bind(3, wanted.limit + 1);
  return page_of<StoredBatch>(select, wanted, &batch_in);
}

std::vector<StoredBatch> JobStore::batches_not_over() {
  const std::string sql = fmt::format(
      "SELECT {} FROM batches WHERE status IN"
      " ('validating', 'in_progress', 'finalizing', 'cancelling') ORDER BY seq",
      kBatchColumns);
  Statement select(database_, sql.c_str());
  std::vector<StoredBatch> found;
  while (select.step()) found.push_back(batch_in(select));
  return found;
}

// Of the item that the page follows; of no item when it is the first page.
std::optional<std::int64_t> JobStore::place_after(const char* table, std::string_view owner,
                                                  const PageWanted& wanted) {
  if (wanted.after.empty()) {
    return wanted.ascending ? 0 : std::numeric_limits<std::int64_t>::max();
  }
  const std::string sql = fmt::format("SELECT seq FROM {} WHERE id = ?1 AND owner = ?2", table);
  Statement find(database_, sql.c_str());
  if (!find.bind(1, wanted.after).bind(2, owner).step()) return std::nullopt;
  return find.number(0);
}

}  // namespace batchproxy
