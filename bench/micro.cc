// bench/micro.cc - micro-benchmarks of what every request costs: the head guard, the scan of a
// body, the prefix key, a place in the queue and a grant, taking a list answer apart, and the check
// that an answer is whole.
//
//   build/release/bench/batchproxy-microbench
//
// `python3 -m bench.lab instructions` counts their instructions: MICRO_ITERATIONS says how often
// each is then done.
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "backends/call/answer_check.h"
#include "backends/call/list_codec.h"
#include "backends/http/head.h"
#include "backends/json/body_scan.h"
#include "batcher/base/prefix.h"
#include "batcher/lane_core.h"
#include "batcher/scheduler.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

void iterate_as_told(benchmark::internal::Benchmark* benchmark) {
  if (const char* times = std::getenv("MICRO_ITERATIONS")) benchmark->Iterations(std::atol(times));
}

std::string padded(std::string text) {
  text.append(BodyScanner::kPadding, '\0');
  return text;
}

std::string completion_of(std::size_t bytes) {
  return R"({"model":"m","prompt":")" + std::string(bytes, 'x') + R"(","max_tokens":1})";
}

void HeadGuard(benchmark::State& state) {
  const std::string head =
      "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: "
      "python-requests/2.34.2\r\n"
      "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
      "Authorization: Bearer CELS\r\nContent-Type: application/json\r\nContent-Length: 281\r\n\r\n";
  http::RequestHead parsed;
  for (auto _ : state) {
    benchmark::DoNotOptimize(http::find_head_end(head, 0));
    benchmark::DoNotOptimize(http::parse_request_head(head, http::kRequestLimits, parsed));
  }
}
BENCHMARK(HeadGuard)->Apply(iterate_as_told);

void BodyScan(benchmark::State& state) {
  const std::string body = completion_of(static_cast<std::size_t>(state.range(0)));
  const std::string bytes = padded(body);
  BodyScanner scanner;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        scanner.scan(std::string_view(bytes).substr(0, body.size()), BodyKind::kCompletion));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(body.size()) * state.iterations());
}
BENCHMARK(BodyScan)->Arg(240)->Arg(6000)->Arg(100000)->Apply(iterate_as_told);

void PrefixKey(benchmark::State& state) {
  const std::string prompt(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(PrefixChain(prompt, 1));
  state.SetBytesProcessed(state.range(0) * state.iterations());
}
BENCHMARK(PrefixKey)->Arg(240)->Arg(6000)->Arg(100000)->Apply(iterate_as_told);

// One ticket more in a queue of so many, and the next one granted to one of so many backends:
// prompts of 6 kB of which four begin alike.
void EnqueueAndGrant(benchmark::State& state) {
  const auto waiting = static_cast<std::size_t>(state.range(0));
  const auto backends = static_cast<std::size_t>(state.range(1));
  Scheduler scheduler({.batch_timeout = 1h, .max_queue = 10000000});
  for (BackendId id = 0; id < backends; ++id) {
    scheduler.add_backend(id, {.max_num_seqs = 16, .kv_tokens = 240000});
    scheduler.set_up(id, true);
  }
  const TimePoint now = TimePoint() + 1h;
  std::deque<Ticket> tickets(waiting + 64 * backends);
  std::vector<PrefixChain> prefixes;
  for (int i = 0; i < 4096; ++i)
    prefixes.emplace_back(std::to_string(i) + std::string(6000, 'x'), 0);
  std::size_t made = 0;
  const auto submit = [&](Ticket& ticket) {
    ticket.turn = 0;
    ticket.arrival = now + std::chrono::nanoseconds(made);
    ticket.deadline = ticket.arrival + 600s;
    ticket.backends = BackendSet::first(backends);
    ticket.tokens = 1500;
    ticket.prefix = prefixes[made++ / 4 % prefixes.size()];
    scheduler.submit(ticket);
  };
  for (Ticket& ticket : tickets) submit(ticket);
  std::vector<Ticket*> flying, decided;
  scheduler.take(now, flying);
  std::size_t next = 0;
  for (auto _ : state) {
    Ticket& done = *flying[next];
    scheduler.complete(done.verdict, 1, Outcome::kGood, now);
    submit(done);
    scheduler.take(now, decided);
    // Nearly always one; a backend may have to wait for its own.
    for (Ticket* ticket : decided) {
      if (ticket == decided.front()) {
        flying[next] = ticket;
      } else {
        flying.push_back(ticket);
      }
    }
    if (decided.empty()) {
      flying[next] = flying.back();
      flying.pop_back();
    }
    decided.clear();
    next = (next + 1) % flying.size();
  }
  for (Ticket& ticket : tickets) scheduler.cancel(ticket);
}
BENCHMARK(EnqueueAndGrant)
    ->Args({10, 4})
    ->Args({1000, 4})
    ->Args({100000, 4})
    ->Args({1000, 64})
    ->Args({1000, 256})
    ->Apply(iterate_as_told);

// What the lane does for one request, of which half of what the backends can take is in flight: it
// is taken in, granted at once, told to the metrics, and answered.
void LaneTurn(benchmark::State& state) {
  const auto backends = static_cast<std::size_t>(state.range(0));
  LaneCore lane({.batch_timeout = 1h});
  lane.add_handle();
  for (BackendId id = 0; id < backends; ++id) {
    lane.add_backend(id, {.max_num_seqs = 16});
    lane.set_up(id, true);
  }
  TimePoint now = TimePoint() + 1h;
  std::deque<Ticket> tickets(8 * backends);
  const auto ask = [&](Ticket& ticket) {
    ticket.turn = 0;
    ticket.arrival = now += 1us;
    ticket.deadline = now + 600s;
    ticket.backends = BackendSet::first(backends);
    lane.handle(LaneMessage::submit(ticket), now);
    benchmark::DoNotOptimize(lane.decide(now));
    lane.outbox(0).clear();
    benchmark::DoNotOptimize(lane.next_due());
  };
  const auto answer = [&](Ticket& ticket) {
    lane.handle(LaneMessage::complete(ticket, Outcome::kGood, {}), now += 1us);
    lane.decide(now);
  };
  for (Ticket& ticket : tickets) ask(ticket);
  std::size_t next = 0;
  for (auto _ : state) {
    answer(tickets[next]);
    ask(tickets[next]);
    next = (next + 1) % tickets.size();
  }
  for (Ticket& ticket : tickets) answer(ticket);
}
BENCHMARK(LaneTurn)->Arg(4)->Arg(64)->Arg(256)->Apply(iterate_as_told);

// An answer with sixteen choices, taken apart.
void Demultiplex(benchmark::State& state) {
  std::string answer = R"({"id":"cmpl-1","object":"text_completion","model":"m","choices":[)";
  for (int i = 0; i < 16; ++i) {
    answer += (i > 0 ? "," : "") + std::string(R"({"index":)") + std::to_string(i) +
              R"(,"text":" A","logprobs":null,"finish_reason":"length","stop_reason":null,)"
              R"("token_ids":[319],"prompt_token_ids":[)" +
              std::string("1");
    for (int token = 0; token < 140; ++token) answer += ",29871";
    answer += "]}";
  }
  answer += R"(],"usage":{"prompt_tokens":2256,"total_tokens":2272,"completion_tokens":16}})";
  const std::string bytes = padded(answer);
  const std::vector<std::size_t> sizes(16, 560);
  ListReader reader;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        reader.unmerge(std::string_view(bytes).substr(0, answer.size()), sizes));
  }
}
BENCHMARK(Demultiplex)->Apply(iterate_as_told);

// One completion's answer: 500 bytes without, 20 kB with the log-probabilities that were asked for.
void AnswerCheck(benchmark::State& state) {
  std::string answer = R"({"id":"cmpl-1","object":"text_completion","created":1,"model":"m",)"
                       R"("choices":[{"index":0,"text":" A","logprobs":{"token_logprobs":[-0.1)";
  const auto size = static_cast<std::size_t>(state.range(0));
  while (answer.size() + 220 < size) answer += R"(,-12.345678,{" the":-1.25,"\n\u00e9":-2e-5})";
  answer += R"(]},"finish_reason":"length","stop_reason":null}],"usage":{"prompt_tokens":141,)"
            R"("total_tokens":142,"completion_tokens":1,"prompt_tokens_details":null}})";
  const std::string bytes = padded(answer);
  AnswerChecker checker;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        checker.is_whole_object(std::string_view(bytes).substr(0, answer.size())));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(answer.size()) * state.iterations());
}
BENCHMARK(AnswerCheck)->Arg(500)->Arg(20000)->Apply(iterate_as_told);

}  // namespace
}  // namespace batchproxy

BENCHMARK_MAIN();
