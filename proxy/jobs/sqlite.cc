// proxy/jobs/sqlite.cc - see sqlite.h.
#include "proxy/jobs/sqlite.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "configs/text/number.h"

namespace batchproxy {

namespace {

constexpr int kBusyMs = 5000;  // a checkpoint or a recovery of another process takes no longer

// "process 1234" where the kernel tells, else "another process". Read, and not asked with fcntl(),
// which does not know the process of a lock such as ours: SQLite's own beside it tells.
std::string holder_of(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return "another process";
  const std::string place =
      fmt::format(" {:02x}:{:02x}:{} ", major(file.st_dev), minor(file.st_dev), file.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    const std::size_t at = line.find(place);
    if (at == std::string::npos) continue;
    const std::size_t before = line.rfind(' ', at - 1);
    const std::string process = line.substr(before + 1, at - before - 1);
    if (process != "-1") return "process " + process;
  }
  return "another process";
}

// A lock of an open file, on a byte that SQLite locks none of: it lasts until the descriptor is
// closed, and holds against this process, too. Nothing where another one has it.
Descriptor locked(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) {
    throw LedgerError(
        fmt::format("the ledger {} cannot be written: {}: its directory must exist and be writable",
                    path, std::strerror(errno)));
  }
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) == 0) return file;
  if (errno == EAGAIN || errno == EACCES) return Descriptor();
  throw LedgerError(fmt::format("the ledger {} cannot be locked: {}: its disk must have locks",
                                path, std::strerror(errno)));
}

std::string system_words(sqlite3* handle) {
  const int number = handle == nullptr ? 0 : sqlite3_system_errno(handle);
  return number == 0 ? "" : std::string(": ") + std::strerror(number);
}

std::string sentence(int code, const std::string& path, sqlite3* handle) {
  const int trouble = handle == nullptr ? 0 : sqlite3_system_errno(handle);
  const bool no_space = (code & 0xff) == SQLITE_IOERR && (trouble == ENOSPC || trouble == EDQUOT);
  switch (no_space ? SQLITE_FULL : code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fmt::format(
          "the ledger {} is in use by {}: only one process may use it. Wait for that one, or stop "
          "it",
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

Database::Database(std::string path, Migrations migrations, Access access)
    : path_(std::move(path)) {
  const bool is_file = !path_.empty();
  if (is_file) lock_ = locked(path_);
  if (is_file && lock_.get() < 0) {
    if (access == Access::kAlone) fail(SQLITE_BUSY);
    user_ = holder_of(path_);
    open(SQLITE_OPEN_READONLY);
  } else {
    open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    // SQLite opens a file that it may only read without a word.
    if (sqlite3_db_readonly(handle(), "main") == 1) fail(SQLITE_READONLY);
    write_ahead();
  }
  migrate(migrations);
}

void Database::open(int flags) {
  handle_.reset();
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(opened);
  if (code != SQLITE_OK) fail(code);
  sqlite3_busy_timeout(opened, kBusyMs);
}

// Others can read beside us where the disk offers memory that processes share.
bool Database::logs_for_readers() {
  try {
    return value_of("PRAGMA journal_mode=WAL") == "wal" &&
           !value_of("PRAGMA schema_version").empty();
  } catch (const LedgerError&) {
    return false;  // what is wrong beyond that is told by the next try
  }
}

void Database::write_ahead() {
  if (!logs_for_readers()) {
    open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    execute("PRAGMA locking_mode=EXCLUSIVE");  // before any access: then the log needs none
    execute("PRAGMA journal_mode=WAL");
    execute("BEGIN EXCLUSIVE; COMMIT");
  }
  execute("PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA temp_store=FILE");
}

void Database::migrate(Migrations migrations) {
  const int known = static_cast<int>(migrations.size());
  const int schema = number_in<int>(value_of("PRAGMA user_version")).value_or(0);
  if (schema > known) {
    throw LedgerError(fmt::format(
        "the ledger {} was written by a newer batchproxy (schema {}, this one knows {}): use that",
        path_, schema, known));
  }
  if (!user_.empty() && schema < known) fail(SQLITE_BUSY);  // its owner is about to
  for (int next = schema; next < known; ++next) {
    Transaction transaction(*this);
    execute(migrations[static_cast<std::size_t>(next)]);
    execute(fmt::format("PRAGMA user_version={}", next + 1).c_str());
    transaction.commit();
  }
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
