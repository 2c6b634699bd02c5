// backends/names/endpoint.h - Endpoint: where one backend is and how to talk to it.
//
// Threading: immutable once it is shared; one that is to be changed is replaced.
#pragma once

#include <string>

#include "backends/names/addresses.h"
#include "backends/net/tls.h"
#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"

namespace batchproxy {

struct Endpoint {
  // Empty while nobody knows where it is.
  std::string url() const {
    return authority.empty() ? "" : (tls ? "https://" : "http://") + authority;
  }

  BackendId id = 0;
  std::string name;       // for people: "engine-0", or "host:port"
  std::string authority;  // "host:port", for the Host header; empty: it has no place yet
  Addresses addresses;    // all of this one server; none while it is not known where it is
  std::string problem;    // why its name could not be looked up the last time, in words; else empty
  std::string api_key;    // sent as bearer instead of the client's, if not empty
  TlsContextPtr tls{};    // null: it is plain
  std::string server_name{};  // that its certificate must be for
  std::string health_path{};  // asked instead of /health, if not empty
  // How long an idle connection may be reused. A server that we did not start may close after five
  // seconds (uvicorn's default), so we must be quicker; one that we started has been told to wait.
  Duration idle_time_to_live = std::chrono::seconds(4);
};

}  // namespace batchproxy
