// proxy/decisions/decided_request.h - DecidedRequest: a POST /v1/decisions, which an engine answers
// itself if it can, and batchproxy computes from completions if it cannot (decision_core.h).
//
// Each call is a RequestHandler's, with all that it does for a client's request; the answers come
// here first. However many there are, the client's request counts once.
//
// Threading: confined to one I/O thread.
#pragma once

#include <optional>
#include <string>

#include "backends/net/buffer.h"
#include "backends/net/connection.h"
#include "proxy/decisions/decision_core.h"
#include "proxy/limits/body_receiver.h"
#include "proxy/request/answer_tap.h"
#include "proxy/request/request_handler.h"
#include "proxy/thread/io_thread.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

class DecidedRequest final : private AnswerTap {
 public:
  // All must outlive it. `hold` is told what its calls weigh; `at_work` is the handler of the call
  // under way, null between two.
  DecidedRequest(IoThread& thread, Connection& client, const ClientRequest& request,
                 RequestTrace& trace, ByteHold& hold, RequestHandler*& at_work);

  // Answers the request. True when the client's connection can be used again.
  Task<bool> run();

 private:
  bool asks_engine();
  std::optional<Error> begin();
  Task<bool> call(const ClientRequest& request);
  Task<bool> refuse(const Error& error);
  Fate on_answer(const AnswerHead& head, std::string_view body) override;
  Fate on_engines_own(unsigned status);
  Fate go_on(DecisionCore::Do next);
  void fill_in_call();

  IoThread& thread_;
  Connection& client_;
  const ClientRequest& request_;
  RequestTrace& trace_;
  ByteHold& hold_;
  RequestHandler*& at_work_;
  const DecisionMethod asked_for_;
  ClientRequest call_;  // to /v1/completions
  Buffer body_;         // of it
  std::optional<DecisionCore> core_;
  bool goes_on_ = false;  // the client has not been answered by the last call
};

}  // namespace batchproxy
