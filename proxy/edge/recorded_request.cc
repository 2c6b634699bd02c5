// proxy/edge/recorded_request.cc - see recorded_request.h.
#include "proxy/edge/recorded_request.h"

#include <string>
#include <utility>

#include <boost/asio/post.hpp>

#include "proxy/jobs/deterministic.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

namespace {

RecordKey key_of(const ClientRequest& request) {
  std::string asked(request.target);
  asked.append(1, '\0').append(request.body);
  return {request.key, *request.job, hash_of_body(asked)};
}

}  // namespace

RecordedRequest::RecordedRequest(IoThread& thread, Connection& client, const ClientRequest& request,
                                 RequestHandler& handler)
    : thread_(thread), client_(client), request_(request), handler_(handler) {}

bool RecordedRequest::is_one(const IoThread& thread, const ClientRequest& request) {
  return request.job != nullptr && thread.recorder != nullptr && request.scannable &&
         request.route->expects_object() && is_deterministic(request.body);
}

Task<bool> RecordedRequest::run() {
  const RecordKey key = key_of(request_);
  look_up(key);
  client_.on_peer_gone([this] {
    client_gone_ = true;
    seat_->waiter.wake();
  });
  thread_.net.deadlines.set(*this, request_.arrival + request_.timeout);
  if (!client_gone_) co_await seat_->waiter.wait();
  clear();
  client_.on_peer_gone(nullptr);
  if (seat_->answer != nullptr) {
    const bool again = co_await handler_.replay(*seat_->answer);
    co_return again;
  }
  // One that was not told to ask has left, or is too late: the handler finds out which.
  const bool leads = seat_->told;
  seat_->left = !leads;
  Recorded answer;
  handler_.record_in(answer);
  const bool again = co_await handler_.run();
  if (leads) {
    RecordedPtr good;
    if (!answer.body.empty()) good = std::make_shared<const Recorded>(std::move(answer));
    thread_.recorder->finish(key, std::move(good));
  }
  co_return again;
}

void RecordedRequest::look_up(const RecordKey& key) {
  const auto arrive = [seat = seat_, &recorder = *thread_.recorder, key](RecordedPtr answer) {
    if (seat->left) {
      if (answer == nullptr) recorder.finish(key, nullptr);  // whoever is next asks
      return;
    }
    seat->told = true;
    seat->answer = std::move(answer);
    seat->waiter.wake();
  };
  thread_.recorder->find(key, [&io = thread_.net.io, arrive](RecordedPtr answer) {
    asio::post(io, [arrive, answer = std::move(answer)] { arrive(answer); });
  });
}

}  // namespace batchproxy
