// proxy/jobs/ledger.cc - see ledger.h.
#include "proxy/jobs/ledger.h"

#include <array>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sqlite3.h>

#include "configs/text/number.h"
#include "proxy/jobs/answer_packing.h"

namespace batchproxy {

namespace {

constexpr const char* kMigrations[] = {
    R"(CREATE TABLE words (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
       CREATE TABLE items (
         id INTEGER PRIMARY KEY,
         key TEXT NOT NULL UNIQUE,
         hash BLOB NOT NULL,
         position INTEGER NOT NULL,
         reading INTEGER NOT NULL,
         state INTEGER NOT NULL DEFAULT 0,
         attempts INTEGER NOT NULL DEFAULT 0,
         status INTEGER NOT NULL DEFAULT 0,
         answer BLOB,
         backend TEXT NOT NULL DEFAULT '',
         asked_ms INTEGER NOT NULL DEFAULT 0,
         answered_ms INTEGER NOT NULL DEFAULT 0,
         prompt_tokens INTEGER NOT NULL DEFAULT 0,
         completion_tokens INTEGER NOT NULL DEFAULT 0,
         batch TEXT NOT NULL DEFAULT '') STRICT;
       CREATE INDEX items_by_position ON items (reading, position);)",
};
// The columns as item_in() reads them.
constexpr std::string_view kSelectItems =
    "SELECT position, key, state, attempts, status, answer, backend, asked_ms, answered_ms,"
    " prompt_tokens, completion_tokens, batch FROM items";

constexpr std::string_view kReading = "reading";

// Only a process that has died leaves a log behind.
bool has_log(const std::string& path) {
  std::error_code none;
  const auto size = std::filesystem::file_size(path + "-wal", none);
  return !none && size > 0;
}

}  // namespace

Ledger::Ledger(const std::string& path, Database::Access access)
    : died_(has_log(path)), database_(path, kMigrations, access) {
  if (died_ && user().empty() && database_.value_of("PRAGMA quick_check(1)") != "ok") {
    database_.fail(SQLITE_CORRUPT);
  }
  find_.emplace(database_, "SELECT hash, position, reading, state FROM items WHERE key = ?1");
  insert_.emplace(database_,
                  "INSERT INTO items (key, hash, position, reading) VALUES (?1, ?2, ?3, ?4)");
  update_.emplace(database_,
                  "UPDATE items SET hash = ?2, position = ?3, reading = ?4, state = ?5, "
                  "answer = CASE ?5 WHEN 0 THEN NULL ELSE answer END WHERE key = ?1");
  finish_.emplace(database_,
                  "UPDATE items SET state = ?2, attempts = attempts + ?3, status = ?4, answer = ?5,"
                  " backend = ?6, asked_ms = ?7, answered_ms = ?8, prompt_tokens = ?9,"
                  " completion_tokens = ?10, batch = ?11 WHERE key = ?1 AND state <> 1");
  reading_ = number_in<std::int64_t>(remembered(kReading)).value_or(0);
}

Ledger::Reading::Reading(Ledger& ledger) : ledger_(ledger), number_(ledger.reading_ + 1) {
  ledger_.database_.execute("BEGIN IMMEDIATE");
}

Ledger::Reading::~Reading() {
  if (open_) sqlite3_exec(ledger_.database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

std::optional<std::int64_t> Ledger::Reading::note(std::string_view key, std::string_view hash,
                                                  std::int64_t position) {
  Statement& find = ledger_.find_->bind(1, key);
  if (!find.step()) {
    find.reset();
    ledger_.insert_->bind(1, key).bind_bytes(2, hash).bind(3, position).bind(4, number_).run();
    return std::nullopt;
  }
  const bool same = find.bytes(0) == hash;
  const std::int64_t before = find.number(1);
  const bool met = find.number(2) == number_;
  const std::int64_t was = find.number(3);
  const std::int64_t state = same ? was : 0;
  find.reset();
  if (met) return before;
  if (!same && was == static_cast<std::int64_t>(ItemState::kAnswered)) ++lost_;
  ledger_.update_->bind(1, key).bind_bytes(2, hash).bind(3, position).bind(4, number_);
  ledger_.update_->bind(5, state).run();
  return std::nullopt;
}

void Ledger::Reading::retry_failed() {
  Statement statement(ledger_.database_,
                      "UPDATE items SET state = 0, answer = NULL WHERE state = 2 AND reading = ?1");
  statement.bind(1, number_).run();
}

void Ledger::Reading::commit() {
  ledger_.remember(kReading, std::to_string(number_));
  ledger_.database_.execute("COMMIT");
  open_ = false;
  ledger_.reading_ = number_;
}

std::optional<ItemState> Ledger::state_of(std::string_view key) {
  Statement& find = find_->bind(1, key);
  std::optional<ItemState> state;
  if (find.step() && find.number(2) == reading_) state = static_cast<ItemState>(find.number(3));
  find.reset();
  return state;
}

void Ledger::record(const std::vector<ItemOutcome>& outcomes) {
  if (outcomes.empty()) return;
  Transaction transaction(database_);
  for (const ItemOutcome& outcome : outcomes) {
    const std::string packed = pack_answer(outcome.answer);
    finish_->bind(1, outcome.key)
        .bind(2, static_cast<std::int64_t>(outcome.state))
        .bind(3, std::int64_t{outcome.attempts})
        .bind(4, std::int64_t{outcome.status})
        .bind_bytes(5, packed)
        .bind(6, outcome.backend)
        .bind(7, outcome.asked_ms)
        .bind(8, outcome.answered_ms)
        .bind(9, outcome.prompt_tokens)
        .bind(10, outcome.completion_tokens)
        .bind(11, outcome.batch)
        .run();
  }
  transaction.commit();
}

LedgerItem Ledger::item_in(const Statement& select) const {
  LedgerItem item;
  ItemOutcome& outcome = item.outcome;
  item.position = select.number(0);
  outcome.key = select.bytes(1);
  outcome.state = static_cast<ItemState>(select.number(2));
  outcome.attempts = static_cast<int>(select.number(3));
  outcome.status = static_cast<unsigned>(select.number(4));
  if (outcome.state != ItemState::kWaiting) {
    auto answer = unpack_answer(select.bytes(5));
    if (!answer) database_.fail(SQLITE_CORRUPT);
    outcome.answer = *std::move(answer);
  }
  outcome.backend = select.bytes(6);
  outcome.asked_ms = select.number(7);
  outcome.answered_ms = select.number(8);
  outcome.prompt_tokens = select.number(9);
  outcome.completion_tokens = select.number(10);
  outcome.batch = select.bytes(11);
  return item;
}

void Ledger::walk(std::int64_t position, const std::function<bool(const LedgerItem&)>& visit) {
  const std::string sql =
      std::string(kSelectItems) + " WHERE reading = ?1 AND position >= ?2 ORDER BY position";
  Statement select(database_, sql.c_str());
  select.bind(1, reading_).bind(2, position);
  while (select.step()) {
    if (!visit(item_in(select))) return;
  }
}

std::optional<LedgerItem> Ledger::find(std::string_view key, std::string_view hash) {
  const std::string sql =
      std::string(kSelectItems) + " WHERE reading = ?1 AND key = ?2 AND hash = ?3";
  Statement select(database_, sql.c_str());
  select.bind(1, reading_).bind(2, key).bind_bytes(3, hash);
  if (!select.step()) return std::nullopt;
  return item_in(select);
}

LedgerSummary Ledger::summary() {
  LedgerSummary summary;
  summary.counts = counts();
  Statement sums(database_,
                 "SELECT total(attempts), total(prompt_tokens), total(completion_tokens),"
                 " ifnull(min(nullif(asked_ms, 0)), 0), ifnull(max(answered_ms), 0),"
                 " (SELECT count(*) FROM items WHERE reading <> ?1)"
                 " FROM items WHERE reading = ?1");
  sums.bind(1, reading_);
  if (sums.step()) {
    summary.tries = sums.number(0);
    summary.prompt_tokens = sums.number(1);
    summary.completion_tokens = sums.number(2);
    summary.first_asked_ms = sums.number(3);
    summary.last_answered_ms = sums.number(4);
    summary.forgotten = sums.number(5);
  }
  Statement backends(database_,
                     "SELECT backend, count(*) FROM items WHERE reading = ?1 AND state = 1"
                     " GROUP BY backend");
  backends.bind(1, reading_);
  while (backends.step()) {
    summary.by_backend[std::string(backends.bytes(0))] = backends.number(1);
  }
  Statement failed(database_,
                   "SELECT status, count(*) FROM items WHERE reading = ?1 AND state = 2"
                   " GROUP BY status");
  failed.bind(1, reading_);
  while (failed.step()) summary.failed_status[failed.number(0)] = failed.number(1);
  return summary;
}

std::int64_t Ledger::prune() {
  const std::int64_t rows = summary().forgotten;
  Statement drop(database_, "DELETE FROM items WHERE reading <> ?1");
  drop.bind(1, reading_).run();
  database_.execute("VACUUM");
  return rows;
}

LedgerCounts Ledger::counts() {
  Statement select(database_,
                   "SELECT state, count(*) FROM items WHERE reading = ?1 GROUP BY state");
  select.bind(1, reading_);
  LedgerCounts counts;
  while (select.step()) {
    switch (static_cast<ItemState>(select.number(0))) {
      case ItemState::kWaiting:
        counts.waiting = select.number(1);
        break;
      case ItemState::kAnswered:
        counts.answered = select.number(1);
        break;
      case ItemState::kFailed:
        counts.failed = select.number(1);
        break;
    }
  }
  return counts;
}

std::string Ledger::remembered(std::string_view name) {
  Statement select(database_, "SELECT value FROM words WHERE name = ?1");
  select.bind(1, name);
  return select.step() ? std::string(select.bytes(0)) : "";
}

void Ledger::remember(std::string_view name, std::string_view value) {
  Statement insert(database_, "INSERT OR REPLACE INTO words VALUES (?1, ?2)");
  insert.bind(1, name).bind(2, value).run();
}

std::string hash_of_body(std::string_view body) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(body.data(), body.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw LedgerError("SHA-256 is not to be had from this OpenSSL");
  }
  return {reinterpret_cast<const char*>(digest.data()), size};
}

}  // namespace batchproxy
