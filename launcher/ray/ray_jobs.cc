// launcher/ray/ray_jobs.cc - Boost.JSON writes, simdjson reads.
#include "launcher/ray/ray_jobs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include "configs/schema/host_port.h"
#include "configs/text/figures.h"
#include "configs/text/printable.h"
#include "configs/text/trim.h"
#include "configs/vllm/version.h"
#include "launcher/plan/command_line.h"

namespace batchproxy {
namespace {

namespace json = boost::json;
using Element = simdjson::dom::element;

// The first with POST /api/jobs/ as it is today, and with entrypoint_num_gpus.
constexpr Version kOldestRay{2, 3, 0};
constexpr std::size_t kMostOfMessage = 300;  // bytes of what others say, on one line
constexpr std::size_t kMostOfToken = 16 << 10;

struct StateWord {
  std::string_view word;
  RayState state;
  bool is_over;
};
constexpr std::array<StateWord, 5> kStates{{
    {"PENDING", RayState::kPending, false},
    {"RUNNING", RayState::kRunning, false},
    {"STOPPED", RayState::kStopped, true},
    {"SUCCEEDED", RayState::kSucceeded, true},
    {"FAILED", RayState::kFailed, true},
}};

// The names of the marks in a job's metadata.
struct MarkName {
  std::string_view name;
  std::string RayMarks::*mark;
};
constexpr std::array<MarkName, 4> kMarks{{
    {"batchproxy_configuration", &RayMarks::configuration},
    {"batchproxy_run", &RayMarks::run},
    {"batchproxy_process", &RayMarks::process},
    {"batchproxy_engine", &RayMarks::engine},
}};

// Empty if it is not there or is no text.
std::string text_in(const Element& object, std::string_view name) {
  std::string_view text;
  return object[name].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

// "http://10.0.0.7:52365" is the agent of Ray on the node that runs a job.
std::string host_in(const std::string& url) {
  const BackendUrl agent = parse_backend_url(url);
  return agent.address ? agent.address->host : "";
}

// Nothing for what is no job that was submitted.
std::optional<RayJob> job_of(const Element& element) {
  const std::string word = text_in(element, "status");
  const auto* const known = std::ranges::find(kStates, word, &StateWord::word);
  RayJob job{.id = text_in(element, "submission_id")};
  if (job.id.empty() || known == kStates.end()) return std::nullopt;
  job.state = known->state;
  job.message = text_in(element, "message");
  job.node = host_in(text_in(element, "driver_agent_http_address"));
  Element metadata;
  if (element["metadata"].get(metadata) == simdjson::SUCCESS && metadata.is_object()) {
    for (const MarkName& one : kMarks) job.marks.*one.mark = text_in(metadata, one.name);
  }
  return job;
}

// What a traceback's reader wants: its last line with anything in it.
std::string last_line(std::string_view text) {
  while (!text.empty()) {
    const std::size_t newline = text.rfind('\n');
    const std::string_view line = trim(text.substr(newline == text.npos ? 0 : newline + 1));
    // Ray puts a full stop on a line of its own behind a traceback that it passes on.
    if (!line.empty() && line != ".") return printable(line.substr(0, kMostOfMessage));
    text = text.substr(0, newline == text.npos ? 0 : newline);
  }
  return "";
}

std::string in_words(std::int64_t gpus) {
  return gpus == 1 ? "1 GPU" : std::to_string(gpus) + " GPUs";
}

// The file's text without blanks around it; nothing if it cannot be read.
std::optional<std::string> token_in(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string text(kMostOfToken, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return std::nullopt;
  return std::string(trim(text, " \t\r\n"));
}

std::string variable_in(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// A token goes into a header field.
OrError<RayToken> fit_for_a_field(const std::string& token, const std::string& source) {
  const auto is_fit = [](unsigned char c) { return c > ' ' && c < 0x7f; };
  if (std::ranges::all_of(token, is_fit)) return RayToken{token};
  return LaunchError{"the Ray token of " + source +
                     " holds blanks or bytes that no token has; write it as `ray get-auth-token` "
                     "prints it, on one line"};
}

}  // namespace

std::string ray_job_id(std::string_view run, std::string_view engine, int start) {
  std::string id =
      "batchproxy-" + std::string(run) + "-" + std::string(engine) + "-" + std::to_string(start);
  std::ranges::replace_if(
      id,
      [](unsigned char c) {
        return !(std::string_view("-_").find(static_cast<char>(c)) != std::string_view::npos ||
                 (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
      },
      '_');
  return id;
}

std::string to_json(const RaySubmission& submission) {
  // `exec`: no shell stays between Ray and the agent.
  std::string entrypoint = "exec";
  for (const std::string& word : submission.command) entrypoint += " " + shell_quoted(word);
  json::object variables;
  for (const auto& [name, value] : submission.variables) variables[name] = value;
  variables["RAY_JOB_STOP_WAIT_TIME_S"] =
      std::to_string(std::lround(std::ceil(submission.stop_timeout.count())));
  // With neither it would run on the head node, which sees all of its GPUs.
  const std::int64_t cpus = submission.gpus > 0 ? 0 : 1;
  json::object metadata;
  for (const MarkName& one : kMarks) {
    metadata[json::string_view(one.name.data(), one.name.size())] = submission.marks.*one.mark;
  }
  return json::serialize(json::object{
      {"entrypoint", entrypoint},
      {"submission_id", submission.id},
      {"entrypoint_num_gpus", submission.gpus},
      {"entrypoint_num_cpus", cpus},
      {"runtime_env", json::object{{"env_vars", std::move(variables)}}},
      {"metadata", std::move(metadata)},
  });
}

bool is_over(RayState state) {
  return std::ranges::find(kStates, state, &StateWord::state)->is_over;
}

OrError<RayJob> parse_ray_job(std::string_view body) {
  simdjson::dom::parser parser;
  Element root;
  if (parser.parse(body.data(), body.size()).get(root) == simdjson::SUCCESS && root.is_object()) {
    if (std::optional<RayJob> job = job_of(root)) return *std::move(job);
  }
  return LaunchError{"this is no answer about a job of Ray's: " + last_line(body)};
}

OrError<std::vector<RayJob>> parse_ray_jobs(std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::array list;
  if (parser.parse(body.data(), body.size()).get_array().get(list) != simdjson::SUCCESS) {
    return LaunchError{"this is no list of Ray's jobs: " + last_line(body)};
  }
  std::vector<RayJob> ours;
  for (const Element element : list) {
    if (!element.is_object()) continue;
    std::optional<RayJob> job = job_of(element);
    if (job && !job->marks.run.empty()) ours.push_back(*std::move(job));
  }
  return ours;
}

std::vector<RayJob> leftovers(const std::vector<RayJob>& jobs, const RayMarks& ours,
                              const std::function<bool(const std::string& process)>& lives) {
  std::vector<RayJob> found;
  std::ranges::copy_if(jobs, std::back_inserter(found), [&](const RayJob& job) {
    return job.marks.configuration == ours.configuration && job.marks.run != ours.run &&
           !lives(job.marks.process);
  });
  return found;
}

std::optional<RayGpus> parse_ray_gpus(std::string_view body) {
  simdjson::dom::parser parser;
  Element root;
  simdjson::dom::array figures;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  const auto usage = root.at_pointer("/data/clusterStatus/loadMetricsReport/usage");
  if (usage.error() != simdjson::SUCCESS) return std::nullopt;
  // A cluster without any names none.
  if (usage["GPU"].get_array().get(figures) != simdjson::SUCCESS) return RayGpus{};
  RayGpus gpus;
  if (figures.at(0).get_double().get(gpus.used) != simdjson::SUCCESS) return std::nullopt;
  if (figures.at(1).get_double().get(gpus.all) != simdjson::SUCCESS) return std::nullopt;
  return gpus;
}

std::string describe_wait(std::int64_t gpus, Duration so_far, const std::optional<RayGpus>& has) {
  std::string text = "its job has been PENDING in Ray for " +
                     short_time(std::chrono::duration<double>(so_far).count()) + ": it needs " +
                     (gpus == 0 ? "a CPU" : in_words(gpus)) + " of one node";
  if (!has || gpus == 0) return text;
  if (has->all == 0) return text + "; the cluster has none";
  // A job may have a half of one.
  return text + fmt::format("; the cluster has {:g}, {:g} of them free", has->all,
                            has->all - has->used);
}

std::string describe_end(const RayJob& job) {
  switch (job.state) {
    case RayState::kStopped:
      return "Ray stopped its job " + job.id;
    case RayState::kSucceeded:
      return "its job " + job.id + " has ended";
    case RayState::kFailed:
    case RayState::kPending:
    case RayState::kRunning:
      break;
  }
  return "Ray says of its job " + job.id + ": " + last_line(job.message);
}

RayRefusal explain_refusal(const std::string& url, unsigned status, std::string_view body,
                           bool has_token) {
  constexpr const char* kWhere =
      "the token is what `ray get-auth-token` prints on the head node; put it into a file and name "
      "that in launcher.ray_token_file, or set RAY_AUTH_TOKEN";
  if (status == 401 && !has_token) {
    return {"Ray at " + url + " asks for a token, and there is none: " + kWhere, true};
  }
  if (status == 401 || status == 403) {
    return {"Ray at " + url + " does not take this token (it answers " + std::to_string(status) +
                "): " + kWhere,
            true};
  }
  if (status == 404 || status == 405) {
    return {"there are no Ray Jobs at " + url + " (it answers " + std::to_string(status) +
                "): launcher.ray_address is http://HEAD:8265, the address of Ray's dashboard, "
                "which `pip install \"ray[default]\"` brings",
            true};
  }
  const std::string says = last_line(body);
  return {"Ray at " + url + " answers " + std::to_string(status) +
              (says.empty() ? std::string() : ": " + says),
          status / 100 == 4};
}

RayRefusal explain_silence(const std::string& url, const std::string& why) {
  return {"no Ray answers at " + url + ": " + why +
              " (launcher.ray_address: the dashboard of a running `ray start --head`, which "
              "listens on 127.0.0.1 alone unless it is given --dashboard-host=0.0.0.0)",
          false};
}

std::optional<RayRefusal> problem_of_version(const std::string& url, std::string_view body) {
  simdjson::dom::parser parser;
  Element root;
  const bool is_json = parser.parse(body.data(), body.size()).get(root) == simdjson::SUCCESS;
  const std::string text =
      is_json && root.is_object() ? text_in(root, "ray_version") : std::string();
  if (text.empty()) {
    return RayRefusal{"what answers at " + url +
                          " is no Ray: launcher.ray_address is http://HEAD:8265, the address of "
                          "Ray's dashboard",
                      true};
  }
  const std::optional<Version> version = parse_version(text);
  if (version && *version < kOldestRay) {
    return RayRefusal{"Ray at " + url + " is " + printable(text) +
                          ", and cannot give GPUs to a job: install Ray " + to_string(kOldestRay) +
                          " or newer there",
                      true};
  }
  return std::nullopt;
}

bool is_known_already(unsigned status, std::string_view body) {
  // Ray 2.60 answers 500, with the 400 of its own agent in the text.
  return status >= 400 && body.find("already exists") != std::string_view::npos;
}

OrError<RayToken> find_ray_token(const std::string& file, const Environment& environment) {
  if (!file.empty()) {
    const std::optional<std::string> token = token_in(file);
    if (!token) return LaunchError{"cannot read " + file + " (launcher.ray_token_file)"};
    if (token->empty()) return LaunchError{file + " (launcher.ray_token_file) is empty"};
    return fit_for_a_field(*token, file);
  }
  const std::string given = variable_in(environment, "RAY_AUTH_TOKEN");
  if (!given.empty()) return fit_for_a_field(std::string(trim(given)), "RAY_AUTH_TOKEN");
  const std::string path = variable_in(environment, "RAY_AUTH_TOKEN_PATH");
  if (!path.empty()) {
    const std::optional<std::string> token = token_in(path);
    if (!token) return LaunchError{"cannot read " + path + " (RAY_AUTH_TOKEN_PATH)"};
    return fit_for_a_field(*token, path);
  }
  const std::string home = variable_in(environment, "HOME");
  if (home.empty()) return RayToken{};
  const std::string usual = home + "/.ray/auth_token";
  return fit_for_a_field(token_in(usual).value_or(""), usual);
}

}  // namespace batchproxy
