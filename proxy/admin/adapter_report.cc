// proxy/admin/adapter_report.cc - see adapter_report.h.
#include "proxy/admin/adapter_report.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include "batcher/base/enum_table.h"

namespace batchproxy {

namespace {

namespace json = boost::json;

constexpr std::size_t kLongestMessage = 2000;  // bytes

// FastAPI's, where vLLM has not been told to take such orders.
constexpr std::string_view kNoSuchRoute = "Not Found";
constexpr std::string_view kNoSuchRouteHelp =
    ": it takes no adapters. Start it with --enable-lora, and with "
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment";

const json::string* text_at(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value == nullptr ? nullptr : value->if_string();
}

std::string shown(std::string_view message) {
  if (message.size() <= kLongestMessage) return std::string(message);
  return "its answer is longer than " + std::to_string(kLongestMessage) + " bytes";
}

// The sentence in an answer: vLLM's successes are bare text, its errors and FastAPI's JSON.
std::string message_in(const std::string& body) {
  boost::system::error_code bad;
  const json::value parsed = json::parse(body, bad);
  if (const json::object* object = bad ? nullptr : parsed.if_object()) {
    const json::value* error = object->if_contains("error");
    const bool nested = error != nullptr && error->is_object();
    const json::object& told = nested ? error->get_object() : *object;
    for (const std::string_view name : {"message", "detail"}) {
      if (const json::string* text = text_at(told, name)) {
        return shown({text->data(), text->size()});
      }
    }
  }
  if (!simdjson::validate_utf8(body.data(), body.size())) return "its answer is no text";
  return shown(body);
}

// In vLLM's words; older ones say 400 to both.
bool is_so_already(const AdapterOrder& order, unsigned status, std::string_view message) {
  if (status != 400 && status != 404) return false;
  const std::string_view words = order.load ? "has already been loaded" : "cannot be found";
  return message.find(words) != std::string_view::npos;
}

struct KindRow {
  AdapterOutcome::Kind id{};
  std::string_view word{};
};
constexpr EnumTable<KindRow> kKinds({
    {AdapterOutcome::Kind::kDone, "done"},
    {AdapterOutcome::Kind::kFailed, "failed"},
    {AdapterOutcome::Kind::kNotUp, "not up"},
});

json::object describe(const AdapterOutcome& outcome) {
  json::object shown{{"backend", outcome.backend}, {"result", kKinds[outcome.kind].word}};
  shown["status"] = outcome.status == 0 ? json::value(nullptr) : json::value(outcome.status);
  shown["message"] = outcome.message;
  return shown;
}

}  // namespace

Result<AdapterOrder> read_adapter_order(std::string_view path, std::string json) {
  boost::system::error_code bad;
  const json::value body = json::parse(json, bad);
  const json::object* fields = bad ? nullptr : body.if_object();
  if (fields == nullptr) {
    return Error{Errc::kInvalidJson, R"(The body is no JSON object, such as {"lora_name": "sql", )"
                                     R"("lora_path": "/adapters/sql"}.)"};
  }
  const json::string* name = text_at(*fields, "lora_name");
  if (name == nullptr || name->empty()) {
    return Error{Errc::kInvalidRequest, "`lora_name` must name the adapter.", "lora_name"};
  }
  return AdapterOrder{path == kLoadAdapter, std::string(*name), std::move(json)};
}

AdapterOutcome outcome_of(const AdapterOrder& order, std::string backend,
                          const EngineReply& reply) {
  if (reply.status == 0) {
    return {std::move(backend), AdapterOutcome::Kind::kFailed, 0, reply.problem};
  }
  std::string message = message_in(reply.body);
  const bool done = reply.status / 100 == 2 || is_so_already(order, reply.status, message);
  if (reply.status == 404 && message == kNoSuchRoute) message += kNoSuchRouteHelp;
  return {std::move(backend), done ? AdapterOutcome::Kind::kDone : AdapterOutcome::Kind::kFailed,
          reply.status, std::move(message)};
}

AdapterOutcome not_up(std::string backend, std::string_view why) {
  return {std::move(backend), AdapterOutcome::Kind::kNotUp, 0, std::string(why)};
}

std::size_t AdapterReport::count(AdapterOutcome::Kind kind) const {
  return static_cast<std::size_t>(std::ranges::count(outcomes, kind, &AdapterOutcome::kind));
}

unsigned AdapterReport::status() const {
  if (count(AdapterOutcome::Kind::kFailed) > 0) return 502;
  return count(AdapterOutcome::Kind::kDone) > 0 ? 200 : 503;
}

std::string AdapterReport::summary() const {
  const std::size_t down = count(AdapterOutcome::Kind::kNotUp);
  const std::size_t done = count(AdapterOutcome::Kind::kDone);
  if (outcomes.size() == down) return "No engine is up. Give the order again when one is.";
  std::string text = fmt::format("{} on {} of {} engines.", order.load ? "Loaded" : "Unloaded",
                                 done, outcomes.size());
  if (count(AdapterOutcome::Kind::kFailed) > 0) {
    text += " Mend what the other engines say, then give the order again.";
  }
  if (down > 0 && order.load) {
    text += " Engines that are not up need the order again when they are.";
  }
  return text;
}

std::string AdapterReport::to_json() const {
  json::array backends;
  for (const AdapterOutcome& outcome : outcomes) backends.push_back(describe(outcome));
  return json::serialize(json::object{
      {"lora_name", order.name}, {"message", summary()}, {"backends", std::move(backends)}});
}

}  // namespace batchproxy
