// proxy/request/request_handler.cc - see request_handler.h.
#include "proxy/request/request_handler.h"

#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "backends/json/form_scan.h"
#include "proxy/request/stream_relay.h"
#include "proxy/request/ticket_builder.h"
#include "proxy/wire/client_error.h"

namespace batchproxy {

RequestHandler::RequestHandler(IoThread& thread, Connection& client, const ClientRequest& request,
                               RequestTrace& trace)
    : thread_(thread),
      client_(client),
      request_(request),
      trace_(trace),
      phase_(thread.metrics),
      reply_(thread, client, request, trace) {
  thread_.metrics.received.add();
}

RequestHandler::RequestHandler(IoThread& thread, Connection& client, const ClientRequest& request,
                               RequestTrace& trace, AnswerTap& tap)
    : thread_(thread),
      client_(client),
      request_(request),
      trace_(trace),
      tap_(&tap),
      phase_(thread.metrics),
      reply_(thread, client, request, trace) {}

Task<bool> RequestHandler::run() {
  Finish finish = Finish::kBackendError;
  bool failed = false;
  try {
    Way way = prepare();
    if (way == Way::kLookForModel) {
      co_await look_for_model();
      way = prepare();
    }
    if (way == Way::kWhole) {
      const Job::Ending ending = co_await job_->run();
      finish = co_await answer(ending);
    } else {
      finish = co_await serve_otherwise(way);
    }
  } catch (const std::exception& exception) {
    spdlog::error("internal error in request {}: {}", request_.id.text(), exception.what());
    failed = true;
  }
  if (failed && !reply_.has_begun()) {
    static const Error broken = error_of(Errc::kInternal);
    finish = co_await reply_.refuse(broken);
  } else if (failed) {
    reply_.close_afterwards();
  }
  co_return end(finish);
}

Task<bool> RequestHandler::replay(const Recorded& answer) {
  const AnswerHead head{.status = 200, .content_type = answer.content_type};
  const Provenance who{answer.backend,           answer.batch,
                       answer.batch_prompts,     answer.attempts,
                       answer.apportioned_usage, /*replayed=*/true};
  thread_.metrics.replayed.add();
  const ReplyWriter::UnsentPtr unsent = reply_.send_answer(head, answer.body, who);
  if (unsent) co_await reply_.write_rest(*unsent);
  co_return end(reply_.finish_answered(head, /*prompts=*/0));
}

// True when the client's connection can be used again.
bool RequestHandler::end(Finish finish) {
  client_.on_peer_gone(nullptr);
  if (kept_) return true;
  const TimePoint now = std::chrono::steady_clock::now();
  count(finish, now);
  trace_.end(finish, now);
  return reply_.can_go_on();
}

void RequestHandler::count(Finish finish, TimePoint now) {
  thread_.metrics.count_finish(finish);
  if (model_ != nullptr) model_->finished[finish].add();
  if (finish != Finish::kOk) return;
  thread_.metrics.latency.observe(now - request_.arrival);
  if (trace_.streaming && trace_.first_byte != TimePoint{}) {
    thread_.metrics.first_bytes.observe(trace_.first_byte - request_.arrival);
  }
}

// --- before it waits ----------------------------------------------------------------------------

// No coroutine: nothing of what it looks at is kept while the request waits.
RequestHandler::Way RequestHandler::prepare() {
  const Result<Way> way = plan();
  if (way) return *way;
  refusal_ = std::make_unique<Error>(way.error());
  return Way::kRefused;
}

Result<RequestHandler::Way> RequestHandler::plan() {
  if (thread_.published.shutting_down) return error_of(Errc::kShuttingDown);
  const Result<BodyScan> scanned = scan();
  if (!scanned) return scanned.error();
  trace_.prompts = scanned->prompts;
  trace_.streaming = scanned->streaming;
  Ticket like;
  const std::optional<Error> unknown = describe(*scanned, like);
  note_model(scanned->model, /*is_routed=*/!like.backends.empty());
  const bool known = !thread_.poison->empty() &&
                     thread_.poison->contains(request_.content_key(), request_.arrival);
  if (known) return error_of(Errc::kKnownPoison);
  if (unknown) {
    // An engine may have loaded it since it was last asked what it serves.
    const bool may_be_new =
        unknown->code == Errc::kUnknownModel && !std::exchange(has_looked_, true);
    if (may_be_new) return Way::kLookForModel;
    return *unknown;
  }
  client_.on_peer_gone([this] { on_client_gone(); });
  if (client_gone_) return Way::kClientGone;  // it had left before we looked
  if (!ListRequest::is_one(thread_.settings.bodies, request_, *scanned, like.backends)) {
    prepare_whole(*scanned, like);
    return Way::kWhole;
  }
  list_ = std::make_unique<ListRequest>(thread_, reply_, phase_, trace_, request_);
  if (const auto error = list_->prepare(*scanned, like)) return *error;
  return Way::kList;
}

void RequestHandler::note_model(std::string_view name, bool is_routed) {
  model_ = is_routed || name.empty() ? thread_.models.of(name) : thread_.models.others();
  trace_.model = model_ == nullptr ? nullptr : &model_->name;
}

Result<BodyScan> RequestHandler::scan() {
  if (!request_.body.empty() && request_.scannable) {
    if (request_.route->body == BodyKind::kForm) return scan_of_form();
    return thread_.scratch.scanner.scan(request_.body, request_.route->body);
  }
  if (request_.route->method == "POST" && request_.body.empty()) {
    return Error{Errc::kInvalidJson, "The request has no body."};
  }
  return BodyScan{};
}

BodyScan RequestHandler::scan_of_form() const {
  const FormScan form = scan_form(value_of(request_.fields, "content-type"), request_.body);
  BodyScan scan;
  scan.model = form.model;
  scan.streaming = form.streaming;
  return scan;
}

// Fills in what all tickets of the request have in common.
std::optional<Error> RequestHandler::describe(const BodyScan& scan, Ticket& ticket) {
  const ModelTable& models = *thread_.published.models;
  ticket.backends = models.find(scan.model);
  // While a backend has not said what it serves, a name that nobody knows may still become known.
  if (ticket.backends.empty() && models.complete()) {
    return Error{Errc::kUnknownModel,
                 "The model `" + std::string(scan.model) +
                     "` does not exist. batchproxy serves: " + models.names() + ".",
                 "model"};
  }
  ticket.model = text_key(scan.model);
  ticket.routes = models.version();
  ticket.arrival = request_.arrival;
  ticket.deadline = request_.arrival + request_.timeout;
  ticket.prompts = scan.prompts;
  ticket.streaming = scan.streaming;
  ticket.background = request_.background;
  ticket.immediate = request_.route->immediate;
  ticket.client = request_.client;
  return std::nullopt;
}

void RequestHandler::prepare_whole(const BodyScan& scan, const Ticket& like) {
  Job::Load load{&request_, {}, scan.form == PromptForm::kTokens};
  if (!scan.prompt.empty()) load.parts = BodyParts::cut(request_.body, scan.prompt);
  job_.emplace(thread_, phase_, trace_, load);
  describe_prompt(thread_.settings.bodies, scan, like.model, request_, like, load.parts,
                  job_->ticket());
}

Task<void> RequestHandler::look_for_model() {
  thread_.monitor.refresh_models(
      [this] { asio::post(thread_.net.io, [this] { looked_.wake(); }); });
  co_await looked_.wait();
}

// --- the answer ---------------------------------------------------------------------------------

Task<Finish> RequestHandler::serve_otherwise(Way way) {
  if (way == Way::kRefused) return reply_.refuse(*refusal_);
  return way == Way::kList ? serve_list() : answer_cancelled();
}

Task<Finish> RequestHandler::serve_list() {
  co_await list_->run();
  if (client_gone_ || thread_.published.shutting_down) co_return co_await answer_cancelled();
  co_return co_await list_->answer();
}

Task<Finish> RequestHandler::answer(Job::Ending ending) {
  switch (ending) {
    case Job::Ending::kAnswer:
      return tap_ == nullptr ? answer_whole() : answer_tapped();
    case Job::Ending::kStream:
      return answer_stream();
    case Job::Ending::kFailed:
      return reply_.refuse(job_->error());
    case Job::Ending::kCancelled:
      break;
  }
  return answer_cancelled();
}

Task<Finish> RequestHandler::answer_whole() {
  return send_whole(job_->answer(), job_->body());
}

Task<Finish> RequestHandler::answer_tapped() {
  const AnswerTap::Fate fate = tap_->on_answer(job_->answer(), job_->body());
  kept_ = fate.kept;
  if (kept_) {
    thread_.metrics.count_answered(job_->backend().id);
    co_return Finish::kOk;  // of this call; nobody counts it
  }
  if (fate.refused) co_return co_await reply_.refuse(*fate.refused);
  if (!fate.instead) co_return co_await send_whole(job_->answer(), job_->body());
  const AnswerHead head{.status = 200, .content_type = "application/json"};
  co_return co_await send_whole(head, *fate.instead);
}

// `head` and `body`: in place of the job's, or its own.
Task<Finish> RequestHandler::send_whole(const AnswerHead& head, std::string_view body) {
  thread_.metrics.count_answered(job_->backend().id);
  const Provenance who = job_->provenance();
  const ReplyWriter::UnsentPtr unsent = reply_.send_answer(head, body, who);
  if (unsent) co_await reply_.write_rest(*unsent);
  co_return reply_.finish_answered(head, job_->ticket().prompts);
}

Task<Finish> RequestHandler::answer_stream() {
  Finish finish = Finish::kBackendError;
  try {
    StreamRelay relay(thread_, reply_, request_, *job_, client_gone_);
    finish = co_await relay.run(job_->provenance());
  } catch (...) {
    job_->end_stream(false);
    throw;
  }
  job_->end_stream(finish == Finish::kOk);
  co_return finish;
}

// Its client has left, unless we are about to.
Task<Finish> RequestHandler::answer_cancelled() {
  if (client_gone_) co_return Finish::kClientGone;
  co_return co_await reply_.refuse(error_of(Errc::kShuttingDown));
}

// --- what ends it early -------------------------------------------------------------------------

void RequestHandler::on_client_gone() {
  client_gone_ = true;
  cancel(/*client_left=*/true);
}

void RequestHandler::cut_short() {
  reply_.close_afterwards();
  cancel(/*client_left=*/false);
}

void RequestHandler::cancel(bool client_left) {
  if (job_) job_->cancel(client_left);
  if (list_) list_->cancel(client_left);
}

}  // namespace batchproxy
