// proxy/batches/batch_service.h - BatchService: files and batches of clients, on a thread of its
// own beside the data path.
//
// The data path hands over whole connections (proxy/thread/handed_over.h). The store is opened when
// it is first needed, or at the start if there is one already.
//
// Threading: made and destroyed on the control thread; take() may be called on any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "backends/net/task.h"
#include "batcher/base/time.h"
#include "proxy/thread/handed_over.h"

namespace batchproxy {

class BatchService {
 public:
  struct Setup {
    std::string directory;       // of the store; empty: there is no place for one
    std::int64_t max_bytes = 0;  // of all files together
    Duration stall{};            // see ServiceExchange
  };

  explicit BatchService(Setup setup);
  ~BatchService();  // stops and joins
  BatchService(const BatchService&) = delete;
  BatchService& operator=(const BatchService&) = delete;

  void start();
  // Serves the request of this connection.
  void take(HandedOver over);

 private:
  class Desk;
  std::unique_ptr<Desk> desk_;  // outlives what is suspended in `io_`
  asio::io_context io_{1};
  std::thread thread_;
};

}  // namespace batchproxy
