// bench/load/load.h - Load: asks questions by the rules of a closed or an open loop, and keeps what
// came of each.
//
// Closed: so many workers, each with one request at a time. Open: requests are sent when they are
// due, whatever has become of those before; their latencies count from when they were due, so that
// a server that stalls is not asked less while it does (coordinated omission).
//
// Threading: confined to its client's event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "backends/net/waiter.h"
#include "bench/load/arrivals.h"
#include "bench/load/client.h"
#include "bench/load/workload.h"
#include "bench/results/record.h"

namespace batchproxy::bench {

struct LoadOptions {
  std::size_t workers = 32;
  double rate = 0;  // requests a second, in an open loop; 0: a closed one
  Arrivals arrivals = Arrivals::kPoisson;
  std::uint64_t seed = 1;        // of the arrivals
  std::size_t requests = 0;      // 0: each question once, or as many as go into `duration`
  double duration = 0;           // seconds in which requests are sent; 0: until they are all sent
  std::string salt{};            // the first line of every prompt; empty: none
  std::size_t shuffle = 0;       // mix the order within windows of so many requests
  bool distinct_rounds = false;  // each time round, the prompts begin with a line of their own
  bool check_ids =
      false;            // each prompt has a line of its own, which is checked where it comes back
  double give_up = 10;  // seconds without any answer after which a run ends

  // How many requests there will be; nothing: until time is up.
  std::optional<std::size_t> most(std::size_t questions) const;
};

class Load {
 public:
  // `told`: of each request as it ends; may be null. All must outlive the load.
  Load(LoadClient& client, BackendId server, const std::vector<ReadyQuestion>& questions,
       const LoadOptions& options, std::function<void(const RequestResult&)> told);

  // Until all is answered, or stop(). Without the windows and the proxy's counts.
  Task<Repeat> run();
  // Sends no more, and gives up what is under way. `why`: for people.
  void stop(std::string why);

  const std::string& stopped_because() const { return stopped_because_; }

 private:
  Task<void> work();
  Task<void> send_on_time();
  Task<void> send(RequestResult& result);
  Task<void> ask(RequestResult& result);
  void note(const RequestResult& result);
  void leave();
  Repeat take_results();

  LoadClient& client_;
  const BackendId server_;
  const std::vector<ReadyQuestion>& questions_;
  const LoadOptions& options_;
  const std::function<void(const RequestResult&)> told_;
  const std::string nonce_;  // in the ids of this run's requests
  QuestionOrder order_;
  std::deque<RequestResult> results_;  // which others hold references to
  asio::steady_timer timer_;           // of send_on_time()
  Waiter finished_;
  std::size_t running_ = 0;  // coroutines
  std::size_t in_flight_ = 0;
  std::size_t most_in_flight_ = 0;
  double last_heard_ = 0;  // when the last answer of any kind came
  std::string stopped_because_;
  bool stopped_ = false;
};

}  // namespace batchproxy::bench
