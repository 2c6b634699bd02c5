// backends/call/upstream_call.cc - see upstream_call.h.
#include "backends/call/upstream_call.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "backends/call/answer_check.h"
#include "backends/http/head_writer.h"

namespace batchproxy {

namespace {

constexpr int kMaxInterim = 8;  // 1xx answers before a final one
constexpr const char* kHeadTooLong = "The answer's head is longer than 32 KiB.";
static_assert(http::kResponseLimits.head == 32 * 1024);

// Head and body as what a gathered write takes.
class Message {
 public:
  Message(std::string_view head, const SplicedBody& body) {
    add(head);
    for (const std::string_view part : body.parts) add(part);
  }
  std::span<const asio::const_buffer> buffers() const { return {buffers_.data(), count_}; }
  std::size_t size() const { return size_; }

 private:
  void add(std::string_view part) {
    if (part.empty()) return;
    buffers_[count_++] = asio::const_buffer(part.data(), part.size());
    size_ += part.size();
  }
  std::array<asio::const_buffer, 6> buffers_;
  std::size_t count_ = 0;
  std::size_t size_ = 0;
};

}  // namespace

std::size_t SplicedBody::size() const {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  return size;
}

UpstreamCall::UpstreamCall(Resources resources, BackendId backend, TimePoint deadline)
    : resources_(resources), backend_(backend), deadline_(deadline) {}

UpstreamCall::~UpstreamCall() {
  if (connection_) connection_->close();  // not given back: its answer was not read to the end
  reader_.reset();
  resources_.buffers.give_back(std::move(in_));
}

Task<CallFailure> UpstreamCall::start(const UpstreamRequest& request) {
  connection_ = resources_.connections.take_idle(backend_);
  bool reused = connection_ != nullptr;
  bool sent_before = false;
  while (true) {
    if (!reused) {
      const CallFailure failure = co_await connect(sent_before);
      if (failure != CallFailure::kNone) co_return failure;
    }
    connection_->expire_at(deadline_);
    if (const auto sent = send(request)) co_await send_rest(request, *sent);
    in_.clear();
    pos_ = 0;
    HeadProgress progress;
    std::optional<CallFailure> result;
    while (!result) {
      if (connection_->must_wait()) co_await connection_->wait();
      result = read_some() ? take_head(progress) : broken(!in_.empty());
    }
    if (!reused || *result != CallFailure::kNoAnswer) co_return *result;
    resources_.connections.count_stale();
    reused = false;
    sent_before = true;
  }
}

// A fresh connection. `sent_before`: a kept one has carried the request, and may have died because
// its server did, perhaps of this very request: whatever keeps us from connecting now, it has been
// sent.
Task<CallFailure> UpstreamCall::connect(bool sent_before) {
  connection_ = resources_.connections.make();
  const ErrorCode error =
      co_await resources_.connections.connect(backend_, *connection_, deadline_);
  if (aborted_) co_return CallFailure::kAborted;
  if (!error) co_return CallFailure::kNone;
  if (sent_before) co_return CallFailure::kNoAnswer;
  const bool refused = error == asio::error::connection_refused ||
                       error == asio::error::host_unreachable ||
                       error == asio::error::host_not_found;
  co_return refused ? CallFailure::kRefused : CallFailure::kUnreachable;
}

// Nothing when all of it has been sent; otherwise how many bytes, with the head in the scratch.
std::optional<std::size_t> UpstreamCall::send(const UpstreamRequest& request) {
  compose(request, resources_.text);
  const Message message(resources_.text, request.body);
  const std::size_t sent = connection_->try_write(message.buffers());
  if (sent == message.size()) return std::nullopt;
  return sent;
}

Task<void> UpstreamCall::send_rest(const UpstreamRequest& request, std::size_t sent) {
  const std::string head = resources_.text;
  const Message message(head, request.body);
  co_await connection_->write_rest(message.buffers(), sent);
}

bool UpstreamCall::read_some() {
  if (!connection_->may_read()) return false;
  if (in_.capacity() == 0) in_ = resources_.buffers.take();
  if (in_.spare().empty()) in_.reserve(pos_ + http::kResponseLimits.head + 1);
  const auto n = connection_->read_some(in_.spare());
  if (n) in_.commit(*n);
  return n.has_value();
}

// Nothing when more must be read first.
std::optional<CallFailure> UpstreamCall::take_head(HeadProgress& progress) {
  while (true) {
    const std::string_view unread = in_.view().substr(pos_);
    const auto length = http::find_head_end(unread, progress.searched);
    if (!length) {
      if (unread.size() > http::kResponseLimits.head) return refuse_head(kHeadTooLong);
      progress.searched = unread.size();
      return std::nullopt;
    }
    if (*length > http::kResponseLimits.head) return refuse_head(kHeadTooLong);
    in_.reserve(pos_ + *length + 1);  // views into the head are taken now: it must not move again
    http::ResponseHead& head = resources_.head;
    if (auto error = http::parse_response_head(in_.view().substr(pos_, *length),
                                               http::kResponseLimits, head)) {
      return refuse_head(std::move(error->message));
    }
    pos_ += *length;
    progress.searched = 0;
    if (head.status < 200) {
      if (++progress.interim > kMaxInterim || head.status == 101) {
        return refuse_head("The backend sent an interim answer that was not asked for.");
      }
      continue;
    }
    head_ = {.status = head.status};
    keep_fields(head.fields);
    const bool no_body = head.status == 204 || head.status == 304;
    const bool framed =
        no_body || head.fields.framing.chunked || head.fields.framing.content_length;
    keep_alive_ = head.keep_alive() && framed;
    reader_.emplace(*connection_, resources_.buffers, in_, pos_,
                    no_body ? http::Framing{} : head.fields.framing,
                    no_body ? http::NoFraming::kEmpty : http::NoFraming::kUntilClose,
                    resources_.max_answer);
    return CallFailure::kNone;
  }
}

// Of those that come twice the first counts.
void UpstreamCall::keep_fields(const http::Fields& fields) {
  more_.clear();
  for (const http::Field& field : fields) {
    const auto kept = std::ranges::find_if(
        kKeptFields, [&](const KeptField& known) { return http::iequals(field.name, known.name); });
    if (kept != kKeptFields.end()) {
      std::string_view& value = head_.*kept->value;
      if (value.empty()) value = field.value;
    } else if (resources_.passed != nullptr && resources_.passed->has(field.name)) {
      more_.append(field.name).append(": ").append(field.value).append("\r\n");
    }
  }
  head_.more = more_;
}

CallFailure UpstreamCall::refuse_head(std::string why) {
  head_fault_ = std::move(why);
  return CallFailure::kBadAnswer;
}

UpstreamCall::BodyStart UpstreamCall::body_start() const {
  constexpr std::size_t kEnough = 8;  // bytes
  const http::Framing& framing = reader_->framing();
  std::string_view left = in_.view().substr(pos_);
  BodyStart start{std::string(framing.chunked ? std::string_view() : left.substr(0, kEnough))};
  start.ended = !framing.chunked && framing.content_length && left.size() >= *framing.content_length;
  http::ChunkDecoder chunks;
  while (framing.chunked && !start.ended && !left.empty() && start.bytes.size() < kEnough) {
    const auto step = chunks.next(left);
    start.ended = !step || chunks.done();
    if (!step) break;
    start.bytes += step->data.substr(0, kEnough);
    left.remove_prefix(step->consumed);
  }
  return start;
}

// Nothing while too little has come to tell.
std::optional<bool> UpstreamCall::begins_with_events() const {
  const BodyStart start = body_start();
  const std::optional<bool> are_events = begins_like_events(start.bytes);
  return start.ended ? are_events.value_or(false) : are_events;
}

Task<bool> UpstreamCall::sends_events() {
  while (true) {
    const std::optional<bool> are_events = begins_with_events();
    if (are_events) co_return *are_events;
    if (in_.spare().empty()) co_return false;  // it must not move: there are views into the head
    if (connection_->must_wait()) co_await connection_->wait();
    if (!read_some()) co_return false;
  }
}

Task<CallFailure> UpstreamCall::await_body() {
  awaits_body_ = true;
  while (true) {
    const BodyStart start = body_start();
    if (start.ended || !start.bytes.empty()) break;
    if (in_.spare().empty()) break;  // as above; a body that has not begun does not fill it
    if (connection_->must_wait()) co_await connection_->wait();
    if (!read_some()) co_return broken(true);
  }
  awaits_body_ = false;
  co_return CallFailure::kNone;
}

bool UpstreamCall::take_whole() {
  return reader_->take_whole();
}

Task<CallFailure> UpstreamCall::read_whole() {
  const http::BodyStatus status = co_await reader_->read_whole();
  co_return status == http::BodyStatus::kWhole ? CallFailure::kNone : failure();
}

bool UpstreamCall::must_wait(Duration patience) {
  while (true) {
    piece_ = reader_->take_piece();
    if (!piece_ || !piece_->empty()) {
      connection_->never_expire();  // while it is dealt with
      return false;
    }
    if (reader_->at_end()) {
      keep_connection();
      return false;
    }
    connection_->expire_in(patience);
    if (connection_->must_wait()) return true;
    if (!reader_->refill()) {
      piece_.reset();
      return false;
    }
  }
}

CallFailure UpstreamCall::failure() const {
  switch (reader_->status()) {
    case http::BodyStatus::kWhole:
      return CallFailure::kNone;
    case http::BodyStatus::kCut:
      return broken(true);
    case http::BodyStatus::kTooLarge:
    case http::BodyStatus::kMalformed:
      return CallFailure::kBadAnswer;
  }
  return CallFailure::kBadAnswer;
}

AnswerFault UpstreamCall::fault() const {
  using Kind = AnswerFault::Kind;
  if (!reader_) return {Kind::kHttp, 0, 0, head_fault_};
  switch (reader_->status()) {
    case http::BodyStatus::kTooLarge:
      return {Kind::kSize, reader_->framing().content_length.value_or(0), resources_.max_answer};
    case http::BodyStatus::kMalformed:
      return {Kind::kHttp, 0, 0, "Malformed HTTP: the chunked body has an error."};
    case http::BodyStatus::kCut:
      return {};
    case http::BodyStatus::kWhole:
      break;
  }
  return fault_of(head_, body());
}

CallFailure UpstreamCall::broken(bool answer_began) const {
  if (aborted_) return CallFailure::kAborted;
  if (connection_->closed() == Connection::Closed::kTimedOut) return CallFailure::kTimedOut;
  return answer_began ? CallFailure::kCutAnswer : CallFailure::kNoAnswer;
}

void UpstreamCall::abort() {
  aborted_ = true;
  if (connection_) connection_->close();
}

// Leftover bytes, or an answer that only the connection's end could end, make it unfit for reuse.
void UpstreamCall::keep_connection() {
  if (keep_alive_ && pos_ == in_.size()) {
    resources_.connections.give_back(backend_, std::move(connection_));
  } else {
    connection_->close();
  }
  connection_.reset();
}

void UpstreamCall::compose(const UpstreamRequest& request, std::string& into) const {
  const Endpoint& endpoint = *resources_.connections.endpoint(backend_);
  into.clear();
  http::HeadWriter out(into);
  out.add(request.method, " ", request.target, " HTTP/1.1\r\nhost: ", endpoint.authority, "\r\n",
          request.fields, request.trace_line);
  if (!endpoint.api_key.empty()) {
    out.add("authorization: Bearer ", endpoint.api_key, "\r\n");
  } else if (!request.authorization.empty()) {
    out.field(request.key_field, request.authorization);
  }
  out.field("x-request-id", request.request_id);
  if (const std::size_t length = request.body.size(); request.method != "GET" || length > 0) {
    out.field("content-length", length);
  }
  out.add("\r\n");
}

}  // namespace batchproxy
