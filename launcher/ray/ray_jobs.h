// launcher/ray/ray_jobs.h - Ray's Jobs REST API as values: the bodies of requests, what its
// answers say, and a sentence for each answer that is a refusal.
//
// What Ray does in truth stands in docs/PLACEMENT.md, with the version that it was seen in.
//
// Threading: pure functions over values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/time.h"
#include "configs/schema/key.h"
#include "configs/sources/environment.h"
#include "launcher/base/result.h"

namespace batchproxy {

// Whose job it is: kept with it by Ray, so that a later batchproxy knows its leftovers.
struct RayMarks {
  std::string configuration{};  // equal for two runs of which the later one clears up; has the host
  std::string run{};            // unique to one run of batchproxy
  std::string process{};        // that run's, on its host: see process_mark()
  std::string engine{};         // "engine-0"

  friend bool operator==(const RayMarks&, const RayMarks&) = default;
};

// An engine's agent as a job.
struct RaySubmission {
  std::string id;  // Ray takes each only once, so that a submission may be repeated
  std::vector<std::string> command;
  Environment variables;
  std::int64_t gpus = 0;   // of one node: a job never spans two
  Seconds stop_timeout{};  // between SIGTERM and SIGKILL when Ray stops it; whole ones, rounded up
  RayMarks marks;
};

// "batchproxy-RUN-engine-0-3". Of anything but letters, digits, - and _ becomes _.
std::string ray_job_id(std::string_view run, std::string_view engine, int start);

std::string to_json(const RaySubmission& submission);

enum class RayState : std::uint8_t { kPending, kRunning, kStopped, kSucceeded, kFailed };

// Whether no process of it is left, and none will be.
bool is_over(RayState state);

struct RayJob {
  std::string id;
  RayState state{};
  std::string message{};  // Ray's own, for people; may have many lines
  std::string node{};     // host of the node that runs it; empty while it is pending
  RayMarks marks{};       // empty ones: it is not ours
};

// A body of GET /api/jobs/ID.
OrError<RayJob> parse_ray_job(std::string_view body);
// A body of GET /api/jobs/: those that batchproxy has submitted.
OrError<std::vector<RayJob>> parse_ray_jobs(std::string_view body);

// Those of `jobs` that runs of the same configuration have left which have ended since: neither our
// own nor one whose process `lives`.
std::vector<RayJob> leftovers(const std::vector<RayJob>& jobs, const RayMarks& ours,
                              const std::function<bool(const std::string& process)>& lives);

// The GPUs of a cluster, as its autoscaler counts them every few seconds.
struct RayGpus {
  double all = 0;
  double used = 0;
};
// A body of GET /api/cluster_status; nothing while it has not counted them yet.
std::optional<RayGpus> parse_ray_gpus(std::string_view body);

// "its job has been PENDING in Ray for 40 s: it needs 2 GPUs of one node; the cluster has 16, 1 of
// them free"
std::string describe_wait(std::int64_t gpus, Duration so_far, const std::optional<RayGpus>& has);

// How a job ended, for people: "Ray stopped its job", or the last line of what Ray says of it.
std::string describe_end(const RayJob& job);

// Why the answer is not what was asked for, and what to do. `url`: where Ray was asked.
struct RayRefusal {
  std::string sentence;
  bool is_hopeless = false;  // asking again changes nothing
};
RayRefusal explain_refusal(const std::string& url, unsigned status, std::string_view body,
                           bool has_token);
// The same for one that did not answer; `why` in words.
RayRefusal explain_silence(const std::string& url, const std::string& why);
// Its GET /api/version is not that of a Ray that we can use; nothing if it is.
std::optional<RayRefusal> problem_of_version(const std::string& url, std::string_view body);

// Whether this answer to a submission says that Ray has the job already: a repetition.
bool is_known_already(unsigned status, std::string_view body);

struct RayToken {
  std::string text;  // empty: there is none
};
// That of `file`, else as Ray itself looks for it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH,
// ~/.ray/auth_token. The error is one sentence.
OrError<RayToken> find_ray_token(const std::string& file, const Environment& environment);

}  // namespace batchproxy
