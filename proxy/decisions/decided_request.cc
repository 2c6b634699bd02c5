// proxy/decisions/decided_request.cc - see decided_request.h.
#include "proxy/decisions/decided_request.h"

#include <utility>

#include "proxy/request/reply_writer.h"
#include "proxy/request/ticket_builder.h"

namespace batchproxy {

namespace {

// How the calls are sent, which are not those of the client: its body was JSON, and we read the
// answer.
std::string fields_for_calls(const ClientRequest& request) {
  std::string fields = request.fields;
  for (const std::string_view name : {"content-type", "content-encoding", "accept-encoding"}) {
    fields = without_field(fields, name);
  }
  return fields + "content-type: application/json\r\n";
}

// Of the model that it names.
std::uint64_t model_in(IoThread& thread, const ClientRequest& request) {
  const auto scan = thread.scratch.scanner.scan(request.body, request.route->body);
  return text_key(scan ? scan->model : std::string_view());
}

}  // namespace

DecidedRequest::DecidedRequest(IoThread& thread, Connection& client, const ClientRequest& request,
                               RequestTrace& trace, ByteHold& hold, RequestHandler*& at_work)
    : thread_(thread),
      client_(client),
      request_(request),
      trace_(trace),
      hold_(hold),
      at_work_(at_work),
      asked_for_(method_asked_for(request.body)) {
  thread_.metrics.received.add();
}

Task<bool> DecidedRequest::run() {
  if (asks_engine()) {
    const bool again = co_await call(request_);
    if (!goes_on_) co_return again;
  }
  if (const std::optional<Error> error = begin()) {
    const bool again = co_await refuse(*error);
    co_return again;
  }
  bool again = false;
  do {
    fill_in_call();
    again = co_await call(call_);
  } while (goes_on_);
  co_return again;
}

// What cannot be read here can still be meant for an engine.
bool DecidedRequest::asks_engine() {
  if (!request_.scannable || asked_for_ == DecisionMethod::kEngine) return true;
  if (asked_for_ != DecisionMethod::kAny) return false;
  return !thread_.without_decisions.has(model_in(thread_, request_), thread_.published.roster);
}

// The decision is computed from here on. What keeps it from that, if anything does.
std::optional<Error> DecidedRequest::begin() {
  Result<DecisionRequest> parsed = parse_decision(request_.body);
  if (!parsed) return parsed.error();
  core_.emplace(*std::move(parsed), thread_.settings.max_body);
  if (core_->begin() == DecisionCore::Do::kRefuse) return core_->error();
  static const Route* const completions = *find_route("POST", "/v1/completions");
  call_ = request_;
  call_.route = completions;
  call_.target = completions->path;
  call_.fields = fields_for_calls(request_);
  // Its calls have ids of their own; the client knows its request, and its record, by one.
  if (call_.given_id.empty()) call_.given_id = request_.id.text();
  call_.uncut = true;
  return std::nullopt;
}

void DecidedRequest::fill_in_call() {
  body_ = Buffer(core_->text().size());
  body_.append(core_->text());
  hold_.set(request_.body.size() + body_.size());
  call_.body = body_.view();
  call_.id = thread_.ids.next();
}

Task<bool> DecidedRequest::call(const ClientRequest& request) {
  goes_on_ = false;
  RequestHandler handler(thread_, client_, request, trace_, *this);
  at_work_ = &handler;
  const bool again = co_await handler.run();
  at_work_ = nullptr;
  co_return again;
}

Task<bool> DecidedRequest::refuse(const Error& error) {
  ReplyWriter reply(thread_, client_, request_, trace_);
  const Finish finish = co_await reply.refuse(error);
  thread_.metrics.count_finish(finish);
  trace_.end(finish, std::chrono::steady_clock::now());
  co_return reply.can_go_on();
}

AnswerTap::Fate DecidedRequest::on_answer(const AnswerHead& head, std::string_view body) {
  if (!core_) return on_engines_own(head.status);
  return go_on(core_->on_answer(head.status, body));
}

// To the client's own request.
AnswerTap::Fate DecidedRequest::on_engines_own(unsigned status) {
  if (!request_.scannable || !lacks_decisions(status)) return {};
  thread_.without_decisions.add(model_in(thread_, request_), thread_.published.roster);
  if (asked_for_ == DecisionMethod::kEngine) return {.refused = no_decisions_of_its_own()};
  goes_on_ = true;
  return {.kept = true};
}

AnswerTap::Fate DecidedRequest::go_on(DecisionCore::Do next) {
  switch (next) {
    case DecisionCore::Do::kAsk:
      goes_on_ = true;
      return {.kept = true};
    case DecisionCore::Do::kAnswer:
      return {.instead = core_->text()};
    case DecisionCore::Do::kRefuse:
      return {.refused = core_->error()};
    case DecisionCore::Do::kPassOn:
      break;
  }
  return {};
}

}  // namespace batchproxy
