// proxy/control/sites.h - Sites: the backends by their BackendId, as a reload adds and removes
// them.
//
// A backend that stays keeps its id, and with it its connections, its cache's memory and what is in
// flight. The id of one that has gone is given to another only when nothing of it is left.
//
// Threading: confined to the control thread.
#pragma once

#include <functional>
#include <vector>

#include "proxy/control/topology.h"

namespace batchproxy {

class Sites {
 public:
  explicit Sites(std::vector<BackendSite> first);

  struct Site : BackendSite {
    bool removed = false;
  };
  const std::vector<Site>& all() const { return sites_; }  // by BackendId
  const Site& operator[](BackendId id) const { return sites_[id]; }

  struct Changes {
    std::vector<BackendId> added;
    std::vector<BackendId> removed;
    std::vector<BackendId> rekeyed;  // they get another API key
    std::vector<BackendId> retold;   // they get another health path, or other names of models
    std::vector<BackendId> changed;  // how much they take at once
  };
  // From now on there are those of `wanted`, and no others. `in_use`: whether something is still in
  // flight to a backend. Nothing, and nothing done, when there are more than BackendSet::kMax.
  // A server that stays keeps its addresses.
  std::optional<Changes> replace(const std::vector<BackendSite>& wanted,
                                 const std::function<bool(BackendId)>& in_use);
  // The backend with its id is talked to otherwise.
  void set_endpoint(std::shared_ptr<const Endpoint> endpoint);

 private:
  std::vector<Site> sites_;
};

}  // namespace batchproxy
