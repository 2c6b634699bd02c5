// proxy/batches/job_store.cc - see job_store.h.
#include "proxy/batches/job_store.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "configs/text/number.h"

namespace batchproxy {

namespace fs = std::filesystem;

namespace {

// What brings a store of schema n to n + 1.
constexpr const char* kMigrations[] = {
    R"(CREATE TABLE files (
         seq INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         owner TEXT NOT NULL,
         filename TEXT NOT NULL,
         purpose TEXT NOT NULL,
         bytes INTEGER NOT NULL,
         created_at INTEGER NOT NULL) STRICT;)",
};
static_assert(std::size(kMigrations) == JobStore::kSchema);

constexpr const char* kFileColumns = "id, owner, filename, purpose, bytes, created_at";

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
  for (const char* room : {"/files", "/uploads", "/ledgers"}) {
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
  std::random_device random;
  return fmt::format("{}{:08x}{:08x}{:08x}", prefix, random(), random(), random());
}

JobStore::JobStore(std::string folder) : folder_(std::move(folder)), database_(made(folder_)) {
  database_.execute("PRAGMA locking_mode=EXCLUSIVE");
  database_.execute("PRAGMA journal_mode=WAL");
  database_.execute("PRAGMA synchronous=FULL; PRAGMA temp_store=FILE");
  database_.execute("BEGIN EXCLUSIVE; COMMIT");
  migrate();
  clean_up();
}

bool JobStore::exists(const std::string& folder) {
  std::error_code none;
  return fs::exists(database_path(folder), none);
}

void JobStore::migrate() {
  const int schema = number_in<int>(database_.value_of("PRAGMA user_version")).value_or(0);
  if (schema > kSchema) {
    throw LedgerError(
        fmt::format("{} was written by a newer batchproxy (schema {}, this one knows {}): use that",
                    folder_, schema, kSchema));
  }
  for (int next = schema; next < kSchema; ++next) {
    database_.execute(
        fmt::format("BEGIN; {} PRAGMA user_version={}; COMMIT", kMigrations[next], next + 1)
            .c_str());
  }
}

// Uploads that never ended, and files that have no row because of a crash in between.
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
}

std::string JobStore::path(std::string_view room, std::string_view id) const {
  return fmt::format("{}/{}/{}", folder_, room, id);
}

void JobStore::add_file(const StoredFile& file) {
  put_in_place(upload_path(file.id), file_path(file.id));
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
