// proxy/batches/batch_run.h - BatchRun: one batch, from the look at its lines to its output file.
//
// What has been answered is in the batch's ledger, so a run that was broken off at any moment is
// taken up by another one from the stored batch. The output is written from the ledger at the end:
// each item once.
//
// Threading: confined to the service's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/basic_waitable_timer.hpp>

#include "proxy/batches/batch_intake.h"
#include "proxy/files/job_store.h"
#include "proxy/jobs/asker.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

class BatchRun {
 public:
  // `store` must outlive it. `settings`: where, and with which fields, its items are asked.
  BatchRun(asio::io_context& io, JobStore& store, StoredBatch batch, AskerSettings settings);
  ~BatchRun();
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  // Until the batch is over, or stopped by drain(). Throws what the disk has against it, and then
  // the batch is as it was.
  Task<void> run();
  // Nothing more is asked; what is in flight is answered, and the batch ends as cancelled.
  void cancel();
  // Nothing more is asked; another run goes on with it.
  void drain();

  const StoredBatch& batch() const { return batch_; }

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock,
                                 asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;
  class Input;
  class Output;

  Task<void> validate();
  Task<void> ask();
  Task<void> finalize();
  Task<void> give_way();
  void end_at_expiry();
  void end_asking(BatchStatus outcome);
  bool read_questions(Input& input, std::vector<Question>& into, std::size_t at_most);
  void record(const std::vector<ItemOutcome>& outcomes);
  void count();
  void set(BatchStatus status);
  bool stopped() const { return draining_ || ending_; }

  asio::io_context& io_;
  JobStore& store_;
  StoredBatch batch_;
  AskerSettings settings_;
  std::optional<Ledger> ledger_;
  std::unique_ptr<Asker> asker_;
  Timer expiry_;
  Timer pause_;
  bool draining_ = false;
  bool ending_ = false;  // cancelled or expired
};

}  // namespace batchproxy
