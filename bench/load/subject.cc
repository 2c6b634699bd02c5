// bench/load/subject.cc - see subject.h.
#include "bench/load/subject.h"

#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "bench/load/answer_reader.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

json::value parse(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  return error ? json::value() : value;
}

std::string text_at(const json::value& value, const char* pointer) {
  boost::system::error_code error;
  const json::value* found = value.find_pointer(pointer, error);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
}

bool is_refusal(unsigned status) {
  return status == 401 || status == 403;
}

[[noreturn]] void refuse_key(const std::string& url, const PageReply& reply) {
  const AnswerText said = read_answer(reply.status, reply.body);
  throw UnusableServer(
      fmt::format("{} answers {}: it wants another API key. Put it into the variable "
                  "OPENAI_API_KEY. It says: {}",
                  url, reply.status, printable(said.detail)));
}

// The server, its models and its version.
Task<void> look_at_server(LoadClient& client, std::string model, Subject& subject) {
  const std::string url = client.url_of(subject.server);
  const PageReply models = co_await client.get(subject.server, "/v1/models");
  if (models.status == 0) throw UnusableServer(models.body);
  if (is_refusal(models.status)) refuse_key(url, models);
  const std::string first = text_at(parse(models.body), "/data/0/id");
  subject.model = model.empty() ? first : std::move(model);
  if (subject.model.empty()) {
    throw UnusableServer(fmt::format(
        "{}/v1/models names no model (status {}): name one with --model, or wait until it serves",
        url, models.status));
  }
  subject.facts.emplace_back("url", url);
  subject.facts.emplace_back("model", subject.model);
}

struct EngineSeen {
  std::string name;
  std::string url;
  bool simulated = false;
};

std::vector<EngineSeen> engines_in(const json::value& status) {
  std::vector<EngineSeen> engines;
  boost::system::error_code error;
  const json::value* backends = status.find_pointer("/backends", error);
  if (backends == nullptr || !backends->is_array()) return engines;
  for (const json::value& backend : backends->get_array()) {
    const json::value* simulated = backend.find_pointer("/simulated", error);
    engines.push_back({text_at(backend, "/name"), text_at(backend, "/url"),
                       simulated != nullptr && simulated->is_bool() && simulated->get_bool()});
  }
  return engines;
}

// Of a vLLM, by its own words; "" when it tells none.
Task<std::string> version_of(LoadClient& client, BackendId server) {
  const PageReply reply = co_await client.get(server, "/version");
  if (reply.status != 200) co_return "";
  co_return text_at(parse(reply.body), "/version");
}

// The engines by number and kind: "4 simulated, vLLM simulated 0.1.0".
Task<void> look_at_engines(LoadClient& client, const std::vector<EngineSeen>& engines,
                           Subject& subject) {
  std::size_t simulated = 0;
  std::string versions;
  for (const EngineSeen& engine : engines) {
    simulated += engine.simulated ? 1 : 0;
    try {
      subject.engines.push_back(client.add_server(engine.url, "", ""));
    } catch (const std::runtime_error&) {
      continue;  // its name leads nowhere from here: its figures are left out
    }
    const std::string version = co_await version_of(client, subject.engines.back());
    if (version.empty() || versions.find(version) != std::string::npos) continue;
    versions += fmt::format("{}{}", versions.empty() ? ", version " : ", ", version);
  }
  subject.simulated = simulated > 0;
  const std::string kind = simulated == 0                ? ""
                           : simulated == engines.size() ? " simulated"
                                                         : fmt::format(", {} simulated", simulated);
  subject.facts.emplace_back("engines", fmt::format("{}{}{}", engines.size(), kind, versions));
}

Task<void> look_at_proxy(LoadClient& client, Subject& subject) {
  const PageReply reply = co_await client.get(*subject.admin, "/status");
  const std::string url = client.url_of(*subject.admin);
  if (reply.status == 0) throw UnusableServer(fmt::format("--admin: {}", reply.body));
  if (is_refusal(reply.status)) refuse_key(url, reply);
  const json::value status = parse(reply.body);
  const std::string version = text_at(status, "/version");
  if (reply.status != 200 || version.empty()) {
    throw UnusableServer(fmt::format(
        "--admin {}: its /status is not that of batchproxy (status {}); the console tells the "
        "admin address at the start",
        url, reply.status));
  }
  subject.facts.emplace_back(
      "proxy", fmt::format("batchproxy {}, flush {}", version, text_at(status, "/flush")));
  const std::vector<EngineSeen> engines = engines_in(status);
  co_await look_at_engines(client, engines, subject);
}

}  // namespace

Task<void> look_at(LoadClient& client, std::string model, Subject& subject) {
  co_await look_at_server(client, std::move(model), subject);
  if (subject.admin) {
    co_await look_at_proxy(client, subject);
    co_return;
  }
  const std::string version = co_await version_of(client, subject.server);
  if (version.empty()) co_return;
  subject.facts.emplace_back("server", version);
  subject.simulated = version.find("simulated") != std::string::npos;
  subject.engines.push_back(subject.server);  // it may be an engine itself
}

Task<std::optional<FleetCounts>> count_fleet(LoadClient& client, const Subject& subject) {
  std::optional<FleetCounts> counts;
  if (subject.admin) {
    const PageReply reply = co_await client.get(*subject.admin, "/metrics");
    if (reply.status == 200) counts = proxy_counts(reply.body);
  }
  for (const BackendId engine : subject.engines) {
    const PageReply reply = co_await client.get(engine, "/metrics");
    if (reply.status != 200) continue;
    FleetCounts sum = counts.value_or(FleetCounts{});
    if (add_engine_counts(reply.body, sum)) counts = std::move(sum);
  }
  co_return counts;
}

}  // namespace batchproxy::bench
