// backends/sim/api/metrics_text.cc - Prometheus' text format, written by hand: the values live in
// the engine model, not in a registry.
#include "backends/sim/api/metrics_text.h"

#include <cstdio>
#include <string_view>
#include <utility>

#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string number(std::uint64_t value) {
  return std::to_string(value) + ".0";
}

std::string escaped(std::string_view label) {
  std::string text;
  for (const char c : label) {
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
  return text;
}

class Page {
 public:
  explicit Page(std::string_view model)
      : engine_("engine=\"0\""), model_(",model_name=\"" + escaped(model) + '"') {}

  void family(std::string_view name, std::string_view type, std::string_view help) {
    text_ += "# HELP vllm:" + std::string(name) + " " + std::string(help) +
             "\n# TYPE vllm:" + std::string(name) + " " + std::string(type) + "\n";
  }

  // `more_labels` stands between the two that every sample has, as the client library sorts them.
  void sample(std::string_view name, const std::string& value, std::string_view more_labels = {}) {
    line(name, engine_ + std::string(more_labels) + model_, value);
  }

  void line(std::string_view name, const std::string& labels, const std::string& value) {
    text_ += "vllm:" + std::string(name) + "{" + labels + "} " + value + "\n";
  }

  void gauge(std::string_view name, std::string_view help, double value) {
    family(name, "gauge", help);
    sample(name, number(value));
  }

  void counter(std::string_view name, std::string_view help, std::uint64_t value) {
    family(name, "counter", help);
    sample(name, number(value));
  }

  std::string take() { return std::move(text_); }

 private:
  const std::string engine_, model_;
  std::string text_;
};

void add_cache_config(Page& page, const EngineLimits& limits, const ApiOptions& options) {
  page.family("cache_config_info", "gauge", "Information of the LLMEngine CacheConfig");
  const std::int64_t tokens = limits.kv_blocks * kKvBlockTokens;
  char concurrency[32];
  std::snprintf(concurrency, sizeof concurrency, "%.2f",
                static_cast<double>(tokens) / options.max_model_len);
  char utilization[32];
  std::snprintf(utilization, sizeof utilization, "%g", options.gpu_memory_utilization);
  const std::string block = std::to_string(kKvBlockTokens);
  // With vLLM's labels of almost the same name, which a reader must not take for those it wants.
  page.line("cache_config_info",
            "_block_size_resolved=\"True\",block_size=\"" + block +
                "\",cache_dtype=\"auto\",effective_attention_block_size=\"" + block +
                "\",enable_prefix_caching=\"" + (limits.prefix_caching ? "True" : "False") +
                "\",engine=\"0\",gpu_memory_utilization=\"" + utilization +
                "\",hash_block_size=\"None\",kv_cache_max_concurrency=\"" + concurrency +
                "\",kv_cache_size_tokens=\"" + std::to_string(tokens) +
                "\",mamba_block_size=\"None\",num_cpu_blocks=\"None\",num_gpu_blocks=\"" +
                std::to_string(limits.kv_blocks) +
                "\",num_gpu_blocks_override=\"None\",user_specified_block_size=\"False\"",
            "1.0");
}

}  // namespace

std::string metrics_text(const ServerModel& server, const RequestTally& tally,
                         const ApiOptions& options) {
  const EngineModel& engine = server.engine();
  const EngineCounters& counters = engine.counters();
  Page page(options.served_names.front());
  page.gauge("num_requests_running", "Number of requests in model execution batches.",
             static_cast<double>(engine.running()));
  page.gauge("num_requests_waiting", "Number of requests waiting to be processed.",
             static_cast<double>(engine.waiting()));
  page.gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.",
             engine.kv_usage());
  page.counter("prefix_cache_queries_total", "Prefix cache queries, in tokens.",
               counters.prefix_queries);
  page.counter("prefix_cache_hits_total", "Prefix cache hits, in tokens.", counters.prefix_hits);
  page.counter("num_preemptions_total", "Preemptions.", counters.preemptions);
  page.counter("prompt_tokens_total", "Prefill tokens processed.", counters.prompt_tokens);
  page.counter("generation_tokens_total", "Generation tokens processed.",
               counters.generation_tokens);

  page.family("request_success_total", "counter", "Finished requests.");
  page.sample("request_success_total", number(tally.stop), ",finished_reason=\"stop\"");
  page.sample("request_success_total", number(tally.length), ",finished_reason=\"length\"");
  for (const char* reason : {"abort", "error", "repetition"}) {  // counted by vLLM in rare cases
    page.sample("request_success_total", "0.0", ",finished_reason=\"" + std::string(reason) + "\"");
  }

  page.family("iteration_tokens_total", "histogram", "Tokens per engine step.");
  page.sample("iteration_tokens_total_bucket", number(counters.steps), ",le=\"+Inf\"");
  page.sample("iteration_tokens_total_count", number(counters.steps));
  page.sample("iteration_tokens_total_sum", number(counters.step_tokens));

  add_cache_config(page, engine.limits(), options);
  return page.take();
}

}  // namespace batchproxy::sim
