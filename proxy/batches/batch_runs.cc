// proxy/batches/batch_runs.cc - see batch_runs.h.
#include "proxy/batches/batch_runs.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "proxy/files/wall_clock.h"

namespace batchproxy {

namespace {
constexpr Duration kPause = std::chrono::seconds(10);  // after trouble with the disk
}  // namespace

BatchRuns::BatchRuns(asio::io_context& io, JobStore& store, SettingsFor settings)
    : io_(io), store_(store), settings_(std::move(settings)), again_(io.get_executor()) {}

BatchRuns::~BatchRuns() = default;

void BatchRuns::let_go() {
  running_.clear();
  again_.reset();
}

void BatchRuns::add(StoredBatch batch) {
  waiting_.push_back(std::move(batch));
  admit();
}

bool BatchRuns::has_room_for(const std::string& owner) const {
  const auto of_owner = std::ranges::count_if(
      running_, [&](const auto& entry) { return entry.second->batch().owner == owner; });
  return static_cast<std::size_t>(of_owner) < kMostOfOwner;
}

void BatchRuns::admit() {
  while (!draining_ && running_.size() < kMost) {
    const auto next = std::ranges::find_if(waiting_, [this](const StoredBatch& batch) {
      return has_room_for(batch.owner) && !resting_.contains(batch.id);
    });
    if (next == waiting_.end()) return;
    auto started =
        std::make_shared<BatchRun>(io_, store_, *next, settings_(*next, running_.size()));
    running_.emplace(next->id, started);
    waiting_.erase(next);
    // Not from here: a run may end before it first waits.
    asio::post(
        io_, [this, started] { asio::co_spawn(io_.get_executor(), run(started), &end_on_error); });
  }
}

Task<void> BatchRuns::run(std::shared_ptr<BatchRun> run) {
  StoredBatch before = run->batch();
  bool troubled = false;
  try {
    co_await run->run();
  } catch (const std::runtime_error& error) {
    spdlog::error("batch {}: {}. It is tried again in {} s", run->batch().id, error.what(),
                  kPause / std::chrono::seconds(1));
    troubled = true;
  }
  running_.erase(run->batch().id);
  const StoredBatch& batch = run->batch();
  if (describe(batch.status).over) {
    spdlog::info("batch {}: {}, {} of {} requests answered, {} failed", batch.id,
                 describe(batch.status).word, batch.counts.completed, batch.counts.total,
                 batch.counts.failed);
  }
  if (!draining_ && (troubled || !describe(batch.status).over)) {
    before.counts = batch.counts;
    try_again_later(std::move(before));
  } else {
    admit();
  }
}

// As it is on disk: what was not written has not happened. Its counts are those of the ledger.
void BatchRuns::try_again_later(StoredBatch batch) {
  try {
    if (auto stored = store_.batch(batch.id, batch.owner)) {
      stored->counts = batch.counts;
      batch = *std::move(stored);
    }
  } catch (const LedgerError& error) {
    spdlog::error("batch {}: {}", batch.id, error.what());
  }
  resting_.insert(batch.id);
  waiting_.push_back(std::move(batch));
  again_->expires_after(kPause);
  again_->async_wait([this](const ErrorCode& error) {
    if (error) return;
    resting_.clear();
    admit();
  });
  admit();
}

bool BatchRuns::cancel(std::string_view id) {
  if (const auto found = running_.find(id); found != running_.end()) {
    found->second->cancel();
    return true;
  }
  const auto waits = std::ranges::find(waiting_, id, &StoredBatch::id);
  if (waits == waiting_.end()) return false;
  waits->status = BatchStatus::kCancelling;
  waits->outcome = BatchStatus::kCancelled;
  waits->cancelling_at = seconds_now();
  store_.update_batch(*waits);
  return true;
}

std::optional<StoredBatch> BatchRuns::find(std::string_view id) const {
  if (const auto found = running_.find(id); found != running_.end()) return found->second->batch();
  const auto waits = std::ranges::find(waiting_, id, &StoredBatch::id);
  if (waits == waiting_.end()) return std::nullopt;
  return *waits;
}

std::vector<StoredBatch> BatchRuns::all() const {
  std::vector<StoredBatch> all;
  for (const auto& [id, run] : running_) all.push_back(run->batch());
  all.insert(all.end(), waiting_.begin(), waiting_.end());
  return all;
}

void BatchRuns::drain() {
  draining_ = true;
  again_->cancel();
  for (const auto& [id, run] : running_) run->drain();
}

}  // namespace batchproxy
