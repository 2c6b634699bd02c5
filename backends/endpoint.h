// backends/endpoint.h - Endpoint: where one backend is and how to talk to it.
//
// Threading: made at start-up, read-only afterwards.
#pragma once

#include <string>

#include <boost/asio/ip/tcp.hpp>

#include "batcher/ticket.h"

namespace batchproxy {

struct Endpoint {
  BackendId id = 0;
  std::string name;       // for people: "engine-0", or "host:port"
  std::string authority;  // "host:port", for the Host header
  boost::asio::ip::tcp::endpoint address;
  std::string api_key;        // sent as bearer instead of the client's, if not empty
  std::string health_path{};  // asked instead of /health, if not empty
  // How long an idle connection may be reused. A server that we did not start may close after five
  // seconds (uvicorn's default), so we must be quicker; one that we started has been told to wait.
  Duration idle_time_to_live = std::chrono::seconds(4);
};

}  // namespace batchproxy
