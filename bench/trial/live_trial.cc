// bench/trial/live_trial.cc - see live_trial.h.
#include "bench/trial/live_trial.h"

#include <algorithm>

#include <fmt/format.h>

#include "bench/policy/bound.h"
#include "bench/policy/replay.h"
#include "bench/results/text.h"

namespace batchproxy::bench {

namespace {

constexpr std::size_t kRoundsOfWorkers = 16;  // each worker asks about so many, in the mean
constexpr double kWarmUp = 0.2;
// For the virtual world, whose runs take no time to speak of.
constexpr std::size_t kLeastVirtual = 2000;

std::size_t requests_of(std::size_t questions, std::size_t workers) {
  return std::max(questions, kRoundsOfWorkers * workers);
}

MeasureOptions measure_options(const TrialOptions& options, std::size_t questions) {
  MeasureOptions measure;
  measure.load.workers = options.workers;
  measure.load.requests = requests_of(questions, options.workers);
  measure.load.duration = options.duration * options.time_scale;
  // Each time round is new to the engines' caches, and so is each trial.
  measure.load.distinct_rounds = true;
  measure.load.salt =
      fmt::format("Advise, {}, {} workers.", words_of(options.topology), options.workers);
  measure.load.give_up = 60;
  measure.shows_line = options.shows_line;
  measure.is_interrupted = options.is_interrupted;
  return measure;
}

Trial trial_of(const Repeat& repeat, const TrialOptions& options) {
  Record record;
  record.repeats.push_back(repeat);
  record.repeats.front().window = busy_window(repeat);
  const Summary summary = summarise(record);
  Trial trial;
  trial.workers = options.workers;
  trial.per_second = summary.per_second * options.time_scale;
  trial.p50 = summary[Latency::kE2el].median() / options.time_scale;
  trial.p99 = *figure_of(summary[Latency::kE2el], "p99") / options.time_scale;
  trial.failed = summary.asked == 0
                     ? 1
                     : static_cast<double>(summary.failed()) / static_cast<double>(summary.asked);
  if (summary.failed() > 0) trial.failures = failures_in_short(summary);
  if (repeat.counts) {
    trial.fill = repeat.counts->mean_fill();
    trial.prefix_share = repeat.counts->prefix_share();
  }
  return trial;
}

}  // namespace

Window busy_window(const Repeat& repeat) {
  double last = 0;
  for (const RequestResult& request : repeat.requests) last = std::max(last, request.due);
  return {kWarmUp * last, last};
}

MeasuredTrial measure_trial(LoadClient& client, const Subject& subject,
                            const std::vector<ReadyQuestion>& questions,
                            const TrialOptions& options) {
  const Measured measured =
      measure(client, subject, questions, measure_options(options, questions.size()));
  MeasuredTrial result;
  result.stopped = measured.stopped;
  result.ended_early = measured.ended_early;
  if (measured.repeats.empty()) return result;
  result.asked = measured.repeats.front().requests.size();
  result.trial = trial_of(measured.repeats.front(), options);
  return result;
}

void reckon(const WorldOptions& world, const std::vector<ReadyQuestion>& questions,
            int max_model_len, Trial& trial) {
  WorldOptions options = world;
  options.workers = trial.workers;
  try {
    const std::vector<PromptRequest> requests =
        replay(questions, std::max(kLeastVirtual, requests_of(questions.size(), trial.workers)),
               max_model_len);
    trial.bound = throughput_bound(options, requests);
    const auto router =
        make_router(Policy::kDefault, requests, options.servers, traits_of(options));
    trial.virtual_time = run_world(options, requests, *router).throughput;
  } catch (const UnusableWorkload&) {
    // It cannot tell.
  }
}

}  // namespace batchproxy::bench
