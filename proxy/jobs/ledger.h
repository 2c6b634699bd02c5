// proxy/jobs/ledger.h - Ledger: what has become of every question of a job, in one SQLite file that
// survives any crash.
//
// A row for each item, by its key. An item waits, is answered or has failed; its answer is kept
// packed (answer_packing.h). What record() has returned from is on disk: WAL and synchronous=FULL,
// one transaction a call, so callers hand over many outcomes at once. The file is locked for as
// long as the Ledger lives; meanwhile others may look.
//
// Each run reads its question file once into the ledger (Reading). Only items of the last reading
// count: a question that has left the file keeps its row, and has its answer when it comes back.
//
// Memory: a few MiB, however many items. Every function throws LedgerError, a sentence for people.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/jobs/sqlite.h"

namespace batchproxy {

// The numbers are in files: never change one.
enum class ItemState { kWaiting = 0, kAnswered = 1, kFailed = 2 };

// What came of one item.
struct ItemOutcome {
  std::string key{};
  ItemState state = ItemState::kAnswered;
  int attempts = 1;
  unsigned status = 0;   // HTTP; 0: no answer came
  std::string answer{};  // the body, or what went wrong
  std::string backend{};
  std::string batch{};        // x-batchproxy-batch
  std::int64_t asked_ms = 0;  // since 1970
  std::int64_t answered_ms = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
};

// An item as walk() shows it.
struct LedgerItem {
  std::int64_t position = 0;  // its line in the question file
  ItemOutcome outcome{};
};

struct LedgerCounts {
  std::int64_t waiting = 0;
  std::int64_t answered = 0;
  std::int64_t failed = 0;

  std::int64_t all() const { return waiting + answered + failed; }
};

// What a whole job has come to.
struct LedgerSummary {
  LedgerCounts counts{};
  std::int64_t forgotten = 0;  // rows of questions that have left the file
  std::int64_t tries = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t first_asked_ms = 0;  // since 1970; 0: nothing yet
  std::int64_t last_answered_ms = 0;
  std::map<std::string, std::int64_t> by_backend{};      // answers
  std::map<std::int64_t, std::int64_t> failed_status{};  // failed items by HTTP status
};

class Ledger {
 public:
  // Opens or makes the ledger. One that is looked at may be another process's: user() says whose,
  // and what writes throws.
  explicit Ledger(const std::string& path, Database::Access access = Database::Access::kAlone);
  const std::string& user() const { return database_.user(); }

  // One look through the question file, as one transaction: without commit() it never was.
  class Reading {
   public:
    explicit Reading(Ledger& ledger);
    ~Reading();
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

    // Notes a question. One whose hash is another than before loses its answer: it is another
    // question. The position of the first when this reading has met the key before.
    std::optional<std::int64_t> note(std::string_view key, std::string_view hash,
                                     std::int64_t position);
    // Answers that are lost with it, since their questions are others now.
    std::int64_t lost() const { return lost_; }
    // Failed items wait again.
    void retry_failed();
    void commit();

   private:
    Ledger& ledger_;
    const std::int64_t number_;
    std::int64_t lost_ = 0;
    bool open_ = true;
  };

  // Of an item of the last reading; nothing when there is none of that key.
  std::optional<ItemState> state_of(std::string_view key);

  // All of them, on disk when it returns. An outcome of an unknown key, or of one that is answered,
  // changes nothing: the first answer counts.
  void record(const std::vector<ItemOutcome>& outcomes);

  // The items from `position` on, in the order of the question file, until `visit` says false.
  void walk(std::int64_t position, const std::function<bool(const LedgerItem&)>& visit);

  LedgerCounts counts();
  LedgerSummary summary();

  // The item of the last reading with this key, if it is this question.
  std::optional<LedgerItem> find(std::string_view key, std::string_view hash);

  // Drops the rows of questions that have left the file, and gives their place back to the disk.
  std::int64_t prune();

  // A word about the whole job, such as its model; "" when nothing is remembered.
  std::string remembered(std::string_view name);
  void remember(std::string_view name, std::string_view value);

  // For tests, which make its disk full.
  Database& database() { return database_; }

 private:
  LedgerItem item_in(const Statement& select) const;

  const bool died_;  // whoever had it before
  Database database_;
  std::int64_t reading_ = 0;  // number of the last one
  std::optional<Statement> find_;
  std::optional<Statement> insert_;
  std::optional<Statement> update_;
  std::optional<Statement> finish_;
};

// The whole body's SHA-256: 32 bytes.
std::string hash_of_body(std::string_view body);

}  // namespace batchproxy
