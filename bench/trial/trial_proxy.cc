// bench/trial/trial_proxy.cc - see trial_proxy.h.
#include "bench/trial/trial_proxy.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "backends/health/engine_metrics.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

constexpr Duration kBetweenLooks = std::chrono::milliseconds(100);

json::value parsed(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  return error ? json::value() : value;
}

const json::array* list_at(const json::value& value, const char* pointer) {
  boost::system::error_code error;
  const json::value* found = value.find_pointer(pointer, error);
  return found != nullptr ? found->if_array() : nullptr;
}

std::string text_at(const json::value& value, const char* pointer) {
  boost::system::error_code error;
  const json::value* found = value.find_pointer(pointer, error);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
}

std::string why(const json::value& backend) {
  for (const char* place : {"/problem", "/last_problem/text", "/remark"}) {
    if (std::string text = text_at(backend, place); !text.empty()) return text;
  }
  return "it has failed";
}

void keep_least(std::optional<std::int64_t>& least, std::optional<std::int64_t> value) {
  if (value && (!least || *value < *least)) least = value;
}

Task<void> look_at_sizes(LoadClient& client, const Subject& subject, EngineSizes& sizes) {
  for (const BackendId engine : subject.engines) {
    const PageReply models = co_await client.get(engine, "/v1/models");
    if (models.status == 200) keep_least(sizes.context, context_in(models.body));
    const PageReply metrics = co_await client.get(engine, "/metrics");
    const auto told = parse_engine_metrics(metrics.body);
    if (metrics.status != 200 || !told || told->kv_tokens == 0) continue;
    keep_least(sizes.kv_tokens, static_cast<std::int64_t>(told->kv_tokens));
  }
}

// What a line of the log says behind its `error`; empty: it is none.
std::string_view said_after_error(std::string_view line) {
  constexpr std::string_view kError = "error";
  const std::size_t error = line.find(kError);
  if (error == std::string_view::npos) return {};
  const std::size_t begin = line.find_first_not_of(": ]", error + kError.size());
  return begin == std::string_view::npos ? std::string_view() : line.substr(begin);
}

}  // namespace

StartState read_start(const std::string& status_json) {
  StartState state;
  const json::value status = parsed(status_json);
  const json::array* backends = list_at(status, "/backends");
  if (backends == nullptr) return state;
  for (const json::value& backend : *backends) {
    const std::string name = text_at(backend, "/name");
    const std::string word = text_at(backend, "/state");
    if (word == "ready") ++state.ready;
    if (word == "failed" && state.problem.empty()) {
      state.problem = fmt::format("{}: {}", name, why(backend));
    }
    const std::string doing = text_at(backend, "/doing");
    if (word != "ready" && state.doing.empty()) {
      state.doing = fmt::format("{}: {}", name, doing.empty() ? word : doing);
    }
    const json::array* repairs = list_at(backend, "/repairs");
    if (repairs == nullptr) continue;
    for (const json::value& repair : *repairs) {
      if (!repair.is_string()) continue;
      state.repairs.push_back(fmt::format("{}: {}", name, std::string(repair.get_string())));
    }
  }
  return state;
}

std::string reason_in(const std::string& last_words) {
  std::string_view rest = last_words;
  const std::string_view first = rest.substr(0, rest.find('\n'));
  std::string reason(first.substr(0, first.find(';')));
  bool is_found = false;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::string_view said = said_after_error(line);
    // Of an engine's report, whose beginning may be gone, its first line says what it is about.
    const bool is_report = said.find("did not start") != std::string_view::npos;
    const bool is_more = said.empty() || said.starts_with("| ") || line.data() == first.data();
    if (is_more || (is_found && !is_report)) continue;
    reason = said;
    is_found = true;
    if (is_report) break;
  }
  return reason;
}

TrialProxy::TrialProxy(const std::string& program, const std::string& config,
                       const std::string& folder)
    : log_(folder + "/batchproxy.log"), child_(program, {"--config", config}, log_) {}

TrialProxy::Outcome TrialProxy::fail(const std::string& problem) {
  problem_ = printable(problem);
  return Outcome::kNotStarted;
}

void TrialProxy::find_servers(LoadClient& client, const std::string& api_key) {
  const auto url = child_.url();
  const auto admin = child_.admin();
  if (!url || !admin) return;
  url_ = *url;
  admin_ = *admin;
  servers_ = Servers{client.add_server(url_, api_key, ""), client.add_server(admin_, api_key, "")};
}

Task<std::optional<TrialProxy::Outcome>> TrialProxy::look(LoadClient& client,
                                                          const StartWatch& watch) {
  if (watch.interrupted()) co_return Outcome::kCutShort;
  if (const auto ended = child_.ended()) {
    co_return fail(fmt::format("{} (see {})", reason_in(*ended), log_));
  }
  if (!servers_) find_servers(client, watch.api_key);
  if (!servers_) co_return std::nullopt;
  const PageReply status = co_await client.get(servers_->admin, "/status");
  if (status.status != 200) co_return std::nullopt;
  const StartState state = read_start(status.body);
  repairs_ = state.repairs;
  if (state.ready >= watch.engines) {
    // The threads that answer clients hear of it a moment later.
    const PageReply health = co_await client.get(servers_->proxy, "/health");
    if (health.status == 200) co_return Outcome::kServing;
  }
  if (!state.problem.empty()) co_return fail(state.problem);
  if (state.doing != doing_) {
    doing_ = state.doing;
    if (!doing_.empty()) watch.told(doing_);
  }
  co_return std::nullopt;
}

Task<void> TrialProxy::wait_for_end(LoadClient& client, const StartWatch& watch, Outcome& outcome) {
  asio::steady_timer pause(client.io().get_executor());
  for (;;) {
    const std::optional<Outcome> seen = co_await look(client, watch);
    if (seen) {
      outcome = *seen;
      co_return;
    }
    ErrorCode ignored;
    pause.expires_after(kBetweenLooks);
    co_await pause.async_wait(asio::redirect_error(use_task, ignored));
  }
}

TrialProxy::Outcome TrialProxy::wait(LoadClient& client, const StartWatch& watch) {
  Outcome outcome = Outcome::kNotStarted;
  client.run(wait_for_end(client, watch, outcome));
  return outcome;
}

EngineSizes sizes_of(LoadClient& client, const Subject& subject) {
  EngineSizes sizes;
  client.run(look_at_sizes(client, subject, sizes));
  return sizes;
}

std::optional<std::int64_t> context_in(const std::string& models_json) {
  const json::value models = parsed(models_json);
  boost::system::error_code error;
  const json::value* length = models.find_pointer("/data/0/max_model_len", error);
  if (length == nullptr || !length->is_number()) return std::nullopt;
  const auto tokens = length->to_number<std::int64_t>(error);
  return error ? std::nullopt : std::optional(tokens);
}

}  // namespace batchproxy::bench
