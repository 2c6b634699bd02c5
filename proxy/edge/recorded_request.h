// proxy/edge/recorded_request.h - RecordedRequest: a request of a job (x-batchproxy-job), which
// is answered from the record when it was answered before, and recorded when it was not.
//
// Threading: confined to one I/O thread.
#pragma once

#include <memory>

#include "backends/net/connection.h"
#include "backends/net/deadline.h"
#include "backends/net/waiter.h"
#include "proxy/jobs/recorder.h"
#include "proxy/request/request_handler.h"
#include "proxy/thread/io_thread.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

class RecordedRequest final : private Deadline {
 public:
  // All must outlive it.
  RecordedRequest(IoThread& thread, Connection& client, const ClientRequest& request,
                  RequestHandler& handler);

  // Answers the request. True when the client's connection can be used again.
  Task<bool> run();

  // Whether a request goes this way: it names a job, and asks for the same each time.
  static bool is_one(const IoThread& thread, const ClientRequest& request);

 private:
  // Where the recorder's word arrives, even after the request has gone.
  struct Seat {
    Waiter waiter{};
    RecordedPtr answer{};
    bool told = false;
    bool left = false;
  };

  void look_up(const RecordKey& key);
  void on_expired() override { seat_->waiter.wake(); }

  IoThread& thread_;
  Connection& client_;
  const ClientRequest& request_;
  RequestHandler& handler_;
  const std::shared_ptr<Seat> seat_ = std::make_shared<Seat>();
  bool client_gone_ = false;
};

}  // namespace batchproxy
