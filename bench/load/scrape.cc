// bench/load/scrape.cc - see scrape.h.
#include "bench/load/scrape.h"

#include <charconv>
#include <stdexcept>

#include <boost/asio/co_spawn.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>

#include "backends/call/http_client.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

Task<void> scrape(asio::io_context& io, const std::string& admin_url, EngineCounters& sum) {
  HttpClient admin(io, parse_url(admin_url));
  const HttpReply status = co_await admin.request("/status", "");
  if (status.status != 200) throw std::runtime_error(admin_url + "/status does not answer");
  const json::value parsed = json::parse(status.body);
  for (const json::value& backend : parsed.at("backends").as_array()) {
    HttpClient engine(io, parse_url(json::value_to<std::string>(backend.at("url"))));
    const HttpReply metrics = co_await engine.request("/metrics", "");
    if (metrics.status != 200) continue;
    ++sum.engines;
    sum.prefix_queries += sum_of(metrics.body, "vllm:prefix_cache_queries_total");
    sum.prefix_hits += sum_of(metrics.body, "vllm:prefix_cache_hits_total");
    sum.simulated = sum.simulated || backend.at("simulated").as_bool();
  }
}

}  // namespace

EngineCounters scrape_engines(const std::string& admin_url) {
  asio::io_context io(1);
  EngineCounters sum;
  asio::co_spawn(io.get_executor(), scrape(io, admin_url, sum), &end_on_error);
  io.run();
  return sum;
}

double sum_of(std::string_view metrics, std::string_view name) {
  double sum = 0;
  while (!metrics.empty()) {
    const std::string_view line = metrics.substr(0, metrics.find('\n'));
    metrics.remove_prefix(std::min(metrics.size(), line.size() + 1));
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    if (line[name.size()] != '{' && line[name.size()] != ' ') continue;  // a longer name
    const std::string_view value = line.substr(line.rfind(' ') + 1);
    double parsed = 0;
    std::from_chars(value.data(), value.data() + value.size(), parsed);
    sum += parsed;
  }
  return sum;
}

}  // namespace batchproxy::bench
