// launcher/outlook/ray_outlook.cc - see ray_outlook.h. As Ray 2.60 answers.
#include "launcher/outlook/ray_outlook.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/printable.h"

namespace batchproxy {
namespace {

using Element = simdjson::dom::element;

// Where the thread that asks hands in what it has.
struct Desk {
  std::mutex mutex;
  std::condition_variable changed;
  RayAnswers answers;
  bool is_done = false;
};

enum class Questions : std::uint8_t { kVersion, kAll };

Task<void> ask(RayClient& client, Questions questions, Desk& desk) {
  const auto hand_in = [&desk](RayReply RayAnswers::* which, RayReply reply) {
    const std::lock_guard lock(desk.mutex);
    desk.answers.*which = std::move(reply);
  };
  RayReply reply = co_await client.version();
  const bool is_there = !reply.refusal;
  hand_in(&RayAnswers::version, std::move(reply));
  if (!is_there || questions == Questions::kVersion) co_return;
  reply = co_await client.nodes();
  hand_in(&RayAnswers::nodes, std::move(reply));
  reply = co_await client.cluster();
  hand_in(&RayAnswers::cluster, std::move(reply));
}

// On a thread that nobody waits for: the system's resolver can be interrupted by nothing.
void ask_for(const RayAddress& address, Questions questions, std::chrono::seconds most,
             const std::shared_ptr<Desk>& desk) {
  asio::io_context io{1};
  RayClient client(io, address, most);
  asio::co_spawn(io.get_executor(), ask(client, questions, *desk), &end_on_error);
  io.run();
  const std::lock_guard lock(desk->mutex);
  desk->is_done = true;
  desk->changed.notify_all();
}

// The time is for all of it. Ray's head may take longer for one answer; who asks it here waits
// for us.
RayAnswers asked(const RayAddress& address, Questions questions, const AnswerTime& time) {
  const auto desk = std::make_shared<Desk>();
  std::thread([address, questions, most = time.most, desk] {
    ask_for(address, questions, most, desk);
  }).detach();
  std::unique_lock lock(desk->mutex);
  wait_for_answer(time, "Ray at " + address.url, desk->changed, lock,
                  [&desk] { return desk->is_done; });
  return desk->answers;
}

std::string text_of(const Element& object, std::string_view name) {
  std::string_view text;
  return object[name].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

std::optional<NodeRoom> node_of(const Element& element) {
  if (!element.is_object() || text_of(element, "state") != "ALIVE") return std::nullopt;
  NodeRoom node{text_of(element, "node_ip"), 0};
  double gpus = 0;
  if (element["resources_total"]["GPU"].get_double().get(gpus) == simdjson::SUCCESS && gpus > 0) {
    node.gpus = static_cast<std::size_t>(gpus);
  }
  return node;
}

std::string version_in(std::string_view body) {
  simdjson::dom::parser parser;
  Element root;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) return "";
  return root.is_object() ? printable(text_of(root, "ray_version")) : "";
}

Finding room_of(const RayAnswers& answers, const std::vector<std::size_t>& needs) {
  constexpr const char* kAsk = "`ray status` on a node tells";
  const auto nodes = parse_ray_nodes(answers.nodes.body);
  if (!nodes)
    return warning("Ray does not tell its nodes: whether the engines fit is not known", kAsk);
  Fit fit = fit_engines(needs, *nodes);
  const auto gpus = parse_ray_gpus(answers.cluster.body);
  const std::size_t needed = [&needs] {
    std::size_t sum = 0;
    for (const std::size_t need : needs) sum += need;
    return sum;
  }();
  if (!fit.fits) {
    return warning(fit.text + ": what finds none waits until Ray has more nodes",
                   "add nodes (`ray start --address=...`), lower tensor_parallel_size, or start "
                   "fewer engines");
  }
  const double free = gpus ? gpus->all - gpus->used : 0;
  if (gpus && free < static_cast<double>(needed)) {
    return warning(
        fmt::format("{}, but only {:g} of the GPUs are free now: engines wait for the others",
                    fit.text, free),
        "`ray list jobs` tells who has them; jobs of an earlier batchproxy are stopped "
        "at a start");
  }
  return ok(fit.text);
}

}  // namespace

std::optional<std::vector<NodeRoom>> parse_ray_nodes(std::string_view body) {
  simdjson::dom::parser parser;
  Element root;
  simdjson::dom::array list;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  if (root.at_pointer("/data/result/result").get_array().get(list) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  std::vector<NodeRoom> nodes;
  for (const Element element : list) {
    if (auto node = node_of(element)) nodes.push_back(*std::move(node));
  }
  return nodes;
}

// A head that is busy, or answers with an error that may pass, is left to the starts of the
// engines.
std::optional<Finding> ray_problem(const std::string& url, const RayReply& version,
                                   std::chrono::seconds waited) {
  if (version.refusal) {
    const bool may_pass = version.status != 0 && !version.refusal->is_hopeless;
    const std::string& sentence = version.refusal->sentence;
    return may_pass ? failure(sentence, "") : hopeless(sentence, "");
  }
  if (version.status == 0) {
    return hopeless(fmt::format("Ray at {} has not answered within {} s", url, waited.count()),
                    "see whether its head is busy, or launcher.ray_address names another machine");
  }
  const auto problem = problem_of_version(url, version.body);
  return problem ? std::optional(hopeless(problem->sentence, "")) : std::nullopt;
}

std::vector<Finding> ray_findings(const std::string& url, bool has_token, const RayAnswers& answers,
                                  const std::vector<std::size_t>& needs) {
  const RayReply& version = answers.version;
  if (auto problem = ray_problem(url, version, AnswerTime().most)) return {*std::move(problem)};
  return {ok(fmt::format("Ray {} answers at {}{}", version_in(version.body), url,
                         has_token ? ", and takes the token" : "")),
          room_of(answers, needs)};
}

std::vector<Finding> ray_outlook(const Options& options, const Machine& machine,
                                 const std::vector<std::size_t>& needs) {
  const auto address = ray_address(options, machine.environment);
  if (!address) return {hopeless(address.error().text, "")};
  const auto token = address->token();
  if (!token) return {hopeless(token.error().text, "")};
  return ray_findings(address->url, !token->text.empty(),
                      asked(*address, Questions::kAll, AnswerTime()), needs);
}

std::optional<Finding> ray_obstacle(const Options& options, const Machine& machine,
                                    const AnswerTime& time) {
  const auto address = ray_address(options, machine.environment);
  if (!address) return hopeless(address.error().text, "");
  const RayAnswers answers = asked(*address, Questions::kVersion, time);
  return ray_problem(address->url, answers.version, time.most);
}

}  // namespace batchproxy
