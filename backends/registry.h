// backends/registry.h - BackendRegistry: the one record of every backend. The launcher, the
// monitor, the look-ups of names and a reload write to it; the I/O threads, the lane and /status go
// by what it publishes.
//
// A backend that stays keeps its id over any number of reloads, and with it its connections, its
// cache's memory and what is in flight. The id of one that has gone is given to another only when
// nothing of it is left, and then with another generation.
//
// The registry does nothing by itself: it has no I/O and no clock.
//
// Threading: confined to the control thread, its only writer. A Roster that it has published is
// immutable, and may be kept by any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/roster.h"

namespace batchproxy {

class BackendRegistry {
 public:
  using Tell = std::function<void(const RosterPtr&)>;

  // Their ids are their places in `first`.
  explicit BackendRegistry(std::vector<BackendRecord> first);

  // The backends as they are now. Never null.
  const RosterPtr& roster() const { return roster_; }
  const BackendRecord& operator[](BackendId id) const { return (*roster_)[id]; }

  // From now on `tell` is called with every new roster, from inside the change. A reason alone (see
  // BackendRecord::why) is no change that anybody need be told of.
  void watch(Tell tell) { tell_ = std::move(tell); }

  // The change that an event has made to a backend.
  struct Step {
    BackendState from, to;
    bool moved() const { return from != to; }
  };
  // `why` says what is wrong, where something is.
  Step apply(BackendId backend, BackendEvent event, std::string why = {});

  // Why it is not ready is said in other words.
  void set_why(BackendId backend, std::string why);
  // The backend that `endpoint` names is reached in another way from now on.
  void set_endpoint(EndpointPtr endpoint);
  void set_traits(BackendId backend, const BackendTraits& traits);
  // `node`: empty for this machine.
  void set_gpus(BackendId backend, const std::string& gpus, const std::string& node = {});
  // The models that the backend lists.
  void set_served(BackendId backend, ModelList served);
  // The backend no longer serves `model`, until it lists that again.
  void forget_model(BackendId backend, std::string_view model);
  void set_keyed(BackendId backend, bool keyed);
  void set_simulated(BackendId backend, bool simulated);

  struct Changes {
    std::vector<BackendId> added;
    std::vector<BackendId> removed;
    // Backends that stay, with another API key or health path.
    std::vector<BackendId> retold;
  };
  // From now on there are the backends of `wanted`, whose ids mean nothing, and no others. A server
  // that stays keeps its addresses. `in_use`: whether a call to a backend is still under way.
  // Nothing, and nothing done, when there are more than BackendSet::kMax.
  std::optional<Changes> replace(const std::vector<BackendRecord>& wanted,
                                 const std::function<bool(BackendId)>& in_use);

 private:
  template <class Change>
  void change(BackendId backend, Change change);
  void put(BackendRecord next, bool tell);
  void become(std::vector<BackendPtr> backends, bool tell);

  RosterPtr roster_ = std::make_shared<const Roster>();
  std::uint64_t model_versions_ = 0;  // tables made so far
  Tell tell_;
};

}  // namespace batchproxy
