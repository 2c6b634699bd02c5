// proxy/otlp/span_exporter.cc - see span_exporter.h.
#include "proxy/otlp/span_exporter.h"

#include <array>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace batchproxy {

namespace {

constexpr Duration kPatience = std::chrono::seconds(10);  // with one request to a collector
constexpr std::chrono::seconds kLastWords{3};             // at the end, with all that is left
constexpr Duration kTellAgain = std::chrono::minutes(1);
constexpr std::size_t kMostOfAnswer = 64 * 1024;  // bytes

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// Not what we answer ourselves, such as /health, unless its client wants to see it.
bool is_wanted(const RequestRecord& record) {
  const std::string_view parent = record.traceparent.view();
  if (!record.traced || !is_sampled(parent)) return false;
  const bool is_ours = record.is_routed() && record.route->handler != nullptr;
  return !is_ours || !is_no_span(parent.substr(36, 16));
}

void report(std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    spdlog::error("internal error: no more traces are sent: {}", exception.what());
  }
}

}  // namespace

SpanExporter::~SpanExporter() {
  finish();
}

void SpanExporter::set(ExportSettings settings) {
  if (!thread_.joinable()) {
    if (!settings.is_on()) return;
    source_.host_name = host_name();
    source_.pid = ::getpid();
    asio::co_spawn(io_.get_executor(), work(), &report);
    thread_ = std::thread([this] {
      const auto guard = asio::make_work_guard(io_);
      io_.run();
    });
  }
  // Requests that end before the thread gets to it are for it, too.
  asio::post(io_, [this, settings = std::move(settings), mark = feed_.mark()]() mutable {
    change(std::move(settings), mark);
  });
}

void SpanExporter::change(ExportSettings settings, const RecordFeed::Mark& mark) {
  settings_ = std::move(settings);
  source_.service_name = settings_.service_name;
  told_ = {};
  if (settings_.is_on()) {
    feed_.start(&is_wanted, mark);
  } else {
    feed_.stop();
    core_.drop_all();
    count();
  }
}

bool SpanExporter::take(const RecordFeed::Taken& taken) {
  core_.add_lost(taken.lost);
  core_.add(taken.records, std::chrono::steady_clock::now());
  count();
  timer_.cancel();  // work() looks anew when the next batch is due
  return true;
}

void SpanExporter::count() {
  sent_.store(core_.sent(), std::memory_order_relaxed);
  dropped_.store(core_.dropped(), std::memory_order_relaxed);
}

Task<void> SpanExporter::work() {
  while (true) {
    const std::optional<TimePoint> due = core_.due();
    if (ends_ && !due) {
      io_.stop();
      co_return;
    }
    if (due && *due <= std::chrono::steady_clock::now()) {
      co_await send();
      count();
      continue;
    }
    timer_.expires_at(due.value_or(TimePoint::max()));
    ErrorCode ignored;
    co_await timer_.async_wait(asio::redirect_error(use_task, ignored));
  }
}

// A batch, and what comes of it.
Task<void> SpanExporter::send() {
  const ClockPair clocks{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  std::string body = to_otlp(core_.next_batch(), source_, clocks);
  // Copies: a reload may change them meanwhile.
  Endpoint collector = settings_.collector;
  const HttpFields headers = settings_.headers;
  const std::string path = settings_.path;
  collector.addresses = co_await find_addresses(resolver_, settings_.host);
  ControlReply reply;
  ControlStream stream(io_.get_executor());
  reply.error = co_await connect_in_turn(stream, collector.addresses, kPatience);
  if (!reply.error) {
    reply = co_await post_json(stream, collector, path, std::move(body), kMostOfAnswer, headers);
  }
  const unsigned status = reply.error ? 0 : reply.status;
  const ExportCore::Answer answer{status, read_retry_after(reply.retry_after)};
  core_.on_answer(answer, std::chrono::steady_clock::now());
  if (answer.is_taken()) {
    const std::string refused = refused_part(reply.body);
    if (!refused.empty()) tell_problem(refused);
  } else if (status == 0) {
    tell_problem(why_no_reply(reply));
  } else {
    tell_problem("it answers " + std::to_string(status));
  }
}

void SpanExporter::tell_problem(const std::string& why) {
  const TimePoint now = std::chrono::steady_clock::now();
  if (told_ != TimePoint{} && now - told_ < kTellAgain) return;
  told_ = now;
  spdlog::warn(
      "traces do not get to {}: {} (tracing.otlp_endpoint, a collector's port of OTLP over HTTP, "
      "4318 as a rule); {} requests wait to be sent, those of {} are lost",
      settings_.url, why, core_.waiting(), core_.dropped());
}

void SpanExporter::finish() {
  if (!thread_.joinable()) return;
  io_.stop();
  thread_.join();
  // From here on this thread has all of it.
  feed_.drain();
  feed_.stop();
  core_.hurry();
  ends_ = true;
  timer_.cancel();
  io_.restart();
  const auto guard = asio::make_work_guard(io_);  // a name may be looked up elsewhere
  io_.run_for(kLastWords);
  core_.drop_all();
  count();
}

}  // namespace batchproxy
