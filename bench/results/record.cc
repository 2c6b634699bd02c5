// bench/results/record.cc - see record.h.
#include "bench/results/record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/format.h>

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

// Times are kept to the microsecond.
double rounded(double seconds) {
  return std::round(seconds * 1e6) / 1e6;
}

// --- write --------------------------------------------------------------------------------------

json::object to_object(const Facts& facts) {
  json::object object;
  for (const auto& [name, value] : facts) object[name] = value;
  return object;
}

json::object to_object(const FleetCounts& counts) {
  json::object flushes;
  for (const auto& [reason, count] : counts.flushes) flushes[reason] = count;
  json::array fill;
  for (const FillBucket& bucket : counts.fill) {
    fill.push_back(json::array{
        std::isinf(bucket.most) ? json::value("more") : json::value(bucket.most), bucket.count});
  }
  return {{"flushes", std::move(flushes)},       {"fill", std::move(fill)},
          {"batches", counts.batches},           {"batch_prompts", counts.batch_prompts},
          {"merged_calls", counts.merged_calls}, {"merged_requests", counts.merged_requests},
          {"affine_requests", counts.affine},    {"prefix_queries", counts.prefix_queries},
          {"prefix_hits", counts.prefix_hits}};
}

// Names that come again and again, by number.
class NameList {
 public:
  std::size_t number_of(const std::string& name) {
    const auto [found, is_new] = numbers_.try_emplace(name, names_.size());
    if (is_new) names_.emplace_back(name);
    return found->second;
  }
  json::array take() { return std::move(names_); }

 private:
  std::map<std::string, std::size_t> numbers_;
  json::array names_;
};

// The requests by column, which takes a fifth of what an object for each would.
json::object columns_of(const std::vector<RequestResult>& requests) {
  json::array due, sent, first, end, status, backend, problem, detail, prompt, output, mark, id,
      question;
  NameList backends, problems, details;
  for (const RequestResult& result : requests) {
    due.push_back(rounded(result.due));
    sent.push_back(rounded(result.sent));
    first.push_back(rounded(result.first));
    end.push_back(rounded(result.end));
    status.push_back(result.status);
    backend.push_back(backends.number_of(result.backend));
    problem.push_back(problems.number_of(result.problem));
    detail.push_back(details.number_of(result.detail));
    prompt.push_back(result.prompt_tokens);
    output.push_back(result.output_tokens);
    mark.push_back(static_cast<int>(result.mark));
    id.push_back(static_cast<int>(result.id));
    question.push_back(result.question);
  }
  return {{"due", std::move(due)},
          {"sent", std::move(sent)},
          {"first", std::move(first)},
          {"end", std::move(end)},
          {"status", std::move(status)},
          {"backend", std::move(backend)},
          {"problem", std::move(problem)},
          {"detail", std::move(detail)},
          {"prompt_tokens", std::move(prompt)},
          {"output_tokens", std::move(output)},
          {"mark", std::move(mark)},
          {"id", std::move(id)},
          {"question", std::move(question)},
          {"backends", backends.take()},
          {"problems", problems.take()},
          {"details", details.take()}};
}

json::object to_object(const Repeat& repeat) {
  json::object object{
      {"seconds", rounded(repeat.seconds)},
      {"window", json::array{rounded(repeat.window.begin), rounded(repeat.window.end)}},
      {"client_cpu_seconds", rounded(repeat.client_cpu)},
      {"most_in_flight", repeat.most_in_flight},
      {"requests", columns_of(repeat.requests)}};
  if (repeat.counts) object["counts"] = to_object(*repeat.counts);
  return object;
}

// The words of `vllm bench serve`: mean_ttft_ms, median_ttft_ms, std_ttft_ms, p99_ttft_ms, …
void add_latencies(const Summary& summary, json::object& object) {
  for (const LatencyRow& row : kLatencies) {
    const Distribution& distribution = summary[row.id];
    if (distribution.count == 0) continue;
    const auto put = [&](std::string_view figure, double seconds) {
      object[fmt::format("{}_{}_ms", figure, row.word)] = 1e3 * seconds;
    };
    put("mean", distribution.mean);
    put("median", distribution.median());
    put("std", distribution.deviation);
    for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
      put(kQuantiles[i].word, distribution.quantiles[i]);
    }
  }
}

json::value or_null(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::object failures_of(const Summary& summary) {
  json::object failures;
  for (const auto& [problem, failure] : summary.failures) {
    failures[problem] = json::object{{"count", failure.count}, {"example", failure.example}};
  }
  return failures;
}

std::size_t most_in_flight(const Record& record) {
  std::size_t most = 0;
  for (const Repeat& repeat : record.repeats) most = std::max(most, repeat.most_in_flight);
  return most;
}

json::object to_object(const Distribution& distribution) {
  json::array quantiles(distribution.quantiles.begin(), distribution.quantiles.end());
  return {{"count", distribution.count},   {"mean", distribution.mean},
          {"std", distribution.deviation}, {"min", distribution.least},
          {"max", distribution.most},      {"quantiles", std::move(quantiles)}};
}

json::object own_part(const Record& record, const Summary& summary) {
  json::object share;
  for (const auto& [backend, part] : summary.share) share[backend] = part;
  json::array objectives;
  for (const Objective& objective : record.objectives) {
    objectives.push_back(json::array{kLatencies[objective.latency].word, objective.seconds});
  }
  json::array repeats;
  for (const Repeat& repeat : record.repeats) repeats.push_back(to_object(repeat));
  json::object own{
      {"facts", to_object(record.facts)},
      {"load", record.load},
      {"ended_early", record.ended_early},
      {"asked", summary.asked},
      {"answered", summary.answered},
      {"marked", summary.marked},
      {"right", summary.right},
      {"ids_checked", summary.ids_checked},
      {"ids_wrong", summary.ids_wrong},
      {"left_out", summary.left_out},
      {"share", std::move(share)},
      {"failures", failures_of(summary)},
      {"objectives", std::move(objectives)},
      {"client_cpu_us_per_request",
       summary.asked + summary.left_out == 0
           ? 0
           : 1e6 * client_cpu_of(record) / static_cast<double>(summary.asked + summary.left_out)}};
  if (const auto counts = counts_of(record)) {
    own["prefix_hits"] = or_null(counts->prefix_share());
    own["batch_fill"] = or_null(counts->mean_fill());
  }
  if (summary[Latency::kItl].count > 0) own["itl"] = to_object(summary[Latency::kItl]);
  own["repeats"] = std::move(repeats);
  return own;
}

// --- read ---------------------------------------------------------------------------------------

// A member of a record, by name; what is missing says so.
const json::value& member(const json::object& object, std::string_view name) {
  const json::value* found = object.if_contains(name);
  if (found == nullptr) throw std::runtime_error(fmt::format("it lacks \"{}\"", name));
  return *found;
}

double number(const json::object& object, std::string_view name) {
  return json::value_to<double>(member(object, name));
}

std::string text(const json::object& object, std::string_view name) {
  return json::value_to<std::string>(member(object, name));
}

template <class Value>
std::vector<Value> column(const json::object& columns, std::string_view name, std::size_t rows) {
  auto values = json::value_to<std::vector<Value>>(member(columns, name));
  if (values.size() != rows) {
    throw std::runtime_error(
        fmt::format("its \"{}\" has {} requests, others have {}", name, values.size(), rows));
  }
  return values;
}

std::vector<std::string> named(const json::object& columns, std::string_view name,
                               std::string_view list, std::size_t rows) {
  const auto names = json::value_to<std::vector<std::string>>(member(columns, list));
  std::vector<std::string> values;
  for (const std::size_t at : column<std::size_t>(columns, name, rows))
    values.push_back(names.at(at));
  return values;
}

template <class Enum>
Enum enumerator(int number, int count) {
  if (number < 0 || number >= count) throw std::runtime_error("it has a number out of range");
  return static_cast<Enum>(number);
}

std::vector<RequestResult> read_requests(const json::object& columns) {
  const auto due = json::value_to<std::vector<double>>(member(columns, "due"));
  const std::size_t rows = due.size();
  const auto sent = column<double>(columns, "sent", rows);
  const auto first = column<double>(columns, "first", rows);
  const auto end = column<double>(columns, "end", rows);
  const auto status = column<unsigned>(columns, "status", rows);
  const auto prompt = column<std::int64_t>(columns, "prompt_tokens", rows);
  const auto output = column<std::int64_t>(columns, "output_tokens", rows);
  const auto mark = column<int>(columns, "mark", rows);
  const auto id = column<int>(columns, "id", rows);
  const auto question = column<std::size_t>(columns, "question", rows);
  const auto backend = named(columns, "backend", "backends", rows);
  const auto problem = named(columns, "problem", "problems", rows);
  const auto detail = named(columns, "detail", "details", rows);
  std::vector<RequestResult> requests(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    RequestResult& result = requests[i];
    result.question = question[i];
    result.due = due[i];
    result.sent = sent[i];
    result.first = first[i];
    result.end = end[i];
    result.status = status[i];
    result.problem = problem[i];
    result.detail = detail[i];
    result.backend = backend[i];
    result.prompt_tokens = prompt[i];
    result.output_tokens = output[i];
    result.mark = enumerator<Mark>(mark[i], 3);
    result.id = enumerator<IdCheck>(id[i], 3);
  }
  return requests;
}

FleetCounts read_counts(const json::object& object) {
  FleetCounts counts;
  counts.flushes = json::value_to<std::map<std::string, double>>(member(object, "flushes"));
  for (const json::value& bucket : member(object, "fill").as_array()) {
    const json::value& most = bucket.at(0);
    counts.fill.push_back(
        {most.is_string() ? std::numeric_limits<double>::infinity() : json::value_to<double>(most),
         json::value_to<double>(bucket.at(1))});
  }
  counts.batches = number(object, "batches");
  counts.batch_prompts = number(object, "batch_prompts");
  counts.merged_calls = number(object, "merged_calls");
  counts.merged_requests = number(object, "merged_requests");
  counts.affine = number(object, "affine_requests");
  counts.prefix_queries = number(object, "prefix_queries");
  counts.prefix_hits = number(object, "prefix_hits");
  return counts;
}

Repeat read_repeat(const json::object& object) {
  Repeat repeat;
  repeat.seconds = number(object, "seconds");
  const json::value& window = member(object, "window");
  repeat.window = {json::value_to<double>(window.at(0)), json::value_to<double>(window.at(1))};
  repeat.client_cpu = number(object, "client_cpu_seconds");
  repeat.most_in_flight = static_cast<std::size_t>(number(object, "most_in_flight"));
  repeat.requests = read_requests(member(object, "requests").as_object());
  if (const json::value* counts = object.if_contains("counts")) {
    repeat.counts = read_counts(counts->as_object());
  }
  return repeat;
}

Distribution read_distribution(const json::object& object) {
  Distribution distribution;
  distribution.count = static_cast<std::size_t>(number(object, "count"));
  distribution.mean = number(object, "mean");
  distribution.deviation = number(object, "std");
  distribution.least = number(object, "min");
  distribution.most = number(object, "max");
  const json::array& quantiles = member(object, "quantiles").as_array();
  for (std::size_t i = 0; i < distribution.quantiles.size(); ++i) {
    distribution.quantiles[i] = json::value_to<double>(quantiles.at(i));
  }
  return distribution;
}

Record read(const json::object& root) {
  const json::value* own = root.if_contains("batchproxy");
  if (own == nullptr) {
    throw std::runtime_error(
        "it is no result of `batchproxy-bench run` (it lacks \"batchproxy\", where each request "
        "is)");
  }
  const json::object& object = own->as_object();
  Record record;
  for (const auto& [name, value] : member(object, "facts").as_object()) {
    record.facts.emplace_back(name, json::value_to<std::string>(value));
  }
  record.date = text(root, "date");
  record.model = text(root, "model_id");
  record.endpoint = text(root, "endpoint_type");
  record.load = text(object, "load");
  record.ended_early = text(object, "ended_early");
  const json::value& rate = member(root, "request_rate");
  record.rate = rate.is_string() ? 0 : json::value_to<double>(rate);
  const json::value& workers = member(root, "max_concurrency");
  record.workers = workers.is_null() ? 0 : json::value_to<std::size_t>(workers);
  for (const json::value& each : member(object, "objectives").as_array()) {
    const auto latency = latency_of(json::value_to<std::string>(each.at(0)));
    if (latency) record.objectives.push_back({*latency, json::value_to<double>(each.at(1))});
  }
  for (const json::value& repeat : member(object, "repeats").as_array()) {
    record.repeats.push_back(read_repeat(repeat.as_object()));
  }
  if (const json::value* gaps = object.if_contains("itl")) {
    record.gaps = read_distribution(gaps->as_object());
  }
  return record;
}

}  // namespace

Summary summarise(const Record& record) {
  std::vector<Stretch> stretches;
  for (const Repeat& repeat : record.repeats) stretches.push_back({repeat.requests, repeat.window});
  Summary summary = summarise(stretches, record.objectives);
  if (record.gaps) summary.latencies[static_cast<std::size_t>(Latency::kItl)] = *record.gaps;
  return summary;
}

Summary summarise(const Record& record, const Repeat& repeat) {
  const Stretch stretch{repeat.requests, repeat.window};
  return summarise({&stretch, 1}, record.objectives);
}

std::optional<FleetCounts> counts_of(const Record& record) {
  std::optional<FleetCounts> sum;
  for (const Repeat& repeat : record.repeats) {
    if (!repeat.counts) continue;
    if (!sum) sum.emplace();
    add(*repeat.counts, *sum);
  }
  return sum;
}

double client_cpu_of(const Record& record) {
  double sum = 0;
  for (const Repeat& repeat : record.repeats) sum += repeat.client_cpu;
  return sum;
}

std::string to_json(const Record& record) {
  const Summary summary = summarise(record);
  json::object root{
      {"date", record.date},
      {"endpoint_type", record.endpoint},
      {"backend", record.endpoint},
      {"label", nullptr},
      {"model_id", record.model},
      {"tokenizer_id", nullptr},
      {"num_prompts", summary.asked + summary.left_out},
      {"request_rate", record.rate > 0 ? json::value(record.rate) : json::value("inf")},
      {"burstiness", 1.0},
      {"max_concurrency", record.workers > 0 ? json::value(record.workers) : json::value(nullptr)},
      {"duration", summary.seconds},
      {"completed", summary.answered},
      {"failed", summary.failed()},
      {"total_input_tokens", summary.prompt_tokens},
      {"total_output_tokens", summary.output_tokens},
      {"request_throughput", summary.per_second},
      {"request_goodput", or_null(summary.good)},
      {"output_throughput", summary.rate(summary.output_tokens)},
      {"total_token_throughput", summary.rate(summary.prompt_tokens + summary.output_tokens)},
      {"max_concurrent_requests", most_in_flight(record)}};
  add_latencies(summary, root);
  root["batchproxy"] = own_part(record, summary);
  return json::serialize(root) + "\n";
}

Record read_record(const std::string& json, const std::string& file) {
  std::string why;
  try {
    return read(json::parse(json).as_object());
  } catch (const boost::system::system_error& error) {
    why = "it is not JSON as a run writes it: " + error.code().message();  // what() names a source
  } catch (const std::exception& error) {
    why = error.what();
  }
  throw std::runtime_error(fmt::format("{}: {}", file, why));
}

std::string to_lines(const Record& record) {
  std::string lines;
  for (std::size_t number = 0; number < record.repeats.size(); ++number) {
    for (const RequestResult& result : record.repeats[number].requests) {
      json::object line{{"question", result.question}, {"status", result.status},
                        {"due", rounded(result.due)},  {"sent", rounded(result.sent)},
                        {"end", rounded(result.end)},  {"e2el_ms", 1e3 * rounded(result.e2el())}};
      if (record.repeats.size() > 1) line["repeat"] = number;
      if (result.streamed()) line["ttft_ms"] = 1e3 * rounded(result.ttft());
      if (!result.backend.empty()) line["backend"] = result.backend;
      line["prompt_tokens"] = result.prompt_tokens;
      line["output_tokens"] = result.output_tokens;
      if (result.mark != Mark::kNone) line["right"] = result.mark == Mark::kRight;
      if (result.answered()) {
        line["answer"] = result.answer;
      } else {
        line["problem"] = result.problem;
        line["detail"] = result.detail;
      }
      lines += json::serialize(line) + "\n";
    }
  }
  return lines;
}

}  // namespace batchproxy::bench
