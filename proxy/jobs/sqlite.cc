// proxy/jobs/sqlite.cc - see sqlite.h.
#include "proxy/jobs/sqlite.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace batchproxy {

namespace {

// " by process 1234" where the kernel tells. Read, and not asked with fcntl(): a process that opens
// and closes a file loses the locks that it has on it itself.
std::string holder_of(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return "";
  const std::string place =
      fmt::format(" {:02x}:{:02x}:{} ", major(file.st_dev), minor(file.st_dev), file.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    const std::size_t at = line.find(place);
    if (at == std::string::npos) continue;
    const std::size_t before = line.rfind(' ', at - 1);
    return fmt::format(" by process {}", line.substr(before + 1, at - before - 1));
  }
  return "";
}

std::string system_words(sqlite3* handle) {
  const int number = handle == nullptr ? 0 : sqlite3_system_errno(handle);
  return number == 0 ? "" : std::string(": ") + std::strerror(number);
}

std::string sentence(int code, const std::string& path, sqlite3* handle) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fmt::format(
          "the ledger {} is in use{}: only one process may use it. Wait for that one, or stop it",
          path, holder_of(path));
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return fmt::format(
          "the ledger {} cannot be written{}: its directory must exist and be writable", path,
          system_words(handle));
    case SQLITE_FULL:
      return fmt::format(
          "the disk of the ledger {} is full. Nothing recorded is lost: free space and run again",
          path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fmt::format(
          "the ledger {} is damaged ({}). Restore it from a backup, or move it and the answers "
          "away to begin anew",
          path, sqlite3_errstr(code));
    case SQLITE_IOERR:
      return fmt::format(
          "the disk of the ledger {} fails ({}{}). Nothing recorded is lost: run again once it "
          "works",
          path, sqlite3_errstr(code), system_words(handle));
    default:
      return fmt::format("the ledger {}: {}{}", path,
                         handle == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle),
                         system_words(handle));
  }
}

}  // namespace

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close(handle);
}

Database::Database(std::string path) : path_(std::move(path)) {
  sqlite3* opened = nullptr;
  const int code =
      sqlite3_open_v2(path_.c_str(), &opened,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(opened);
  if (code != SQLITE_OK) fail(code);
  // SQLite opens a file that it may only read without a word.
  if (sqlite3_db_readonly(opened, "main") == 1) fail(SQLITE_READONLY);
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::string Database::value_of(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? std::string(statement.bytes(0)) : "";
}

void Database::fail(int code) const {
  throw LedgerError(sentence(code, path_, handle_.get()));
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void Database::keep_others_out() {
  // Before the first access: then the log needs no shared memory, which not every disk offers.
  execute("PRAGMA locking_mode=EXCLUSIVE");
  execute("PRAGMA journal_mode=WAL");
  execute("PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA temp_store=FILE");
  execute("BEGIN EXCLUSIVE; COMMIT");  // the lock, now and not with the first record
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.execute("BEGIN IMMEDIATE");
}

// What has failed may have rolled back by itself: then there is nothing to do, and no error.
Transaction::~Transaction() {
  if (open_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  sqlite3_stmt* prepared = nullptr;
  const int code = sqlite3_prepare_v2(database.handle(), sql, -1, &prepared, nullptr);
  statement_.reset(prepared);
  if (code != SQLITE_OK) database.fail(code);
}

Statement& Statement::bind(int at, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), at, value);
  return *this;
}

Statement& Statement::bind(int at, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_bytes(int at, std::string_view bytes) {
  sqlite3_bind_blob64(statement_.get(), at, bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    reset();
    database_.fail(code);
  }
  return code == SQLITE_ROW;
}

void Statement::run() {
  step();
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

std::int64_t Statement::number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view Statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr
             ? std::string_view()
             : std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

}  // namespace batchproxy
