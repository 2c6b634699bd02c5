// proxy/jobs/record_store.cc - see record_store.h.
#include "proxy/jobs/record_store.h"

#include <optional>

#include "configs/text/number.h"
#include "proxy/jobs/answer_packing.h"

namespace batchproxy {

namespace {

constexpr const char* kMigrations[] = {
    R"(CREATE TABLE recorded (
         id INTEGER PRIMARY KEY,
         owner TEXT NOT NULL,
         job TEXT NOT NULL,
         hash BLOB NOT NULL,
         answer BLOB NOT NULL,
         content_type TEXT NOT NULL,
         backend TEXT NOT NULL,
         batch INTEGER NOT NULL,
         batch_prompts INTEGER NOT NULL,
         attempts INTEGER NOT NULL,
         apportioned INTEGER NOT NULL,
         recorded_ms INTEGER NOT NULL) STRICT;
       CREATE UNIQUE INDEX recorded_by_key ON recorded (owner, job, hash);)",
};

}  // namespace

RecordStore::RecordStore(const std::string& path)
    : database_(path, kMigrations),
      find_(database_,
            "SELECT answer, content_type, backend, batch, batch_prompts, attempts, apportioned "
            "FROM recorded WHERE owner = ?1 AND job = ?2 AND hash = ?3"),
      insert_(database_,
              "INSERT INTO recorded (owner, job, hash, answer, content_type, backend, batch, "
              "batch_prompts, attempts, apportioned, recorded_ms) "
              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
              "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)) ON CONFLICT DO NOTHING"),
      count_(database_, "SELECT count(*) FROM recorded WHERE owner = ?1 AND job = ?2") {}

RecordedPtr RecordStore::find(const RecordKey& key) {
  find_.reset();
  find_.bind(1, key.owner).bind(2, key.job).bind_bytes(3, key.hash);
  if (!find_.step()) return nullptr;
  std::optional<std::string> body = unpack_answer(find_.bytes(0));
  if (!body) return nullptr;  // damaged: it is asked for again
  Recorded recorded;
  recorded.body = *std::move(body);
  recorded.content_type = find_.bytes(1);
  recorded.backend = find_.bytes(2);
  recorded.batch = static_cast<std::uint64_t>(find_.number(3));
  recorded.batch_prompts = static_cast<std::uint32_t>(find_.number(4));
  recorded.attempts = static_cast<unsigned>(find_.number(5));
  recorded.apportioned_usage = find_.number(6) != 0;
  find_.reset();
  return std::make_shared<const Recorded>(std::move(recorded));
}

void RecordStore::add(const std::vector<std::pair<RecordKey, RecordedPtr>>& answers) {
  Transaction transaction(database_);
  insert_.reset();  // of what may have failed before
  for (const auto& [key, recorded] : answers) {
    const std::string packed = pack_answer(recorded->body);
    insert_.bind(1, key.owner).bind(2, key.job).bind_bytes(3, key.hash).bind_bytes(4, packed);
    insert_.bind(5, recorded->content_type).bind(6, recorded->backend);
    insert_.bind(7, static_cast<std::int64_t>(recorded->batch));
    insert_.bind(8, static_cast<std::int64_t>(recorded->batch_prompts));
    insert_.bind(9, static_cast<std::int64_t>(recorded->attempts));
    insert_.bind(10, static_cast<std::int64_t>(recorded->apportioned_usage));
    insert_.run();
  }
  transaction.commit();
}

std::int64_t RecordStore::count(std::string_view owner, std::string_view job) {
  count_.reset();
  count_.bind(1, owner).bind(2, job);
  const std::int64_t count = count_.step() ? count_.number(0) : 0;
  count_.reset();
  return count;
}

std::int64_t RecordStore::prune(std::int64_t ms) {
  Statement drop(database_, "DELETE FROM recorded WHERE recorded_ms < ?1");
  drop.bind(1, ms).run();
  const std::int64_t rows =
      number_in<std::int64_t>(database_.value_of("SELECT changes()")).value_or(0);
  if (rows > 0) database_.execute("VACUUM");
  return rows;
}

}  // namespace batchproxy
