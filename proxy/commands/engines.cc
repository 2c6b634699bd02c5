// proxy/commands/engines.cc - batchproxy engines [VERB [ENGINE]]: what the engines of a running
// batchproxy do, and orders for them, over its admin address.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "configs/schema/host_port.h"
#include "proxy/commands/commands.h"
#include "proxy/control/engine_orders.h"

namespace batchproxy {

namespace {

namespace beast = boost::beast;
namespace http_ = boost::beast::http;
namespace json = boost::json;
using Tcp = boost::asio::ip::tcp;

constexpr auto kPatience = std::chrono::seconds(10);
constexpr const char* kKeyVariable = "BATCHPROXY_API_KEY";

struct EnginesFlags {
  std::string verb;
  std::string engine;
};

using Answer = http_::response<http_::string_body>;

// One call to the admin address. Throws boost::system::system_error.
Answer call(const HostPort& at, http_::verb method, const std::string& path) {
  boost::asio::io_context io;
  beast::tcp_stream stream(io);
  stream.expires_after(kPatience);
  stream.connect(Tcp::resolver(io).resolve(at.host, std::to_string(at.port)));
  http_::request<http_::string_body> request(method, path, 11);
  request.set(http_::field::host, to_string(at));
  if (const char* key = std::getenv(kKeyVariable)) {
    request.set(http_::field::authorization, std::string("Bearer ") + key);
  }
  request.prepare_payload();
  http_::write(stream, request);
  beast::flat_buffer buffer;
  Answer answer;
  http_::read(stream, buffer, answer);
  return answer;
}

std::string text(const json::object& backend, const char* name) {
  const json::value* value = backend.if_contains(name);
  if (value == nullptr) return "";
  return value->is_string() ? std::string(value->as_string()) : json::serialize(*value);
}

void print_engines(const std::string& status) {
  const json::value read = json::parse(status);
  std::cout << fmt::format("{:<16} {:<11} {:>9} {:>9} {:>9}  {}\n", "engine", "state", "in flight",
                           "answered", "restarts", "GPUs");
  for (const json::value& each : read.at("backends").as_array()) {
    const json::object& backend = each.as_object();
    std::cout << fmt::format("{:<16} {:<11} {:>9} {:>9} {:>9}  {}\n", text(backend, "name"),
                             text(backend, "state"), text(backend, "inflight"),
                             text(backend, "answered"), text(backend, "restarts"),
                             text(backend, "gpus"));
    const std::string problem = text(backend, "problem");
    if (!problem.empty()) std::cout << "    " << problem << '\n';
    const json::value* repairs = backend.if_contains("repairs");
    if (repairs == nullptr) continue;
    for (const json::value& repair : repairs->as_array()) {
      std::cout << "    repaired: " << std::string(repair.as_string()) << '\n';
    }
  }
}

int engines(const CommandLine& arguments, const EnginesFlags& flags) {
  const auto options = options_for_operator(arguments);
  if (!options) return kUsage;
  const std::string& admin = *options->proxy.admin;
  const auto at = parse_host_port(admin);
  if (!at) {
    std::cerr << "error: --admin " << admin << " is not HOST:PORT\n";
    return kUsage;
  }
  std::string path = "/status";
  if (!flags.verb.empty()) {
    path = "/admin/engines/" + (flags.engine.empty() ? "" : flags.engine + "/") + flags.verb;
    if (!read_engine_order(path)) {
      std::cerr << "error: no such order: " << flags.verb << "; there are " << engine_verbs()
                << '\n';
      return kUsage;
    }
  }
  Answer answer;
  try {
    answer = call(*at, flags.verb.empty() ? http_::verb::get : http_::verb::post, path);
  } catch (const boost::system::system_error& error) {
    std::cerr << "error: no batchproxy answers at " << admin << ": " << error.code().message()
              << ". Name its admin address with --admin\n";
    return 1;
  }
  const bool is_good = answer.result_int() / 100 == 2;
  if (answer.result() == http_::status::unauthorized) {
    std::cerr << "error: " << admin << " asks for an API key: set " << kKeyVariable << '\n';
  } else if (is_good && flags.verb.empty()) {
    print_engines(answer.body());
  } else {
    (is_good ? std::cout : std::cerr) << answer.body();
  }
  return is_good ? 0 : 1;
}

}  // namespace

Command add_engines(CLI::App& app, CommandLine& arguments) {
  const auto flags = std::make_shared<EnginesFlags>();
  CLI::App* command =
      app.add_subcommand("engines", "What the engines of a running batchproxy do; orders for them");
  command->add_option("verb", flags->verb, "One of " + engine_verbs());
  command->add_option("engine", flags->engine, "Its name or number; all, if it is left out");
  command->footer(
      "Examples:\n"
      "  batchproxy engines                     a line for each\n"
      "  batchproxy engines restart 1           when it has finished its requests\n"
      "  batchproxy engines restart             all, one after the other\n"
      "  batchproxy engines stop engine-2 --admin 127.0.0.1:8001");
  return {command, [&arguments, flags] { return engines(arguments, *flags); }};
}

}  // namespace batchproxy
