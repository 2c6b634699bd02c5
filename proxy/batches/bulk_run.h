// proxy/batches/bulk_run.h - BulkRun: one POST /v1/bulk: lines of requests in, lines of answers out
// as they come, on one connection and in bounded memory.
//
// A client that takes no answers is sent no further ones, and then none of its lines are read; one
// that closes the connection has its requests cancelled. With a ledger, what was answered once is
// answered from it.
//
// Threading: confined to the service's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <boost/asio/basic_waitable_timer.hpp>

#include "proxy/files/service_exchange.h"
#include "proxy/jobs/asker.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

class BulkRun {
 public:
  // `exchange` must outlive it. `ledger`: the path of a durable run's; empty: none. Throws
  // LedgerError.
  BulkRun(asio::io_context& io, ServiceExchange& exchange, AskerSettings settings,
          const std::string& ledger);
  ~BulkRun();
  BulkRun(const BulkRun&) = delete;
  BulkRun& operator=(const BulkRun&) = delete;

  // Answers the request. Throws LedgerError.
  Task<void> run();
  // Nothing more is asked: the answer breaks off, so that its client knows.
  void stop();

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock,
                                 asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;

  Task<void> read();
  Task<void> write();
  Task<void> wait(Timer& timer, Duration most);
  void split(std::vector<Question>& questions);
  void take_line(std::string_view line, std::vector<Question>& questions);
  void admit(std::vector<Question> questions);
  bool give(std::vector<Question>& into, std::size_t at_most);
  void record(const std::vector<ItemOutcome>& outcomes);
  void emit(std::string_view line);
  void refuse(std::string_view why);
  bool has_enough() const;
  void leave();

  asio::io_context& io_;
  ServiceExchange& exchange_;
  std::optional<Ledger> ledger_;
  QuestionParser parser_;
  Asker asker_;
  Timer reader_;
  Timer writer_;
  Timer ended_;
  std::string text_;          // of a line that has not come whole
  std::size_t searched_ = 0;  // bytes of it without an end of line
  std::int64_t lines_ = 0;
  std::int64_t written_ = 0;  // lines of answers
  std::deque<Question> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::unordered_set<std::string> keys_;  // of this connection, where a ledger goes by them
  std::string out_;
  int parts_ = 0;         // read() and write() under way
  bool no_more_ = false;  // lines
  bool answered_ = false;
  bool broken_ = false;  // not all lines were taken, and the client must see that
  bool gone_ = false;    // the client, or the run was stopped
};

}  // namespace batchproxy
