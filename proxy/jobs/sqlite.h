// proxy/jobs/sqlite.h - Database, Transaction and Statement: SQLite's handles with owners, and its
// errors as sentences.
//
// Threading: confined to one thread at a time, like the ledger that owns them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "backends/net/descriptor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace batchproxy {

// Why a ledger cannot be used: a sentence for people, with the file's name and what to do.
class LedgerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Migrations[n] brings a file of schema n to n + 1: SQL that only adds. Never change one.
using Migrations = std::span<const char* const>;

class Database {
 public:
  enum class Access {
    kAlone,  // other processes are kept out, by a lock that the kernel takes back from the dead
    kLook,   // the same where the lock is free, else only reads, beside the process that has it
  };

  // A process opens a file once at a time: SQLite's locks are the process's, and any close of the
  // file drops them.

  // Opens or makes the file, with the schema of the last of `migrations`. Each commit is on disk
  // when it returns. Throws LedgerError.
  Database(std::string path, Migrations migrations, Access access = Access::kAlone);

  // Who has the file when we only look, such as "process 1234"; "" when we have it.
  const std::string& user() const { return user_; }

  // One or more statements without results. Throws LedgerError.
  void execute(const char* sql);
  // The first column of the first row; "" when there is none. Throws LedgerError.
  std::string value_of(const char* sql);

  sqlite3* handle() const { return handle_.get(); }
  // Throws the LedgerError for SQLite's result `code`.
  [[noreturn]] void fail(int code) const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  void open(int flags);
  bool logs_for_readers();
  void write_ahead();
  void migrate(Migrations migrations);

  const std::string path_;
  Descriptor lock_;  // goes last: closing it drops all locks that this process has on the file
  std::string user_;
  std::unique_ptr<sqlite3, Close> handle_;
};

// What is written between its beginning and commit() is on disk then; without commit() it never
// was.
class Transaction {
 public:
  // Throws LedgerError, as commit() does.
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

// A prepared statement. Bind from 1 on, step, read columns from 0 on; reset() before the next use.
// Bound texts must live until then.
class Statement {
 public:
  Statement(Database& database, const char* sql);

  Statement& bind(int at, std::int64_t value);
  Statement& bind(int at, std::string_view text);
  Statement& bind_bytes(int at, std::string_view bytes);
  // Whether there is a row. Throws LedgerError.
  bool step();
  // step() for a statement without rows, and reset().
  void run();
  void reset();

  std::int64_t number(int column) const;
  // Valid until the next step() or reset().
  std::string_view bytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

}  // namespace batchproxy
