// proxy/batches/batch_service.cc - see batch_service.h.
#include "proxy/batches/batch_service.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include "proxy/batches/batch_runs.h"
#include "proxy/batches/batches_api.h"
#include "proxy/batches/bulk_run.h"
#include "proxy/files/files_api.h"
#include "proxy/files/job_store.h"
#include "proxy/files/service_exchange.h"
#include "proxy/files/wall_clock.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMostExchanges = 256;  // at once
constexpr std::size_t kFewest = 32;          // requests of a batch at once
// A batch's requests may wait for as long as batchproxy.max_request_timeout allows.
constexpr std::chrono::seconds kLongestAnswer(604800);
constexpr Duration kDrainLook = std::chrono::milliseconds(10);

Error unavailable(std::string why) {
  return {Errc::kJobsUnavailable, "Files and batches cannot be used: " + std::move(why) + "."};
}

// It is taken to go on as it has gone since it began.
JobSnapshot describe_job(const StoredBatch& batch) {
  JobSnapshot job;
  job.id = batch.id;
  job.status = describe(batch.status).word;
  job.total = static_cast<std::uint64_t>(batch.counts.total);
  job.failed = static_cast<std::uint64_t>(batch.counts.failed);
  job.done = static_cast<std::uint64_t>(batch.counts.completed + batch.counts.failed);
  const auto took = static_cast<double>(seconds_now() - batch.in_progress_at);
  if (batch.status == BatchStatus::kInProgress && job.done > 0 && batch.in_progress_at > 0) {
    job.eta = took * static_cast<double>(job.total - job.done) / static_cast<double>(job.done);
  }
  return job;
}

void report(std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    spdlog::error("internal error in a request about files or batches: {}", exception.what());
  }
}

}  // namespace

// What lives on the service's thread.
class BatchService::Desk {
 public:
  Desk(asio::io_context& io, Setup setup) : io_(io), setup_(std::move(setup)) {}

  void begin(Url url) {
    url_ = std::move(url);
    if (setup_.directory.empty() || !JobStore::exists(setup_.directory)) return;
    if (const auto why = open()) spdlog::warn("files and batches cannot be used: {}", *why);
  }

  void drain() {
    draining_ = true;
    if (open_) open_->runs.drain();
    for (BulkRun* run : bulks_) run->stop();
  }
  std::vector<JobSnapshot> jobs() const {
    std::vector<JobSnapshot> jobs;
    if (!open_) return jobs;
    for (const StoredBatch& batch : open_->runs.all()) jobs.push_back(describe_job(batch));
    return jobs;
  }
  void let_go() {
    if (open_) open_->runs.let_go();
  }
  bool drained() const { return exchanges_.empty() && (!open_ || open_->runs.idle()); }
  void close_all() {
    for (ServiceExchange* exchange : exchanges_) exchange->cut();
  }

  Task<void> serve(HandedOver over) {
    ServiceExchange exchange(io_, std::move(over), setup_.stall);
    exchanges_.insert(&exchange);
    const bool read = co_await exchange.read_head();
    if (read) co_await answer(exchange);
    co_await exchange.close();
    exchanges_.erase(&exchange);
  }

 private:
  struct Open {
    Open(asio::io_context& io, const Setup& setup, BatchRuns::SettingsFor settings)
        : store(setup.directory),
          files(store, setup.max_bytes),
          runs(io, store, std::move(settings)),
          batches(store, runs) {}
    JobStore store;
    FilesApi files;
    BatchRuns runs;
    BatchesApi batches;
  };

  // Lets go of a ledger, however its run ends.
  struct Release {
    std::set<std::string>& held;
    const std::string& ledger;
    ~Release() { held.erase(ledger); }
  };

  // Nothing when the store is open, or why it is not.
  std::optional<std::string> open() {
    if (open_) return std::nullopt;
    if (setup_.directory.empty()) return "neither batchproxy.jobs.directory nor HOME is set";
    try {
      open_ = std::make_unique<Open>(io_, setup_,
                                     [this](const StoredBatch& batch, std::size_t running) {
                                       return settings_for(batch.id, running);
                                     });
      if (draining_) open_->runs.drain();
      for (StoredBatch& batch : open_->store.batches_not_over()) {
        open_->runs.add(std::move(batch));
      }
    } catch (const LedgerError& error) {
      return error.what();
    }
    return std::nullopt;
  }

  Task<void> answer(ServiceExchange& exchange) {
    std::optional<Error> error;
    if (draining_) error = error_of(Errc::kShuttingDown);
    if (exchanges_.size() > kMostExchanges) error = error_of(Errc::kOverloaded);
    if (!error) {
      if (auto why = open()) error = unavailable(*std::move(why));
    }
    if (error) co_return co_await exchange.reject(*error);
    try {
      if (exchange.path().starts_with("/v1/files")) {
        co_await open_->files.serve(exchange);
      } else if (exchange.path() == "/v1/bulk") {
        co_await bulk(exchange);
      } else {
        co_await open_->batches.serve(exchange);
      }
    } catch (const LedgerError& failure) {
      spdlog::error("{}", failure.what());
      error = unavailable(failure.what());
    }
    if (error) co_await exchange.reject(*error);
  }

  Task<void> bulk(ServiceExchange& exchange) {
    const auto job = query_value(exchange.target(), "job");
    if (job && job->empty()) {
      const Error nameless{Errc::kInvalidRequest,
                           "?job= needs a name: the answers are recorded under it.", "job"};
      co_return co_await exchange.reject(nameless);
    }
    const std::string ledger = job ? open_->store.bulk_path(exchange.owner(), *job) : "";
    if (job && !bulk_ledgers_.insert(ledger).second) {
      co_return co_await exchange.reject(unavailable(
          "the job " + *job + " is under way on another connection; wait for it, or close it"));
    }
    const std::string who = new_id("bulk_");
    const Release release{bulk_ledgers_, ledger};
    BulkRun run(io_, exchange, settings_for(who, bulks_.size()), ledger);
    bulks_.insert(&run);
    try {
      co_await run.run();
    } catch (const LedgerError& error) {
      spdlog::error("{}: {}", who, error.what());  // its client sees that the answer breaks off
    }
    bulks_.erase(&run);
  }

  AskerSettings settings_for(const std::string& who, std::size_t running) const {
    AskerSettings settings;
    settings.url = url_;
    settings.fields = {{std::string(InternalMark::kField), setup_.mark->value_for(who)},
                       {"x-stainless-read-timeout", std::to_string(kLongestAnswer.count())}};
    settings.patience = kLongestAnswer;
    settings.limits.in_flight = std::max(kFewest, setup_.in_flight / (running + 1));
    return settings;
  }

  asio::io_context& io_;
  const Setup setup_;
  Url url_;
  bool draining_ = false;
  std::unique_ptr<Open> open_;
  std::set<BulkRun*> bulks_;
  std::set<std::string> bulk_ledgers_;  // of those
  std::set<ServiceExchange*> exchanges_;
};

BatchService::BatchService(Setup setup) : desk_(std::make_unique<Desk>(io_, std::move(setup))) {}

BatchService::~BatchService() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  desk_->let_go();
}

void BatchService::start(const std::string& host, std::uint16_t port) {
  thread_ = std::thread([this, host, port] {
    const auto guard = asio::make_work_guard(io_);
    desk_->begin({host, std::to_string(port)});
    while (!io_.stopped()) {
      try {
        io_.run();
      } catch (const std::exception& exception) {
        spdlog::error("internal error: {}", exception.what());
      }
    }
  });
}

void BatchService::look_at_jobs() {
  asio::post(io_, [this] {
    std::vector<JobSnapshot> jobs = desk_->jobs();
    const std::lock_guard lock(jobs_mutex_);
    jobs_ = std::move(jobs);
  });
}

std::vector<JobSnapshot> BatchService::jobs() const {
  const std::lock_guard lock(jobs_mutex_);
  return jobs_;
}

void BatchService::drain() {
  asio::post(io_, [this] {
    desk_->drain();
    asio::co_spawn(io_.get_executor(), await_drained(), &report);
  });
}

Task<void> BatchService::await_drained() {
  asio::steady_timer timer(io_);
  while (!desk_->drained()) {
    ErrorCode ignored;
    timer.expires_after(kDrainLook);
    co_await timer.async_wait(asio::redirect_error(use_task, ignored));
  }
  drained_ = true;
}

void BatchService::close_all() {
  asio::post(io_, [this] { desk_->close_all(); });
}

void BatchService::take(HandedOver over) {
  // Not co_spawn() from here: the connection's socket belongs to the service's thread from now on.
  auto shared = std::make_shared<HandedOver>(std::move(over));
  asio::post(io_, [this, shared] {
    asio::co_spawn(io_.get_executor(), desk_->serve(std::move(*shared)), &report);
  });
}

}  // namespace batchproxy
