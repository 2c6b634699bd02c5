// proxy/edge/session.cc - see session.h.
#include "proxy/edge/session.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>

#include <fmt/format.h>

#include "backends/http/body.h"
#include "backends/http/head_writer.h"
#include "proxy/decisions/decided_request.h"
#include "proxy/edge/recorded_request.h"
#include "proxy/edge/tls_relay.h"
#include "proxy/request/ticket_builder.h"

namespace batchproxy {

namespace {

// How long a refused client may take to read our answer before its connection is cut.
constexpr Duration kLinger = std::chrono::seconds(2);
// While draining, a client that has asked within this time may be about to ask again: closing its
// connection now could cross its next request on the way.
constexpr Duration kDrainPatience = std::chrono::seconds(1);
// A client that tells its read time-out should have our answer before it gives up.
constexpr Duration kClientMargin = std::chrono::seconds(2);

// So many requests of a thread that wait make a queue in which the next one waits too: its buffers
// are made to fit. With fewer, a copy would cost more than the memory is worth.
constexpr std::uint64_t kLongQueue = 64;

// What load balancers may ask without a key.
constexpr std::string_view kOpenPath = "/health";

// The longest id of a client's own that is taken over, and name of a job, of visible characters.
constexpr std::size_t kLongestId = 128;

bool is_name(std::string_view id) {
  return !id.empty() && id.size() <= kLongestId &&
         std::ranges::all_of(id, [](char c) { return c > ' ' && c < '\x7f'; });
}

// False where `traceparent` is none as the standard has it, which is passed on as it came.
bool take_trace(std::string_view traceparent, ClientRequest& request) {
  if (request.trace) return false;
  auto context = read_traceparent(traceparent, request.id.hash());
  if (!context) return false;
  request.trace = std::make_shared<const TraceContext>(*std::move(context));
  return true;
}

// One that has a field of that name which is none is left alone.
bool may_begin_trace(const ClientRequest& request) {
  return value_of(request.fields, kTraceparent).empty();
}

Error bad_job_name() {
  return {
      Errc::kInvalidRequest,
      fmt::format("{} must be 1 to {} visible characters without spaces.", kJobField, kLongestId)};
}

Error body_too_large(std::uint64_t limit) {
  return {Errc::kBodyTooLarge, "The request body is larger than " + std::to_string(limit) +
                                   " bytes (batchproxy.max_body_bytes). Send it in parts."};
}

Error no_key(bool given) {
  return {Errc::kInvalidApiKey, given ? "The API key is not one that this proxy knows."
                                      : "This proxy needs an API key. Send it as "
                                        "`Authorization: Bearer <key>`, or as `x-api-key: <key>`."};
}

// For HEAD: what GET would be answered, without its body.
void drop_body(std::string& answer) {
  answer.resize(answer.find("\r\n\r\n") + 4);
}

Error bad_chunks() {
  return {Errc::kBadHttp, "Malformed HTTP: the chunked body has an error."};
}

// The openai package says how long it will wait for bytes (seconds, possibly with a fraction).
Duration client_timeout(std::string_view seconds, Duration ours, Duration most) {
  double value = 0;
  const auto [end, error] = std::from_chars(seconds.data(), seconds.data() + seconds.size(), value);
  if (error != std::errc{} || end != seconds.data() + seconds.size() || !(value > 0)) return ours;
  const auto theirs =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(value, 1e9)));
  // With next to no time there is no margin to take off.
  return std::min(most, theirs > 2 * kClientMargin ? theirs - kClientMargin : theirs);
}

Error overloaded() {
  return {Errc::kOverloaded,
          "Request bodies fill all the memory that they may (batchproxy.max_buffered_bytes). "
          "Try again."};
}

Error head_too_late(Duration limit) {
  return {Errc::kRequestTimeout, fmt::format("The request's head did not arrive within {:g} s.",
                                             std::chrono::duration<double>(limit).count())};
}

Error body_too_late(const PaceLimits& limits, bool stood_still) {
  const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
  const std::string why =
      stood_still
          ? fmt::format("no byte came for {:g} s (batchproxy.stall_timeout)", seconds(limits.stall))
          : fmt::format("on average fewer than {} bytes a second came, measured after {:g} s",
                        limits.rate, seconds(limits.grace));
  return {Errc::kRequestTimeout, "The request's body did not arrive in time: " + why + "."};
}

std::unique_ptr<const Error> refusal(Error error) {
  return std::make_unique<const Error>(std::move(error));
}

// What is wrong with a request whose body was read to this end.
std::optional<Error> fault_of(http::BodyStatus status, const BodyReceiver& receiver,
                              const DataPathSettings& settings) {
  switch (status) {
    case http::BodyStatus::kWhole:
      break;
    case http::BodyStatus::kCut:
      return receiver.overloaded() ? overloaded()
                                   : body_too_late(settings.body_pace, receiver.stood_still());
    case http::BodyStatus::kTooLarge:
      return body_too_large(settings.max_body);
    case http::BodyStatus::kMalformed:
      return bad_chunks();
  }
  return std::nullopt;
}

}  // namespace

Error out_of_descriptors() {
  return {Errc::kOverloaded,
          "batchproxy is out of file descriptors. Try again, or raise its limit (ulimit -n)."};
}

Session::Session(IoThread& thread, Connection::Ptr connection)
    : thread_(thread), connection_(std::move(connection)) {
  address_key_ = text_key(connection_->peer_address());
  thread_.clients.sessions.push_back(*this);
  thread_.metrics.accepted.add();
  thread_.metrics.connections.add();
}

Session::~Session() {
  thread_.metrics.connections.sub();
  thread_.clients.cap.give();
  thread_.net.buffers.give_back(std::move(in_));
  // A client must be able to read our last answer although we read no more of what it sends.
  if (!relayed_) connection_->close_lingering(kLinger);
}

Task<void> Session::run() {
  if (connection_->is_secured()) {
    const bool met = co_await shake_hands();
    if (!met) co_return;
  }
  while (true) {
    // An idle connection holds no buffer: it waits for its first byte with nothing in hand.
    while (in_.empty()) {
      begin_idling();
      if (connection_->must_wait()) co_await connection_->wait();
      end_idling();
      if (!connection_->may_read() || !read_some()) co_return;
      if (in_.empty()) thread_.net.buffers.give_back(std::move(in_));  // woken for nothing
    }
    in_request_ = true;
    const bool again = co_await serve_one();
    in_request_ = false;
    if (!again) break;
    if (pos_ == in_.size()) {
      thread_.net.buffers.give_back(std::move(in_));
    } else {  // pipelined: the next request has begun in this buffer
      Buffer rest = thread_.net.buffers.take(in_.size() - pos_ + 1);
      rest.append(in_.view().substr(pos_));
      std::swap(in_, rest);
      thread_.net.buffers.give_back(std::move(rest));
    }
    pos_ = 0;
  }
}

Task<bool> Session::shake_hands() {
  idle_since_ = std::chrono::steady_clock::now();
  connection_->stop_reading_in(thread_.settings.head_timeout);
  const bool met = co_await connection_->shake_hands();
  if (met) co_return true;
  if (connection_->gives_up_tls()) {
    const Error error{Errc::kBadHttp, "This port speaks TLS. Begin the URL with https://."};
    co_await reject(error);
  }
  co_return false;
}

void Session::begin_idling() {
  const TimePoint now = std::chrono::steady_clock::now();
  idle_since_ = now;
  connection_->stop_reading_at(
      now + (thread_.published.draining ? kDrainPatience : thread_.settings.idle_timeout));
  thread_.clients.idle.add(*this, now);
  thread_.metrics.connections.idle.add();
}

void Session::end_idling() {
  thread_.clients.idle.remove(*this);
  thread_.metrics.connections.idle.sub();
}

bool Session::close_idle() {
  if (connection_->has_bytes() || connection_->is_flushing()) return false;
  thread_.metrics.evicted.add();
  connection_->close();
  return true;
}

void Session::close_if_idle() {
  if (in_request_) return;
  const Duration idle = std::chrono::steady_clock::now() - idle_since_;
  connection_->stop_reading_in(std::max(kDrainPatience - idle, Duration::zero()));
}

void Session::cut_short() {
  if (dispatch_ != nullptr) {
    dispatch_->cut_short();
  } else {
    connection_->close();
  }
}

// Its frame lives for as long as the request waits: what is needed once is in functions that are no
// coroutines, or in coroutines that most requests need not start.
Task<bool> Session::serve_one() {
  std::size_t searched = 0;
  bool timed = false;
  Received received = take_head(searched);
  while (received.how == Received::How::kPartial) {
    if (connection_->must_wait()) {
      // Most heads come whole; the others have so long from here on.
      if (!std::exchange(timed, true)) {
        connection_->stop_reading_in(thread_.settings.head_timeout);
      }
      co_await connection_->wait();
    }
    if (!connection_->may_read()) co_return co_await give_up_reading();
    if (!read_some()) co_return false;
    received = take_head(searched);
  }
  if (received.why) co_return co_await reject(*received.why);
  ClientRequest request = describe_request(thread_.scratch.request_head);
  received.why = find_fault(thread_.scratch.request_head, request);
  if (received.why) co_return co_await reject(*received.why, &request);
  if (request.route->handed_over) co_return co_await hand_over(request);

  ByteHold hold(thread_.clients.receivers);
  http::WholeBody body;
  const http::Framing framing = thread_.scratch.request_head.fields.framing;
  const std::size_t start = pos_;
  if (!http::take_whole(framing, http::NoFraming::kEmpty, in_, pos_, body)) {
    received = co_await read_body(framing, hold, body);
    if (received.why) co_return co_await reject(*received.why, &request);
    if (received.how == Received::How::kClientLeft) co_return false;
  }
  if (thread_.metrics.queued.get() >= kLongQueue) fit_buffers(start, body, request);
  request.body = body.view;
  hold.set(request.body.size());
  request.arrival = std::chrono::steady_clock::now();
  connection_->never_expire();
  if (const std::unique_ptr<const Local> answer = answer_here(request)) {
    co_return co_await write_local(request, *answer);
  }
  RequestTrace trace;
  if (request.route->decides) {
    const bool next = co_await decide(request, trace, hold);
    leave_record(request, trace);
    thread_.net.buffers.give_back(std::move(body.own));
    co_return next;
  }
  RequestHandler dispatch(thread_, *connection_, request, trace);
  dispatch_ = &dispatch;
  const bool again = co_await answer(dispatch, request);
  dispatch_ = nullptr;
  leave_record(request, trace);
  thread_.net.buffers.give_back(std::move(body.own));
  co_return again;
}

Task<bool> Session::answer(RequestHandler& handler, const ClientRequest& request) {
  return RecordedRequest::is_one(thread_, request) ? answer_recorded(handler, request)
                                                   : handler.run();
}

Task<bool> Session::answer_recorded(RequestHandler& handler, const ClientRequest& request) {
  RecordedRequest recorded(thread_, *connection_, request, handler);
  const bool again = co_await recorded.run();
  co_return again;
}

Task<bool> Session::decide(const ClientRequest& request, RequestTrace& trace, ByteHold& hold) {
  DecidedRequest decided(thread_, *connection_, request, trace, hold, dispatch_);
  const bool again = co_await decided.run();
  co_return again;
}

void Session::leave_record(const ClientRequest& request, const RequestTrace& trace) {
  thread_.metrics.received_bytes.add(request.body.size());
  thread_.metrics.sent_bytes.add(trace.sent);
  trace.fill(thread_.records.next(), request);
}

Session::Received Session::Received::refused(Error error) {
  return {How::kRefused, refusal(std::move(error))};
}

// When it is whole, the head is in the thread's scratch and pos_ behind it. `searched` bytes have
// no end of a head in them.
Session::Received Session::take_head(std::size_t& searched) {
  const std::string_view bytes = in_.view();
  const auto end = http::find_head_end(bytes, searched);
  std::optional<Error> error;
  if (end) {
    error = http::parse_request_head(bytes.substr(0, *end), http::kRequestLimits,
                                     thread_.scratch.request_head);
    pos_ = *end;
  } else {
    error = http::check_partial_head(bytes, http::kRequestLimits);
    searched = bytes.size();
  }
  if (error) return Received::refused(*std::move(error));
  return {end ? Received::How::kWhole : Received::How::kPartial};
}

bool Session::read_some() {
  if (in_.capacity() == 0) in_ = thread_.net.buffers.take();
  const auto n = connection_->read_some(in_.spare());
  if (n) in_.commit(*n);
  return n.has_value();
}

// What is wrong with a request by what its head says.
Session::Refusal Session::find_fault(const http::RequestHead& head, ClientRequest& request) {
  const bool given = !request.authorization.empty();
  if (!identify(head, request)) return refusal(no_key(given));
  const auto route = find_route(head.method, head.path());
  if (!route) return refusal(route.error());
  request.route = *route;
  if (request.job && !is_name(*request.job)) return refusal(bad_job_name());
  if ((*route)->handed_over) return nullptr;  // who takes it has limits of its own
  if (head.target == head.path() && (*route)->method != "OPTIONS") {
    request.target = (*route)->path;  // without a slash at its end
  }
  if (head.fields.framing.content_length > thread_.settings.max_body) {
    return refusal(body_too_large(thread_.settings.max_body));
  }
  if (head.has_body() && !thread_.clients.receivers.may_admit()) return refusal(overloaded());
  return nullptr;
}

// A body that has not come whole with its head.
Task<Session::Received> Session::read_body(const http::Framing& framing, ByteHold& hold,
                                           http::WholeBody& body) {
  const http::RequestHead& head =
      thread_.scratch.request_head;  // not valid after the next co_await
  const bool wants_continue = head.expects_continue && head.minor_version == 1 && head.has_body();
  if (wants_continue && pos_ == in_.size()) {
    const bool sent = co_await connection_->write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return Received{Received::How::kClientLeft};
  }
  BodyReceiver receiver(thread_.clients.receivers, hold, *connection_, thread_.settings.body_pace);
  http::BodyReader reader(*connection_, thread_.net.buffers, in_, pos_, framing,
                          http::NoFraming::kEmpty, thread_.settings.max_body, &receiver);
  const http::BodyStatus status = co_await reader.read_whole();
  if (status == http::BodyStatus::kCut && !receiver.overloaded() && !connection_->is_open()) {
    co_return Received{Received::How::kClientLeft};
  }
  std::optional<Error> error = fault_of(status, receiver, thread_.settings);
  if (error) co_return Received::refused(*std::move(error));
  body = std::move(reader.body());
  co_return Received{};
}

ClientRequest Session::describe_request(const http::RequestHead& head) const {
  ClientRequest request;
  request.id = thread_.ids.next();
  request.target = head.target;
  request.minor_version = head.minor_version;
  request.head_only = head.method == "HEAD";
  request.keep_alive = head.keep_alive();
  request.timeout = thread_.settings.request_timeout;
  std::string_view api_key;
  thread_.scratch.text.clear();
  http::HeadWriter passed_on(thread_.scratch.text);
  for (const http::Field& field : head.fields) {
    const auto is = [&](std::string_view name) { return http::iequals(field.name, name); };
    const bool passed = thread_.settings.passed.request.has(field.name);
    const bool taken = passed && is(kTraceparent) && take_trace(field.value, request);
    if (passed && !taken) passed_on.field(field.name, field.value);
    if (is("content-encoding")) {
      request.scannable = http::iequals(field.value, "identity");
    } else if (is(kAuthorization)) {
      request.authorization = field.value;
    } else if (is(kApiKey)) {
      api_key = field.value;
    } else if (is("x-request-id") && is_name(field.value)) {
      request.given_id = field.value;
    } else if (is(InternalMark::kField)) {
      const auto who = thread_.internal->who_in(field.value);
      request.background = who.has_value();
      if (who) request.client = text_key(*who);
    } else if (is(kJobField)) {
      request.job = std::make_shared<const std::string>(field.value);
    } else if (is("x-stainless-read-timeout")) {
      request.timeout =
          client_timeout(field.value, request.timeout, thread_.settings.max_request_timeout);
    }
  }
  if (request.authorization.empty() && !api_key.empty()) {
    request.key_field = kApiKey;
    request.authorization = api_key;
  }
  if (!thread_.settings.cors.empty()) request.cors = thread_.settings.cors.fields_for(head);
  request.fields = passed_on.text();
  if (thread_.settings.traced_up_to > 0 && !request.trace) begin_trace_of(request);
  return request;
}

// Of one that is part of no trace of its client's, if chance has it so.
void Session::begin_trace_of(ClientRequest& request) const {
  const std::uint64_t number = request.id.hash();
  if (number > thread_.settings.traced_up_to || !may_begin_trace(request)) return;
  request.trace = std::make_shared<const TraceContext>(begin_trace(number));
}

// Gives the common buffers back for ones made to measure. Views into the head move along.
void Session::fit_buffers(std::size_t start, http::WholeBody& body, ClientRequest& request) {
  const std::string_view old = in_.view();
  const auto place_of = [old](std::string_view part) -> std::optional<std::size_t> {
    const bool inside = !part.empty() && !std::less<>{}(part.data(), old.data()) &&
                        std::less<>{}(part.data(), old.data() + old.size());
    if (!inside) return std::nullopt;  // some are literals
    return static_cast<std::size_t>(part.data() - old.data());
  };
  const auto target = place_of(request.target);
  const auto authorization = place_of(request.authorization);
  http::fit(thread_.net.buffers, in_, start, pos_, body);
  if (target) request.target = in_.view().substr(*target, request.target.size());
  if (authorization) {
    request.authorization = in_.view().substr(*authorization, request.authorization.size());
  }
}

// Tells whose request it is; false when it may not be served.
bool Session::identify(const http::RequestHead& head, ClientRequest& request) {
  if (request.background) return true;  // our own, for a client whose key was checked
  if (thread_.published.keys == nullptr) {
    // Nobody has checked the bearer: with it alone, one client could take the turns of another.
    request.client = client_key(address_key_, request.authorization);
    return true;
  }
  const ApiKeys::Key* key = request.key_field == kApiKey
                                ? thread_.published.keys->find_key(request.authorization)
                                : thread_.published.keys->find(request.authorization);
  request.authorization = {};  // it is for us, and no backend's business
  // Browsers send no key with the OPTIONS that come before a request of a page.
  const bool open = head.path() == kOpenPath || head.method == "OPTIONS";
  if (key == nullptr) return open && !head.has_body();
  request.key = key->name;
  if (thread_.settings.job_by_key && !request.job)
    request.job = std::make_shared<const std::string>(key->name);
  request.client = text_key(key->name);
  thread_.metrics.by_key[key->slot].add();
  return true;
}

// The client has left, or has taken too long to send its head.
Task<bool> Session::give_up_reading() {
  if (!connection_->is_open()) co_return false;
  const Error error = head_too_late(thread_.settings.head_timeout);
  co_return co_await reject(error);
}

// Answers with `error` and closes: after a request that we did not read to its end there is no next
// one. `request` is null while nothing is known of it.
Task<bool> Session::reject(const Error& error, const ClientRequest* request) {
  thread_.metrics.count_error(error.code);
  ClientRequest unknown;
  if (request == nullptr) unknown.id = thread_.ids.next();
  const ClientRequest& asked = request == nullptr ? unknown : *request;
  std::string id;
  asked.append_shown_id(id);
  ReplyContext context{id, 1, false, asked.cors_lines()};
  if (request != nullptr) context.errors = error_form(request->target);
  std::string answer = compose_error(error, context);
  if (asked.head_only) drop_body(answer);
  RequestTrace trace;
  trace.refuse(error.code);
  trace.sent = answer.size();
  trace.end(finish_of(error.code), std::chrono::steady_clock::now());
  leave_record(asked, trace);
  return write_last(std::move(answer));
}

Task<bool> Session::write_last(std::string answer) {
  co_await connection_->write(answer, thread_.settings.write_stall);
  co_return false;
}

// Null: a backend answers.
std::unique_ptr<const Session::Local> Session::answer_here(const ClientRequest& request) {
  const Handler handler = request.route->handler;
  if (handler == nullptr) return nullptr;
  const LocalResult answer =
      handler({*thread_.published.models, !thread_.published.roster->ready().empty(), thread_.load,
               request.target, request.head_only});
  if (!answer) return nullptr;
  const bool keep_alive = request.keep_alive && !thread_.published.draining;
  std::string id;
  request.append_shown_id(id);
  const ReplyContext context{id, request.minor_version, keep_alive, request.cors_lines(),
                             request.route->errors};
  Local local{{}, keep_alive};
  if (answer->has_value()) {
    local.text = compose_local(**answer, context);
    local.trace.status = static_cast<std::uint16_t>((*answer)->status);
  } else {
    const Error error = answer->error();
    thread_.metrics.count_error(error.code);
    local.trace.refuse(error.code);
    local.text = compose_error(error, context);
  }
  if (request.head_only) drop_body(local.text);
  local.trace.sent = local.text.size();
  return std::make_unique<const Local>(std::move(local));
}

// The request, as far as it has been read, goes on with its connection. Always false: it has left,
// or there is no descriptor for it.
Task<bool> Session::hand_over(const ClientRequest& request) {
  connection_->never_expire();
  HandedOver over;
  over.socket = take_socket();
  if (over.socket.get() < 0) {
    const Error error = out_of_descriptors();
    co_return co_await reject(error, &request);
  }
  request.append_shown_id(over.id);
  over.owner = request.key;
  over.cors = request.cors;
  over.bytes = in_.view();
  thread_.hand_over(std::move(over));
  co_return false;
}

// For the service that the connection goes to. Of one that speaks TLS it is the plain end of a
// pair, for which connections that rest may have to go. Empty when there is no descriptor even so.
Descriptor Session::take_socket() {
  if (!connection_->is_secured()) return Descriptor(connection_->release());
  Descriptor socket = relay_plainly(thread_, connection_);
  if (socket.get() < 0 && thread_.net.upstreams.close_idle() > 0) {
    socket = relay_plainly(thread_, connection_);
  }
  relayed_ = socket.get() >= 0;
  return socket;
}

Task<bool> Session::write_local(const ClientRequest& request, const Local& answer) {
  const bool sent = co_await connection_->write(answer.text, thread_.settings.write_stall);
  RequestTrace trace = answer.trace;
  trace.end(sent ? finish_of_status(trace.status) : Finish::kClientGone,
            std::chrono::steady_clock::now());
  leave_record(request, trace);
  const bool again = sent && answer.keep_alive;
  co_return again;
}

}  // namespace batchproxy
