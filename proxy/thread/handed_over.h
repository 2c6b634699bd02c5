// proxy/thread/handed_over.h - HandedOver: a client's connection on its way from the data path to
// the service of files and batches.
//
// Threading: a value; it crosses from an I/O thread to the service's own.
#pragma once

#include <functional>
#include <string>

#include "backends/net/descriptor.h"
#include "proxy/wire/cors.h"

namespace batchproxy {

struct HandedOver {
  Descriptor socket;
  std::string bytes{};  // read so far, from the request's head on
  std::string owner{};  // name of its API key; empty where none is asked for
  std::string id{};     // of the request, for its client
  CorsFields cors{};
};

// Takes it, on any thread.
using HandOver = std::function<void(HandedOver)>;

}  // namespace batchproxy
