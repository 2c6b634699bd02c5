// proxy/batches/batch_service.h - BatchService: files and batches of clients, on a thread of its
// own beside the data path.
//
// The data path hands over whole connections (proxy/thread/handed_over.h). The store is opened when
// it is first needed, or at the start if there is one already.
//
// Threading: made and destroyed on the control thread; take() may be called on any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backends/net/task.h"
#include "batcher/base/time.h"
#include "proxy/metrics/snapshot.h"
#include "proxy/thread/handed_over.h"
#include "proxy/thread/internal_mark.h"

namespace batchproxy {

class BatchService {
 public:
  struct Setup {
    std::string directory;               // of the store; empty: there is no place for one
    std::int64_t max_bytes = 0;          // of all files together
    std::size_t in_flight = 256;         // most requests of batches at once
    const InternalMark* mark = nullptr;  // of these; outlives the service
    Duration stall{};                    // see ServiceExchange
  };

  explicit BatchService(Setup setup);
  ~BatchService();  // stops and joins
  BatchService(const BatchService&) = delete;
  BatchService& operator=(const BatchService&) = delete;

  // `port`: of the data address, where the items of batches are asked.
  void start(const std::string& host, std::uint16_t port);
  // Serves the request of this connection.
  void take(HandedOver over);

  // Asks nothing more; what is in flight is recorded. Batches go on when batchproxy starts again.
  void drain();
  // Cuts off the clients that are left.
  void close_all();
  // Looks at the batches anew, for jobs(): to be called once a second.
  void look_at_jobs();
  // Batches that are not over, as they were at the last look.
  std::vector<JobSnapshot> jobs() const;

  // Whether drain() has taken effect.
  bool drained() const { return drained_; }

 private:
  class Desk;
  Task<void> await_drained();

  std::unique_ptr<Desk> desk_;  // outlives what is suspended in `io_`
  asio::io_context io_{1};
  std::thread thread_;
  std::atomic<bool> drained_{false};
  mutable std::mutex jobs_mutex_;
  std::vector<JobSnapshot> jobs_;  // under jobs_mutex_
};

}  // namespace batchproxy
