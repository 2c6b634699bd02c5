// bench/load/client.h - LoadClient: asks servers over kept connections, and notes when what came.
// It is made of the proxy's own calls to engines, so that it costs little itself.
//
// Threading: its event loop runs on the thread that calls run().
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "backends/call/connection_pool.h"
#include "backends/call/upstream_call.h"
#include "backends/net/buffer.h"
#include "backends/net/deadline.h"
#include "backends/net/poller.h"
#include "bench/load/workload.h"
#include "bench/results/request_result.h"

namespace batchproxy::bench {

// An answer to a GET, or to a POST without a body. Status 0: there is none, and `body` is a
// sentence that says why.
struct PageReply {
  unsigned status = 0;
  std::string body{};
};

// What differs from one request to the next.
struct RequestWords {
  std::string_view salt{};        // see ReadyQuestion::body(), as are these two
  std::string_view id_line{};     // and what an echo must hold
  std::string_view id{};          // in that line, unescaped; empty: there is none
  std::string_view request_id{};  // its x-request-id, which is checked if the answer has one, too
};

class LoadClient {
 public:
  // `timeout`: for a whole answer, and for each piece of a stream.
  explicit LoadClient(Duration timeout);
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;

  // A server that can be asked, by the number that it returns. `url` may end in /v1. Throws
  // std::runtime_error with a sentence when the URL is none, or its name leads nowhere.
  BackendId add_server(const std::string& url, const std::string& api_key,
                       const std::string& ca_file);
  std::string url_of(BackendId server) const { return connections_.endpoint(server)->url(); }

  asio::io_context& io() { return io_; }
  // Runs the event loop until `task` has ended. What it throws leaves here.
  void run(Task<void> task);
  // Seconds since the clock was last set.
  double now() const;
  void set_clock();
  TimePoint moment(double seconds) const;

  Task<PageReply> get(BackendId server, std::string path);
  Task<PageReply> post(BackendId server, std::string path);
  // Asks, and notes all but when it was due.
  Task<void> ask(BackendId server, const ReadyQuestion& question, RequestWords words,
                 RequestResult& result);

  // Ends all calls under way: their problem is "aborted".
  void hang_up();
  std::size_t in_flight() const { return calls_.size(); }

 private:
  class Listed;
  UpstreamCall::Resources resources();
  Task<PageReply> exchange(BackendId server, std::string_view method, std::string path);
  Task<CallFailure> read_stream(UpstreamCall& call, RequestResult& result);
  Task<CallFailure> read_body(UpstreamCall& call, RequestResult& result);

  const Duration timeout_;
  http::ResponseHead head_;
  std::string text_;
  BufferPool buffers_;  // before `io_`: whatever is suspended when that goes gives back to it
  asio::io_context io_{1};
  DeadlineQueue deadlines_{io_};
  Poller poller_{io_};
  ConnectionPool connections_;
  BackendId servers_ = 0;
  std::list<UpstreamCall*> calls_;
  TimePoint start_{};
};

}  // namespace batchproxy::bench
