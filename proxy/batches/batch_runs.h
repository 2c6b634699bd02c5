// proxy/batches/batch_runs.h - BatchRuns: which batches run now, and which wait for their turn.
//
// Threading: confined to the service's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/batches/batch_run.h"
#include "proxy/files/job_store.h"

namespace batchproxy {

class BatchRuns {
 public:
  static constexpr std::size_t kMost = 8;         // at once
  static constexpr std::size_t kMostOfOwner = 4;  // of these

  // How the items of a batch are asked, while `running` others are.
  using SettingsFor = std::function<AskerSettings(const StoredBatch&, std::size_t running)>;

  // `store` must outlive it.
  BatchRuns(asio::io_context& io, JobStore& store, SettingsFor settings);
  ~BatchRuns();

  // A batch that is not over, new or from an earlier process.
  void add(StoredBatch batch);
  // False when it is over already.
  bool cancel(std::string_view id);
  // As it is at this moment; nothing when it is over.
  std::optional<StoredBatch> find(std::string_view id) const;

  // All that are not over, as they are at this moment; those that run first.
  std::vector<StoredBatch> all() const;

  // Asks nothing more.
  void drain();
  bool idle() const { return running_.empty(); }
  // Before the loop goes, which no timer may outlive. Runs under way go with it.
  void let_go();

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock,
                                 asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;
  void admit();
  bool has_room_for(const std::string& owner) const;
  Task<void> run(std::shared_ptr<BatchRun> run);
  void try_again_later(StoredBatch batch);

  asio::io_context& io_;
  JobStore& store_;
  const SettingsFor settings_;
  std::optional<Timer> again_;
  std::deque<StoredBatch> waiting_;
  std::set<std::string, std::less<>> resting_;  // of those, until again_; by id
  std::map<std::string, std::shared_ptr<BatchRun>, std::less<>> running_;  // by id
  bool draining_ = false;
};

}  // namespace batchproxy
