// proxy/request/leg.cc - see leg.h.
#include "proxy/request/leg.h"

#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "proxy/request/merged_call.h"
#include "proxy/wire/client_error.h"

namespace batchproxy {

using Do = LegCore::Do;
using Act = LegCore::Act;

MergedHead::MergedHead(const AnswerHead& head) : head_(head) {
  std::vector<std::string_view*> values{&head_.more};
  for (const KeptField& kept : kKeptFields) values.push_back(&(head_.*kept.value));
  for (const std::string_view* value : values) text_.append(*value);
  const char* at = text_.data();
  for (std::string_view* value : values) {
    *value = {at, value->size()};
    at += value->size();
  }
}

SplicedBody Leg::Load::body() const {
  if (piece == 0) return request->body;
  return SplicedBody({parts.before, "[", parts.prompt, "]", parts.after});
}

struct Leg::Beside {
  explicit Beside(Leg& first) : leg(BesideTag{}, first) {}

  Leg leg;
  bool ended = false;
  std::exception_ptr broken;
};

// A question to the monitor, which may be given up before it is answered.
struct Leg::Look final : Deadline {
  explicit Look(Leg& of) : leg(of), asker(std::make_shared<Leg*>(&of)) {}
  ~Look() override { *asker = nullptr; }
  void on_expired() override { leg.waiter_.wake(); }

  Leg& leg;
  const std::shared_ptr<Leg*> asker;  // points to nobody once nobody waits
  std::optional<bool> is_ready;
};

Leg::Leg(IoThread& thread, RequestPhase& phase, RequestTrace& trace, Load load, Attempts& attempts)
    : thread_(thread),
      phase_(phase),
      trace_(trace),
      load_(load),
      core_(attempts, thread.settings.holds_for_room) {
  ticket().sink = this;
}

Leg::Leg(BesideTag, Leg& first)
    : thread_(first.thread_),
      phase_(first.phase_),
      trace_(first.trace_),
      load_(first.load_),
      core_(first.core_),
      before_(&first) {
  ticket().sink = this;
}

Leg::~Leg() = default;

Task<Leg::Ending> Leg::run() {
  std::exception_ptr broken;
  try {
    Do next = core_.begin();
    while (next != Do::kEnd) {
      switch (next) {
        case Do::kRetry:
          thread_.metrics.retried.add();
          submit();
          co_await waiter_.wait();
          next = core_.on_verdict();
          break;
        case Do::kSubmit:
          merged_.reset();  // the next answer may be a merged one, and here before the verdict
          submit();
          co_await waiter_.wait();
          next = core_.on_verdict();
          break;
        case Do::kCall: {
          const CallFailure failure = co_await call();
          next = core_.on_call_ended(end_of_call(failure));
          break;
        }
        case Do::kLookAt:
          begin_look();
          co_await waiter_.wait();
          next = core_.on_looked_at(std::exchange(look_, nullptr)->is_ready,
                                    std::chrono::steady_clock::now());
          break;
        case Do::kReport:
          tell(core_.report());
          next = core_.go_on();
          break;
        case Do::kEndBeside:
          beside_->leg.cancel();
          next = Do::kJoin;
          break;
        case Do::kJoin:
          co_await join();
          next = core_.on_joined();
          if (!core_.has_beside()) {
            beside_.reset();
          } else if (beside_->broken) {
            std::rethrow_exception(beside_->broken);
          }
          break;
        case Do::kPoison:
          note_poison();
          next = Do::kEnd;
          break;
        case Do::kEnd:
          break;
      }
    }
  } catch (...) {
    broken = std::current_exception();
  }
  if (broken) {
    const bool granted = core_.break_off();
    InFlight::unlink();
    if (beside_) {
      beside_->leg.cancel();
      co_await join();
    }
    if (granted) release(Outcome::kUnknown);
    std::rethrow_exception(broken);
  }
  co_return core_.ending();
}

void Leg::act(Act act) {
  switch (act) {
    case Act::kNothing:
      break;
    case Act::kWithdraw:
      thread_.lane->cancel(ticket(), core_.has_client_left());
      break;
    case Act::kEndCall:
      call_->abort();
      break;
    case Act::kStopLooking:
      // From the event loop: whoever cancels must not find the request gone on return.
      waiter_.wake_later(thread_.net.io.get_executor());
      break;
    case Act::kAskBeside:
      ask_beside();
      break;
  }
}

void Leg::cancel(bool client_left) {
  if (left_.exchange(true)) return;
  const Act own = core_.cancel(client_left);
  if (beside_ && !beside_->ended) beside_->leg.cancel();
  act(own);
}

void Leg::end_stream(bool ok) {
  note_attempt(call_->failure(), call_->head().status);
  release(core_.on_stream_ended(ok, call_->failure()));
}

const Leg& Leg::answered_by() const {
  return core_.beside_counts() ? beside_->leg.answered_by() : *this;
}

Error Leg::error() const {
  if (core_.refused() == Errc::kNoBackend) return error_of_nobody();
  if (const std::optional<Errc> why = core_.refused()) return error_of(*why);
  static const AnswerFault none;
  return error_of(core_.last(), backend_ ? backend_->name : "", fault_ ? *fault_ : none);
}

// Why one of its backends is not ready, as far as that is known: often it is the same for all.
Error Leg::error_of_nobody() const {
  Error error = error_of(Errc::kNoBackend);
  for (const BackendPtr& backend : thread_.published.roster->present()) {
    const bool is_its = ticket().backends.empty() || ticket().backends.contains(backend->id());
    if (!is_its || backend->is_ready() || backend->why.empty()) continue;
    error.message += " Of " + backend->name() + " is known: " + backend->why + ".";
    break;
  }
  return error;
}

// --- the lane -----------------------------------------------------------------------------------

void Leg::on_returned(Ticket&) {
  if (core_.on_returned()) waiter_.wake();
}

// The granted backend is free of this leg. Exactly once for every grant.
void Leg::release(Outcome outcome, Duration pause) {
  phase_.end_call();
  thread_.lane->complete(ticket(), outcome, pause);
}

// --- the backend --------------------------------------------------------------------------------

// No coroutine: the call is all that is waited for.
Task<CallFailure> Leg::call() {
  backend_ = thread_.net.upstreams.endpoint(ticket().verdict.backend);
  batch_ = ticket().verdict.batch;
  phase_.begin_call();
  if (core_.is_merged()) return call_merged();
  merged_.reset();
  return call_alone();
}

Task<CallFailure> Leg::call_alone() {
  call_.reset();  // the last attempt's ends before the next one begins
  if (core_.is_cancelled()) co_return CallFailure::kAborted;
  call_ = std::make_unique<UpstreamCall>(thread_.upstream_resources(), ticket().verdict.backend,
                                         thread_.attempt_deadline(ticket().deadline));
  thread_.in_flight.push_back(*this);
  const ClientRequest& request = *load_.request;
  const std::string id = next_call_id();
  // What is to be put together with others must not come compressed.
  std::string uncompressed;
  if (load_.piece > 0) uncompressed = without_field(request.fields, "accept-encoding");
  const std::string_view fields = load_.piece > 0 ? uncompressed : request.fields;
  const std::string traced = trace_line();
  const UpstreamRequest upstream{request.route->method, request.target,        fields,
                                 request.key_field,     request.authorization, id,
                                 traced,                load_.body()};
  CallFailure failure = co_await call_->start(upstream);
  const bool may_stream =
      failure == CallFailure::kNone && ticket().streaming && call_->head().status == 200;
  if (may_stream) {
    const AnswerHead& head = call_->head();
    streams_ = is_event_stream(head.content_type);
    const bool is_odd =
        !streams_ && head.content_encoding.empty() && !is_json_type(head.content_type);
    if (is_odd) streams_ = co_await call_->sends_events();
    streams_ = streams_ && !core_.is_cancelled();
  }
  // Until it has begun it can be asked anew, like any other answer.
  if (streams_) {
    failure = co_await call_->await_body();
    streams_ = failure == CallFailure::kNone && !core_.is_cancelled();
  }
  if (streams_ || failure != CallFailure::kNone) {
    InFlight::unlink();
    co_return failure;
  }
  if (!call_->take_whole()) failure = co_await call_->read_whole();
  InFlight::unlink();
  co_return failure == CallFailure::kNone ? check_answer() : failure;
}

std::string Leg::trace_line() const {
  const auto& trace = load_.request->trace;
  if (!trace) return {};
  const Verdict& verdict = ticket().verdict;
  return trace->line_of(attempt_span(trace->span_number, verdict.since, verdict.batch.id));
}

// Fresh for every attempt: some vLLM versions refuse an id that is still running.
std::string Leg::next_call_id() {
  const ClientRequest& request = *load_.request;
  std::string id;
  id.reserve(request.given_id.size() + request.id.most() + 32);
  if (!request.given_id.empty()) id.append(request.given_id).append("-");
  request.id.append_to(id);
  if (load_.piece > 0) id.append(".p").append(std::to_string(load_.piece));
  return id.append(".").append(std::to_string(++calls_));
}

// Whether the answer is one at all. What it says is the client's business, except where we put it
// together with others.
CallFailure Leg::check_answer() {
  const CallFailure failure = thread_.scratch.answer_checker.judge(
      call_->head(), call_->body(), load_.request->route->expects_object());
  if (failure != CallFailure::kNone) return failure;
  call_->keep_connection();
  if (load_.piece > 0 && call_->head().status == 200) {
    const ListReader::Piece piece{call_->body(), 0, ticket().prompts};
    if (!thread_.scratch.list_reader.gather({&piece, 1}, load_.choices))
      return CallFailure::kWrongCount;
  }
  return CallFailure::kNone;
}

// Waits for the call that this leg is a member of.
Task<CallFailure> Leg::call_merged() {
  if (!ticket().verdict.is_follower) start_merged_call(thread_, *this);
  if (!merged_) co_await waiter_.wait();
  co_return merged_->failure;
}

void Leg::fill(std::unique_ptr<const MergedAnswer> answer) {
  auto hand_over = [this, answer = std::move(answer)]() mutable {
    merged_ = std::move(answer);
    // With the ticket still on its way back, the verdict is what the leg waits for.
    if (!core_.is_with_lane()) waiter_.wake();
  };
  asio::dispatch(thread_.net.io, std::move(hand_over));
}

LegCore::CallEnd Leg::end_of_call(CallFailure failure) const {
  LegCore::CallEnd end{.failure = failure, .streams = streams_};
  const bool own = !core_.is_merged() && call_ != nullptr;
  end.silent = own && call_->is_silent();
  if (failure == CallFailure::kNone) {
    end.status = answer().status;
    if (!streams_) end.says_dead = own && tells_of_death(end.status, call_->body());
    if (!streams_) end.pause = wait_asked_for(answer());
  }
  if (!end.is_good()) end.at = std::chrono::steady_clock::now();
  return end;
}

// --- the monitor --------------------------------------------------------------------------------

void Leg::begin_look() {
  look_ = std::make_unique<Look>(*this);
  thread_.net.deadlines.set(*look_, ticket().deadline);
  thread_.monitor.look_at(ticket().verdict.backend,
                          [asker = look_->asker, &io = thread_.net.io](bool ready) {
                            asio::post(io, [asker, ready] {
                              if (*asker != nullptr) (*asker)->end_look(ready);
                            });
                          });
}

void Leg::end_look(bool is_ready) {
  look_->is_ready = is_ready;
  waiter_.wake();
}

// --- the leg beside -----------------------------------------------------------------------------

void Leg::ask_beside() {
  beside_ = std::make_unique<Beside>(*this);
  thread_.metrics.retried.add();
  asio::co_spawn(thread_.net.io.get_executor(), run_beside(), asio::detached);
}

Task<void> Leg::run_beside() {
  try {
    co_await beside_->leg.run();
  } catch (...) {
    beside_->broken = std::current_exception();
  }
  beside_->ended = true;
  act(core_.on_beside_ended());
  if (joins_) waiter_.wake();
}

Task<void> Leg::join() {
  joins_ = !beside_->ended;
  if (joins_) co_await waiter_.wait();
  joins_ = false;
}

// --- what is told -------------------------------------------------------------------------------

void Leg::tell(const LegCore::Report& report) {
  note_attempt(core_.last(), core_.status());
  // The backend is free of us, however long the client takes to read.
  release(report.outcome, report.pause);
  if (report.bad_answer) note_fault();
  if (report.failed) thread_.metrics.count_failed_attempt(report.backend, core_.last());
  if (report.looks_gone) thread_.monitor.report_failure(report.backend, report.unreachable);
  if (report.lacks_model) thread_.monitor.refresh_models([] {});
  if (report.ends_before) before_->act(before_->core_.yield());
}

// Before the ticket is given back, which takes the verdict along.
void Leg::note_attempt(CallFailure failure, unsigned status) {
  const Verdict& verdict = ticket().verdict;
  AttemptRecord attempt;
  attempt.backend = thread_.backend_names[verdict.backend];
  attempt.granted = verdict.since;
  attempt.batch = verdict.batch.id;
  attempt.batch_prompts = verdict.batch.prompts;
  attempt.failure = failure;
  attempt.status = static_cast<std::uint16_t>(failure == CallFailure::kNone ? status : 0);
  attempt.went_down = core_.went_down();
  attempt.beside = before_ != nullptr;
  if (merged_) {
    attempt.members = merged_->members;
    attempt.leader = merged_->leader;
  }
  if (!attempt.is_good()) attempt.ended = std::chrono::steady_clock::now();
  trace_.add(attempt);
}

// Why its answer is refused: for its client, and now and then for the log.
void Leg::note_fault() {
  fault_ = std::make_unique<const AnswerFault>(merged_ ? merged_->fault : call_->fault());
  if (!thread_.may_tell_refused(std::chrono::steady_clock::now())) return;
  spdlog::warn("{}: an answer is refused. {}", backend_->name,
               describe(*fault_, /*to_its_client=*/false));
}

void Leg::note_poison() {
  thread_.poison->add(load_.request->content_key(), std::chrono::steady_clock::now());
  thread_.metrics.poisoned.add();
}

}  // namespace batchproxy
