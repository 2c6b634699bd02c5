// bench/policy/router.h - what the policy benchmark compares: the scheduler of the proxy under its
// various options, and plain routers that know no queue.
//
// Threading: confined to the caller.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "batcher/scheduler.h"
#include "bench/policy/workload.h"

namespace batchproxy::bench {

// One HTTP call to a backend.
struct RoutedCall {
  BackendId backend = 0;
  std::vector<std::uint32_t> requests;  // positions in the workload
};

// Sends each request of a workload to a backend, sooner or later. Time never decreases.
class Router {
 public:
  virtual ~Router() = default;

  virtual void submit(std::uint32_t request, TimePoint now) = 0;
  virtual void on_answered(const RoutedCall& call) = 0;
  // A look at the metrics of `backend`.
  virtual void observe(BackendId backend, const EngineSample& sample, TimePoint now) = 0;
  // Appends the calls that leave now.
  virtual void take(TimePoint now, std::vector<RoutedCall>& calls) = 0;
  // When take() may next have something if nothing else happens.
  virtual std::optional<TimePoint> next_due() const = 0;
};

enum class Policy : std::uint8_t {
  kDefault,      // what the proxy does unless told otherwise
  kPassThrough,  // every request at once to the backend with the fewest in flight
  kFixed,        // the classic collector: 16 or 0.5 s
  kNoAffinity,   // the default without prefix affinity
  kMergeOff,     // the default without merging
  kMergeAlways,  // the default with merging, needed or not
  kRoundRobin,   // plain routers from here on
  kLeastOutstanding,
  kSingleHome,  // every passage has one backend, unless that is far busier than the others
  kCacheAware,  // the rules that other routers document
  kPrefixHash,
};

inline constexpr Policy kAllPolicies[] = {
    Policy::kDefault,    Policy::kPassThrough, Policy::kFixed,      Policy::kNoAffinity,
    Policy::kMergeOff,   Policy::kMergeAlways, Policy::kRoundRobin, Policy::kLeastOutstanding,
    Policy::kSingleHome, Policy::kCacheAware,  Policy::kPrefixHash};

std::string_view name_of(Policy policy);

// `requests` must outlive the router.
std::unique_ptr<Router> make_router(Policy policy, std::span<const PromptRequest> requests,
                                    std::size_t backends, const BackendTraits& traits);

}  // namespace batchproxy::bench
