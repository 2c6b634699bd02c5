// bench/load/client.cc - see client.h.
#include "bench/load/client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "backends/http/field_filter.h"
#include "backends/names/resolver.h"
#include "bench/load/answer_reader.h"
#include "configs/schema/host_port.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kConnectTimeout = std::chrono::seconds(10);
constexpr std::string_view kPostFields = "content-type: application/json\r\n";
constexpr std::string_view kBackendField = "x-batchproxy-backend";
constexpr std::string_view kIdField = "x-request-id";

const http::FieldFilter& kept_fields() {
  static const http::FieldFilter filter({std::string(kBackendField), std::string(kIdField)});
  return filter;
}

// Why there is no answer, where {} is the server.
struct FailureWords {
  CallFailure failure;
  std::string_view sentence;
};
constexpr std::array kFailureWords{
    FailureWords{CallFailure::kRefused, "nobody listens at {}: is the server running there?"},
    FailureWords{CallFailure::kUnreachable, "no connection to {} came about in time"},
    FailureWords{CallFailure::kNoAnswer, "{} closed the connection without an answer"},
    FailureWords{CallFailure::kCutAnswer, "{} closed the connection in the middle of its answer"},
    FailureWords{CallFailure::kBadAnswer, "what {} sent is not HTTP as it should be"},
    FailureWords{CallFailure::kTimedOut, "no answer came from {} within the time-out"},
    FailureWords{CallFailure::kAborted, "the run was stopped before {} had answered"},
};

std::string sentence_of(CallFailure failure, const std::string& url) {
  std::string_view sentence = "the call to {} failed";
  for (const FailureWords& words : kFailureWords) {
    if (words.failure == failure) sentence = words.sentence;
  }
  return fmt::format(fmt::runtime(sentence), url);
}

// The value of a line "name: value" among those of AnswerHead::more.
std::string_view value_in(std::string_view lines, std::string_view name) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    lines.remove_prefix(std::min(lines.size(), line.size() + 2));
    if (line.size() < name.size() + 2 || !http::iequals(line.substr(0, name.size()), name))
      continue;
    if (line[name.size()] == ':') return line.substr(name.size() + 2);
  }
  return {};
}

void take_answer(AnswerText answer, RequestResult& result) {
  result.answer = std::move(answer.text);
  result.prompt_tokens = answer.prompt_tokens;
  result.output_tokens = answer.output_tokens;
  result.problem = std::move(answer.problem);
  result.detail = std::move(answer.detail);
}

IdCheck check_ids(const RequestWords& words, std::string_view answered_id, bool echoes,
                  const RequestResult& result) {
  if (!answered_id.empty() && answered_id != words.request_id) return IdCheck::kOther;
  if (echoes && !words.id.empty() && result.answered()) {
    return result.answer.find(words.id) == std::string::npos ? IdCheck::kOther : IdCheck::kSame;
  }
  return answered_id.empty() ? IdCheck::kNone : IdCheck::kSame;
}

}  // namespace

// Keeps a call in the list of those under way.
class LoadClient::Listed {
 public:
  Listed(std::list<UpstreamCall*>& calls, UpstreamCall& call)
      : calls_(calls), place_(calls.insert(calls.end(), &call)) {}
  ~Listed() { calls_.erase(place_); }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;

 private:
  std::list<UpstreamCall*>& calls_;
  const std::list<UpstreamCall*>::iterator place_;
};

LoadClient::LoadClient(Duration timeout)
    : timeout_(timeout), connections_(poller_, deadlines_, kConnectTimeout) {
  set_clock();
}

BackendId LoadClient::add_server(const std::string& url, const std::string& api_key,
                                 const std::string& ca_file) {
  std::string_view base = url;
  while (base.ends_with('/')) base.remove_suffix(1);
  if (base.ends_with("/v1")) base.remove_suffix(3);
  const BackendUrl parsed = parse_backend_url(base);
  if (!parsed.address)
    throw std::runtime_error(fmt::format("{}: {}", printable(url), parsed.problem));
  const LookUp found = look_up(*parsed.address);
  if (found.error) {
    throw std::runtime_error(fmt::format("{}: {}", printable(url),
                                         describe_unresolved(parsed.address->host, found.error)));
  }
  Endpoint endpoint;
  endpoint.id = servers_;
  endpoint.authority = to_string(*parsed.address);
  endpoint.name = endpoint.authority;
  endpoint.addresses = in_order(found.found);
  endpoint.api_key = api_key;
  if (parsed.secured) {
    auto tls = TlsContext::of_client(ca_file);
    if (tls.has_error()) throw std::runtime_error(tls.error());
    endpoint.tls = *tls;
    endpoint.server_name = parsed.address->host;
  }
  connections_.set(std::make_shared<const Endpoint>(std::move(endpoint)));
  return servers_++;
}

void LoadClient::run(Task<void> task) {
  std::exception_ptr failed;
  asio::co_spawn(io_.get_executor(), std::move(task), [&](std::exception_ptr error) {
    failed = std::move(error);
    io_.stop();
  });
  io_.run();
  io_.restart();
  if (failed) std::rethrow_exception(failed);
}

double LoadClient::now() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void LoadClient::set_clock() {
  start_ = Clock::now();
}

TimePoint LoadClient::moment(double seconds) const {
  return start_ + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

UpstreamCall::Resources LoadClient::resources() {
  return {.connections = connections_,
          .buffers = buffers_,
          .head = head_,
          .text = text_,
          .passed = &kept_fields()};
}

Task<PageReply> LoadClient::get(BackendId server, std::string path) {
  return exchange(server, "GET", std::move(path));
}

Task<PageReply> LoadClient::post(BackendId server, std::string path) {
  return exchange(server, "POST", std::move(path));
}

Task<PageReply> LoadClient::exchange(BackendId server, std::string_view method, std::string path) {
  UpstreamCall call(resources(), server, Clock::now() + timeout_);
  const Listed listed(calls_, call);
  UpstreamRequest request;
  request.method = method;
  request.target = path;
  request.request_id = "bench";
  CallFailure failure = co_await call.start(request);
  PageReply reply;
  if (failure == CallFailure::kNone && !call.take_whole()) failure = co_await call.read_whole();
  if (failure == CallFailure::kNone) {
    reply.status = call.head().status;
    reply.body = call.body();
  } else {
    reply.body = sentence_of(failure, url_of(server));
  }
  co_return reply;
}

Task<CallFailure> LoadClient::read_stream(UpstreamCall& call, RequestResult& result) {
  StreamReader reader;
  CallFailure failure = CallFailure::kNone;
  for (bool ended = false; !ended;) {
    while (call.must_wait(timeout_)) co_await call.wait();
    const auto piece = call.piece();
    if (!piece) failure = call.failure();
    ended = !piece || piece->empty();
    if (!ended) reader.take(*piece, now());
  }
  result.first = reader.first();
  result.gaps = std::move(reader.gaps());
  take_answer(reader.finish(), result);
  co_return failure;
}

Task<CallFailure> LoadClient::read_body(UpstreamCall& call, RequestResult& result) {
  CallFailure failure = CallFailure::kNone;
  if (!call.take_whole()) failure = co_await call.read_whole();
  if (failure == CallFailure::kNone) take_answer(read_answer(result.status, call.body()), result);
  co_return failure;
}

Task<void> LoadClient::ask(BackendId server, const ReadyQuestion& question, RequestWords words,
                           RequestResult& result) {
  UpstreamCall call(resources(), server, Clock::now() + timeout_);
  const Listed listed(calls_, call);
  UpstreamRequest request;
  request.method = "POST";
  request.target = question.path;
  request.fields = kPostFields;
  request.request_id = words.request_id;
  request.body = SplicedBody(question.body(words.salt, words.id_line));
  result.sent = now();
  CallFailure failure = co_await call.start(request);
  std::string answered_id;
  if (failure == CallFailure::kNone) {
    const AnswerHead& head = call.head();
    result.status = head.status;
    result.backend = value_in(head.more, kBackendField);
    answered_id = value_in(head.more, kIdField);
    const bool events = question.streams && head.content_type.starts_with("text/event-stream");
    if (events) {
      failure = co_await read_stream(call, result);
    } else {
      failure = co_await read_body(call, result);
    }
  }
  result.end = now();
  if (failure != CallFailure::kNone) {
    result.problem = to_string(failure);
    result.detail = sentence_of(failure, url_of(server));
  }
  result.id = check_ids(words, answered_id, question.echoes, result);
}

void LoadClient::hang_up() {
  for (UpstreamCall* call : calls_) call->abort();  // whoever waits is woken later
}

}  // namespace batchproxy::bench
