// proxy/batches/batch_service.cc - see batch_service.h.
#include "proxy/batches/batch_service.h"

#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "proxy/batches/files_api.h"
#include "proxy/batches/job_store.h"
#include "proxy/batches/service_exchange.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMostExchanges = 256;  // at once

Error unavailable(std::string why) {
  return {Errc::kJobsUnavailable, "Files and batches cannot be used: " + std::move(why) + "."};
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

  void begin() {
    if (setup_.directory.empty() || !JobStore::exists(setup_.directory)) return;
    if (const auto why = open()) spdlog::warn("files and batches cannot be used: {}", *why);
  }

  Task<void> serve(HandedOver over) {
    ServiceExchange exchange(io_, std::move(over), setup_.stall);
    ++exchanges_;
    const bool read = co_await exchange.read_head();
    if (read) co_await answer(exchange);
    co_await exchange.close();
    --exchanges_;
  }

 private:
  struct Open {
    explicit Open(const Setup& setup) : store(setup.directory), files(store, setup.max_bytes) {}
    JobStore store;
    FilesApi files;
  };

  // Nothing when the store is open, or why it is not.
  std::optional<std::string> open() {
    if (open_) return std::nullopt;
    if (setup_.directory.empty()) return "neither batchproxy.jobs.directory nor HOME is set";
    try {
      open_ = std::make_unique<Open>(setup_);
    } catch (const LedgerError& error) {
      return error.what();
    }
    return std::nullopt;
  }

  Task<void> answer(ServiceExchange& exchange) {
    std::optional<Error> error;
    if (exchanges_ > kMostExchanges) error = error_of(Errc::kOverloaded);
    if (!error) {
      if (auto why = open()) error = unavailable(*std::move(why));
    }
    if (error) co_return co_await exchange.reject(*error);
    try {
      co_await open_->files.serve(exchange);
    } catch (const LedgerError& failure) {
      spdlog::error("{}", failure.what());
      error = unavailable(failure.what());
    }
    if (error) co_await exchange.reject(*error);
  }

  asio::io_context& io_;
  const Setup setup_;
  std::unique_ptr<Open> open_;
  std::size_t exchanges_ = 0;
};

BatchService::BatchService(Setup setup) : desk_(std::make_unique<Desk>(io_, std::move(setup))) {}

BatchService::~BatchService() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

void BatchService::start() {
  thread_ = std::thread([this] {
    const auto guard = asio::make_work_guard(io_);
    desk_->begin();
    while (!io_.stopped()) {
      try {
        io_.run();
      } catch (const std::exception& exception) {
        spdlog::error("internal error: {}", exception.what());
      }
    }
  });
}

void BatchService::take(HandedOver over) {
  // Not co_spawn() from here: the connection's socket belongs to the service's thread from now on.
  auto shared = std::make_shared<HandedOver>(std::move(over));
  asio::post(io_, [this, shared] {
    asio::co_spawn(io_.get_executor(), desk_->serve(std::move(*shared)), &report);
  });
}

}  // namespace batchproxy
