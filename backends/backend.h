// backends/backend.h - BackendRecord: what the whole proxy knows of one server that answers
// requests.
//
// What only one part of the proxy needs to know of a backend stays there, by the same BackendId:
// the scheduler's count of what is in flight, an I/O thread's kept connections, the time of a
// probe.
//
// Threading: immutable once published; the registry makes a new one for every change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/life_cycle.h"
#include "backends/names/endpoint.h"
#include "batcher/base/backend_set.h"
#include "batcher/scheduler.h"

namespace batchproxy {

using EndpointPtr = std::shared_ptr<const Endpoint>;

enum class BackendOrigin : std::uint8_t {
  kGiven,     // the user has named it; somebody else starts and ends it
  kLaunched,  // an engine of ours
};

// A model as a backend names it.
struct ServedModel {
  std::string id;
  std::string json;  // its object in GET /v1/models, as it stands there

  friend bool operator==(const ServedModel&, const ServedModel&) = default;
};

// The answer of a backend to the question which models it serves.
struct ModelList {
  enum class Kind : std::uint8_t {
    kUntold,    // nothing yet: it may turn out to serve anything
    kListed,    // `models`
    kUnlisted,  // that it has no list: it serves what is configured
    kWithheld,  // nothing to us, who have not its key: what nobody lists goes to it
  };
  Kind kind = Kind::kUntold;
  std::vector<ServedModel> models{};

  friend bool operator==(const ModelList&, const ModelList&) = default;
};

struct BackendRecord {
  BackendId id() const { return endpoint->id; }
  const std::string& name() const { return endpoint->name; }
  bool is_ready() const { return state == BackendState::kReady; }
  bool is_present() const { return batchproxy::is_present(state); }

  // Where it is, and how to talk to it.
  EndpointPtr endpoint;
  BackendOrigin origin = BackendOrigin::kGiven;
  // Counts the backends that have had this id, so that two of them are told apart.
  std::uint32_t generation = 0;

  // Abilities of the backend, as configured and as it has told since.
  BackendTraits traits{};
  std::vector<std::string> models{};  // names that it is known to serve before it says so
  ModelList served{};                 // and what it says
  bool keyed = false;                 // it asks for an API key that we have not

  BackendState state = BackendState::kConfigured;
  std::string why{};       // it is not ready, in words; empty while it is
  bool was_ready = false;  // at some time

  // For people.
  bool simulated = false;
  std::string gpus{};  // "0,1"; empty when we did not start it
  std::string node{};  // on which others have placed it; empty: on none, or this machine
};

using BackendPtr = std::shared_ptr<const BackendRecord>;

}  // namespace batchproxy
