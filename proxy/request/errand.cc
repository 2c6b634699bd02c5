// proxy/request/errand.cc - see errand.h.
#include "proxy/request/errand.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "proxy/request/merged_call.h"
#include "proxy/wire/failure.h"

namespace batchproxy {

void RequestPhase::begin_call() {
  if (calling_++ > 0) return;
  metrics_.queued.sub();
  metrics_.inflight.add();
}

void RequestPhase::end_call() {
  if (--calling_ > 0) return;
  metrics_.inflight.sub();
  metrics_.queued.add();
}

SharedHead::SharedHead(const AnswerHead& head) : head_(head) {
  std::vector<std::string_view*> values{&head_.more};
  for (const KeptField& kept : kKeptFields) values.push_back(&(head_.*kept.value));
  for (const std::string_view* value : values) text_.append(*value);
  const char* at = text_.data();
  for (std::string_view* value : values) {
    *value = {at, value->size()};
    at += value->size();
  }
}

SplicedBody Errand::Load::body() const {
  if (piece == 0) return request->body;
  return SplicedBody({parts.before, "[", parts.prompt, "]", parts.after});
}

struct Errand::Second {
  explicit Second(Errand& first) : errand(first.thread_, first.phase_, first.load_) {
    errand.first_ = &first;
    errand.attempts_ = first.attempts_;
  }
  bool is_answer() const { return ended && ending == Ending::kAnswer && errand.has_answer(); }

  Errand errand;
  Ending ending = Ending::kFailed;
  bool ended = false;
  std::exception_ptr broken;
};

Errand::~Errand() = default;

Errand::Errand(IoThread& thread, RequestPhase& phase, Load load)
    : thread_(thread), phase_(phase), load_(load) {
  ticket_.sink = this;
}

Task<Errand::Ending> Errand::run() {
  std::exception_ptr broken;
  try {
    while (!cancelled_) {
      submit();
      co_await waiter_.wait();
      granted_ = !ticket_.verdict.refused;
      if (!granted_) co_return refused();
      last_ = co_await make_attempt();
      if (streams_ && !cancelled_) {
        attempts_->on_stream();
        co_return Ending::kStream;  // the backend is not free yet
      }
      went_down_ = !shares_call() && last_ == CallFailure::kNone && !cancelled_ &&
                   tells_of_death(call_->head().status, call_->body());
      const bool asks = !went_down_ && !cancelled_ && may_be_death(last_, answer_status());
      if (asks) co_await look_after(ticket_.verdict.backend);
      if (second_) attempts_->end_beside();
      const Attempts::Next next = end_attempt();
      bool seconds = false;
      if (second_) seconds = co_await settle(next);
      if (seconds) co_return second_->ending;
      if (const std::optional<Ending> ending = after(next)) co_return *ending;
    }
  } catch (...) {
    broken = std::current_exception();
  }
  if (broken) {
    calling_ = false;
    InFlight::unlink();
    if (second_) {
      second_->errand.cancel();
      co_await join();
    }
    if (granted_) release(Outcome::kUnknown);
    std::rethrow_exception(broken);
  }
  co_return Ending::kCancelled;
}

// A request that waits for an answer as a whole is asked elsewhere as well, and keeps its call: the
// backend may yet move. A stream that has not begun, and a shared call, are asked anew.
void Errand::on_stuck() {
  BackendSet others = ticket_.backends;
  others.erase(ticket_.verdict.backend);
  if ((others & thread_.roster->ready()).empty() || cancelled_ || second_) return;
  if (!ticket_.streaming) {
    if (attempts_->may_ask_beside()) ask_elsewhere(others);
  } else if (attempts_->may_ask_anew()) {
    give_up_call();
  }
}

// One that is asked elsewhere already has its way out.
void Errand::on_recall(const Recall& recall) {
  const bool meant = ticket_.client == recall.client && ticket_.arrival < recall.before;
  if (meant && !cancelled_ && !second_ && first_ == nullptr) give_up_call(CallFailure::kRecalled);
}

void Errand::ask_elsewhere(BackendSet others) {
  second_ = std::make_unique<Second>(*this);
  Ticket& ticket = second_->errand.ticket_;
  ticket = ticket_;
  ticket.verdict = {};
  ticket.sink = &second_->errand;
  ticket.backends = others;
  ticket.never.insert(ticket_.verdict.backend);
  yielded_ = false;
  ticket.mergeable = Mergeable::kNever;
  ticket.costs_budget = false;
  attempts_->begin_beside();
  thread_.metrics.retried.add();
  asio::co_spawn(thread_.io.get_executor(), run_second(), asio::detached);
}

Task<void> Errand::run_second() {
  try {
    second_->ending = co_await second_->errand.run();
  } catch (...) {
    second_->broken = std::current_exception();
  }
  second_->ended = true;
  // The first answer counts; without one the call under way goes on.
  if (second_->is_answer()) yield();
  if (joins_) waiter_.wake();
}

// The other errand's outcome is this one's: the call under way is given up.
void Errand::yield() {
  yielded_ = true;
  if (calling_) give_up_call();
}

void Errand::give_up_call(CallFailure why) {
  given_up_ = why;
  call_->abort();
}

Task<void> Errand::join() {
  joins_ = !second_->ended;
  if (joins_) co_await waiter_.wait();
  joins_ = false;
}

// Its own call has ended. Unless that has the answer, the other errand is waited for. True when
// that one's outcome counts; else it is gone.
Task<bool> Errand::settle(Attempts::Next next) {
  const bool is_over = cancelled_ || (has_answer() && next == Attempts::Next::kDeliver);
  if (is_over) second_->errand.cancel();
  co_await join();
  const bool counts = second_->is_answer() || yielded_;
  if (is_over || cancelled_ || !counts) {
    second_.reset();
    co_return false;
  }
  if (second_->broken) std::rethrow_exception(second_->broken);
  error_ = std::move(second_->errand.error_);
  co_return true;
}

const AnswerHead& Errand::answer() const {
  return second_ ? second_->errand.answer() : own_answer();
}

const AnswerHead& Errand::own_answer() const {
  return shared_ ? shared_->head->head() : call_->head();
}

std::string_view Errand::body() const {
  if (second_) return second_->errand.body();
  return shared_ ? shared_->body : call_->body();
}

unsigned Errand::attempts() const {
  return attempts_->made();
}

const Endpoint& Errand::backend() const {
  return second_ ? second_->errand.backend() : *backend_;
}

const BatchInfo& Errand::batch() const {
  return second_ ? second_->errand.batch() : batch_;
}

// Of its own call's answer; 0 without one.
unsigned Errand::answer_status() const {
  return last_ == CallFailure::kNone ? own_answer().status : 0;
}

// No coroutine: the call is all that is waited for.
Task<CallFailure> Errand::make_attempt() {
  backend_ = thread_.upstreams.endpoint(ticket_.verdict.backend);
  batch_ = ticket_.verdict.batch;
  phase_.begin_call();
  // Its answer may be here before the verdict is. A retry never shares: none is left from before.
  if (shares_call()) return share_call();
  shared_.reset();
  return call_alone();
}

// A broken connection is no proof of a dead engine, so before a request is blamed for one its
// health is looked at.
Task<void> Errand::look_after(BackendId backend) {
  thread_.look_at(backend, [this](bool is_ready) {
    asio::post(thread_.io, [this, is_ready] {
      went_down_ = !is_ready;
      waiter_.wake();
    });
  });
  co_await waiter_.wait();
}

// `pause`: what the answer asks for.
Attempt Errand::attempt_of(CallFailure failure, Duration pause) const {
  const unsigned status = answer_status();
  const bool good = status > 0 && status < 400;
  return {.backend = ticket_.verdict.backend,
          .failure = failure,
          .status = status,
          .asks_to_wait = pause > Duration::zero(),
          .may_wait = thread_.settings.holds_for_room,
          .alone = ticket_.verdict.alone,
          .went_down = went_down_,
          .time_left = good || std::chrono::steady_clock::now() < ticket_.deadline};
}

// A client that leaves before a byte has come may know of no fault, but many do tell of one.
Outcome Errand::outcome_of_end(const Attempt& attempt) const {
  if (!cancelled_) return outcome_of(attempt);
  const bool silent = client_left_ && call_ && call_->head().status == 0;
  return silent ? Outcome::kLeft : Outcome::kUnknown;
}

// Why its answer is refused: for its client, and now and then for the log.
void Errand::note_fault() {
  fault_ = std::make_unique<const AnswerFault>(shared_ ? shared_->fault : call_->fault());
  if (!thread_.may_tell_refused(std::chrono::steady_clock::now())) return;
  spdlog::warn("{}: an answer is refused. {}", backend_->name,
               describe(*fault_, /*to_its_client=*/false));
}

// The attempt has ended, and with it the grant.
Attempts::Next Errand::end_attempt() {
  const bool shared = shares_call();
  const bool answered = last_ == CallFailure::kNone;
  const Duration pause = answered ? wait_asked_for(own_answer()) : Duration::zero();
  const Attempt attempt = attempt_of(last_, pause);
  if (has_answer()) ticket_.verdict.refutes = attempts_->failed_by();
  // The backend is free of us, however long the client takes to read.
  release(outcome_of_end(attempt), pause);
  if (cancelled_) return Attempts::Next::kDeliver;
  if (last_ == CallFailure::kBadAnswer) note_fault();
  const Attempts::Next next = attempts_->after(attempt, ticket_.backends);
  const bool good = answered && attempt.status < 500 && !attempt.asks_to_wait;
  if (!good && next != Attempts::Next::kWait) {
    thread_.metrics.count_failed_attempt(attempt.backend, last_);
  }
  const bool ours = last_ == CallFailure::kStuck || last_ == CallFailure::kRecalled;
  if ((!answered && !shared && !ours) || attempt.is_death()) {
    thread_.report_failure(attempt.backend, last_ == CallFailure::kRefused);
  }
  // It may have started again without the adapters that it had.
  if (attempt.status == 404) thread_.refresh_models([] {});
  // What ends engines shall not be with two of them.
  if (attempt.is_death() && first_ != nullptr) first_->yield();
  return next;
}

// Nothing means that another attempt follows.
std::optional<Errand::Ending> Errand::after(Attempts::Next next) {
  if (cancelled_) return Ending::kCancelled;
  switch (next) {
    case Attempts::Next::kDeliver:
      return deliver(last_);
    case Attempts::Next::kWait:
      // The next answer may be a shared one, too.
      if (std::exchange(shared_, nullptr)) last_ = CallFailure::kAborted;
      return std::nullopt;
    case Attempts::Next::kPoison:
      thread_.poison->add(load_.request->content_key(), std::chrono::steady_clock::now());
      thread_.metrics.poisoned.add();
      error_ = std::make_unique<Error>(error_of(Errc::kPoisonPrompt));
      return Ending::kFailed;
    case Attempts::Next::kRetry:
      attempts_->prepare_retry(ticket_, /*costs_budget=*/false);
      break;
    case Attempts::Next::kRetryInBudget:
      attempts_->prepare_retry(ticket_, /*costs_budget=*/true);
      break;
  }
  thread_.metrics.retried.add();
  return std::nullopt;
}

Errand::Ending Errand::deliver(CallFailure failure) {
  if (failure == CallFailure::kNone) return Ending::kAnswer;
  static const AnswerFault none;
  error_ = std::make_unique<Error>(error_of(failure, backend_->name, fault_ ? *fault_ : none));
  return Ending::kFailed;
}

void Errand::cancel(bool client_left) {
  if (cancelled_.exchange(true)) return;
  client_left_ = client_left;
  if (second_ && !second_->ended) second_->errand.cancel();
  if (calling_) {
    call_->abort();
  } else if (with_lane_ > 0) {
    ++with_lane_;
    thread_.lane->cancel(ticket_, client_left);
  }
}

void Errand::end_stream(bool ok) {
  calling_ = false;
  if (ok) return release(Outcome::kGood);
  const bool ours = cancelled_ || call_->failure() == CallFailure::kNone;
  release(ours ? Outcome::kUnknown : outcome_of({.failure = call_->failure()}));
}

// --- the lane -----------------------------------------------------------------------------------

void Errand::submit() {
  ++with_lane_;
  thread_.lane->submit(ticket_);
}

// The ticket must not be touched, nor end, before it has come back for every time it was sent.
void Errand::on_returned(Ticket&) {
  if (--with_lane_ == 0) waiter_.wake();
}

// What a refusal means. A backend's own answer, bad as it may be, says more than that no retry was
// to be had; but not an engine's last words.
Errand::Ending Errand::refused() {
  if (cancelled_) return Ending::kCancelled;
  const Errc why = *ticket_.verdict.refused;
  const bool has_word = backend_ && last_ == CallFailure::kNone && !went_down_;
  if (why == Errc::kRetryBudget || has_word) {
    return deliver(last_);
  }
  error_ = std::make_unique<Error>(error_of(why));
  return Ending::kFailed;
}

// The granted backend is free of this errand. Exactly once for every grant.
void Errand::release(Outcome outcome, Duration pause) {
  granted_ = false;
  phase_.end_call();
  thread_.lane->complete(ticket_, outcome, pause);
}

// --- the backend --------------------------------------------------------------------------------

Task<CallFailure> Errand::call_alone() {
  call_.reset();  // the last attempt's ends before the next one begins
  if (cancelled_) co_return CallFailure::kAborted;
  call_ = std::make_unique<UpstreamCall>(thread_.upstream_resources(), ticket_.verdict.backend,
                                         thread_.attempt_deadline(ticket_.deadline));
  calling_ = true;
  given_up_ = CallFailure::kNone;
  thread_.in_flight.push_back(*this);
  const ClientRequest& request = *load_.request;
  const std::string id = next_call_id();
  // What is to be put together with others must not come compressed.
  std::string uncompressed;
  if (load_.piece > 0) uncompressed = without_field(request.fields, "accept-encoding");
  const std::string_view fields = load_.piece > 0 ? uncompressed : request.fields;
  const UpstreamRequest upstream{request.route->method, request.target,        fields,
                                 request.key_field,     request.authorization, id,
                                 load_.body()};
  CallFailure failure = co_await call_->start(upstream);
  const bool may_stream =
      failure == CallFailure::kNone && ticket_.streaming && call_->head().status == 200;
  if (may_stream) {
    const AnswerHead& head = call_->head();
    streams_ = is_event_stream(head.content_type);
    const bool is_odd =
        !streams_ && head.content_encoding.empty() && !is_json_type(head.content_type);
    if (is_odd) streams_ = co_await call_->sends_events();
    streams_ = streams_ && !cancelled_;
  }
  if (streams_) {
    InFlight::unlink();  // what has begun cannot be asked anew
    co_return failure;
  }
  const bool waits = failure == CallFailure::kNone && !call_->take_whole();
  if (waits) failure = co_await call_->read_whole();
  calling_ = false;
  InFlight::unlink();
  const bool gave_up = failure == CallFailure::kAborted && given_up_ != CallFailure::kNone;
  if (gave_up) failure = given_up_;
  co_return failure == CallFailure::kNone ? check_answer() : failure;
}

// Fresh for every attempt: some vLLM versions refuse an id that is still running.
std::string Errand::next_call_id() {
  const ClientRequest& request = *load_.request;
  std::string id;
  if (!request.given_id.empty()) id.append(request.given_id).append("-");
  request.id.append_to(id);
  if (load_.piece > 0) id += ".p" + std::to_string(load_.piece);
  id += "." + std::to_string(++calls_);
  return id;
}

// Whether the answer is one at all. What it says is the client's business, except where we put it
// together with others.
CallFailure Errand::check_answer() {
  const CallFailure failure = thread_.answer_checker.judge(call_->head(), call_->body(),
                                                           load_.request->route->expects_object());
  if (failure != CallFailure::kNone) return failure;
  if (load_.piece > 0 && call_->head().status == 200) {
    const ListReader::Piece piece{call_->body(), 0, ticket_.prompts};
    if (!thread_.list_reader.gather({&piece, 1}, load_.choices)) return CallFailure::kWrongCount;
  }
  return CallFailure::kNone;
}

// Waits for the call that this errand shares with others. Not to be cut short: others read our
// bytes meanwhile.
Task<CallFailure> Errand::share_call() {
  if (!ticket_.verdict.is_follower) start_merged_call(thread_, *this);
  if (!shared_) co_await waiter_.wait();
  co_return shared_->failure;
}

void Errand::fill(std::unique_ptr<const SharedAnswer> answer) {
  auto hand_over = [this, answer = std::move(answer)]() mutable {
    shared_ = std::move(answer);
    // With the ticket still on its way back, the verdict is what the errand waits for.
    if (with_lane_ == 0) waiter_.wake();
  };
  asio::dispatch(thread_.io, std::move(hand_over));
}

}  // namespace batchproxy
