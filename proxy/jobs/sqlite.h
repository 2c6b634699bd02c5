// proxy/jobs/sqlite.h - Database, Transaction and Statement: SQLite's handles with owners, and its
// errors as sentences.
//
// Threading: confined to one thread at a time, like the ledger that owns them.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace batchproxy {

// Why a ledger cannot be used: a sentence for people, with the file's name and what to do.
class LedgerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Database {
 public:
  // Opens or makes the file. Throws LedgerError.
  explicit Database(std::string path);

  // Locks the file for as long as this lives, and has each commit on disk when it returns. Before
  // any other access. Throws LedgerError.
  void keep_others_out();
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
  const std::string path_;
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
