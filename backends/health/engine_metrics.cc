// backends/health/engine_metrics.cc - see engine_metrics.h.
#include "backends/health/engine_metrics.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace batchproxy {

namespace {

// name{labels} value
struct Sample {
  std::string_view name;
  std::string_view labels;
  double value = 0;
};

std::optional<Sample> parse_line(std::string_view line) {
  if (line.empty() || line.front() == '#') return std::nullopt;
  const auto name_end = line.find_first_of("{ ");
  if (name_end == std::string_view::npos) return std::nullopt;
  Sample sample;
  sample.name = line.substr(0, name_end);
  std::string_view rest = line.substr(name_end);
  if (rest.front() == '{') {
    // A label's value may hold a brace, but no engine's does behind the last one.
    const auto close = rest.rfind('}');
    if (close == std::string_view::npos) return std::nullopt;
    sample.labels = rest.substr(1, close - 1);
    rest = rest.substr(close + 1);
  }
  const auto value = rest.find_first_not_of(' ');
  if (value == std::string_view::npos) return std::nullopt;
  rest = rest.substr(value);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), sample.value);
  if (error != std::errc() || !(sample.value >= 0)) return std::nullopt;
  return sample;
}

// The number in label `name`, or 0. Other names may hold this one: "_block_size_resolved".
std::uint64_t label_number(std::string_view labels, std::string_view name) {
  for (auto at = labels.find(name); at != std::string_view::npos; at = labels.find(name, at + 1)) {
    std::string_view value = labels.substr(at + name.size());
    const bool whole = at == 0 || labels[at - 1] == ',' || labels[at - 1] == ' ';
    if (!whole || !value.starts_with("=\"")) continue;
    value.remove_prefix(2);
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  }
  return 0;
}

struct TokenCount {
  std::string_view name;
  std::uint64_t EngineFigures::* figure;
};
constexpr std::array kTokenCounts = {
    TokenCount{"prompt_tokens_total", &EngineFigures::prompt_tokens},
    TokenCount{"generation_tokens_total", &EngineFigures::generation_tokens},
    TokenCount{"prefix_cache_queries_total", &EngineFigures::prefix_queries},
    TokenCount{"prefix_cache_hits_total", &EngineFigures::prefix_hits},
};

void read_figure(std::string_view name, double value, EngineFigures& figures) {
  // The second is how versions before 0.10 call it.
  if (name == "kv_cache_usage_perc" || name == "gpu_cache_usage_perc") {
    figures.kv_use = std::max(figures.kv_use, value);
    return;
  }
  const auto* count = std::ranges::find(kTokenCounts, name, &TokenCount::name);
  if (count != kTokenCounts.end()) figures.*count->figure += static_cast<std::uint64_t>(value);
}

}  // namespace

std::optional<EngineMetrics> parse_engine_metrics(std::string_view text) {
  EngineMetrics metrics;
  bool running = false, waiting = false;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto sample = parse_line(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (!sample || !sample->name.starts_with("vllm:")) continue;
    const std::string_view name = sample->name.substr(5);
    if (name == "num_requests_running") {
      metrics.sample.running += sample->value;
      running = true;
    } else if (name == "num_requests_waiting") {
      metrics.sample.waiting += sample->value;
      waiting = true;
    } else if (name == "num_preemptions_total") {
      metrics.sample.preemptions += static_cast<std::uint64_t>(sample->value);
    } else if (name == "iteration_tokens_total_count") {
      metrics.sample.steps =
          metrics.sample.steps.value_or(0) + static_cast<std::uint64_t>(sample->value);
    } else if (name == "cache_config_info") {
      metrics.kv_tokens += label_number(sample->labels, "num_gpu_blocks") *
                           label_number(sample->labels, "block_size");
    } else {
      read_figure(name, sample->value, metrics.figures);
    }
  }
  if (!running || !waiting) return std::nullopt;
  metrics.figures.running = metrics.sample.running;
  metrics.figures.waiting = metrics.sample.waiting;
  return metrics;
}

}  // namespace batchproxy
